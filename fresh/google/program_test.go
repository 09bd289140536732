package google

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
)

func TestAHangingProgramAndItsChildrenAreEnded(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	p := &program{argv: []string{"/bin/sh", "-c", "sleep 600 & echo $! > " + pid + "; wait"}, timeout: 500 * time.Millisecond}
	_, err := p.token(context.Background(), time.Unix(0, 0))
	if !errors.Is(err, fresh.Unavailable) || !strings.Contains(err.Error(), "did not end within 500ms") {
		t.Errorf("err = %v", err)
	}
	child, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if running(t, strings.TrimSpace(string(child))) {
		t.Errorf("its child %s is still there", child)
	}
}

func TestAProgramThatEndsLeavesNothingBehind(t *testing.T) {
	for ending, want := range map[string]error{"": nil, "; exit 3": fresh.Unavailable} {
		pid := filepath.Join(t.TempDir(), "pid")
		p := &program{argv: []string{"/bin/sh", "-c", "(trap '' TERM HUP; exec sleep 600) & echo $! > " + pid +
			`; echo '{"version":1,"success":true,"token_type":"` + tokenTypes + `jwt","id_token":"abc"}'` + ending}, timeout: time.Minute}
		if c, err := p.token(context.Background(), time.Unix(0, 0)); !errors.Is(err, want) || err == nil && c.Value.Value != "abc" {
			t.Errorf("%q: %q, err = %v", ending, c.Value.Value, err)
		}
		child, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		if running(t, strings.TrimSpace(string(child))) {
			t.Errorf("%q: its child %s is still there", ending, child)
		}
	}
}

// running reports whether a process stays, and is no zombie.
func running(t *testing.T, pid string) bool {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

func TestCommandsAreSplitAsGoogleSplitsThem(t *testing.T) {
	tests := map[string][]string{
		`/bin/a`:                           {"/bin/a"},
		`  /bin/a   --b  c `:               {"/bin/a", "--b", "c"},
		`"/path with spaces/a" b`:          {"/path with spaces/a", "b"},
		`a --name="two words"`:             {"a", `--name="two words"`},
		`a "" b`:                           {"a", "", "b"},
		`a $HOME ; rm -rf / | b > c`:       {"a", "$HOME", ";", "rm", "-rf", "/", "|", "b", ">", "c"},
		" \t\n":                            nil,
		`"`:                                nil,
		"a\tb":                             {"a", "b"},
		`a 'single quotes' are not quotes`: {"a", "'single", "quotes'", "are", "not", "quotes"},
	}
	for command, want := range tests {
		if got := splitCommand(command); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", command, got, want)
		}
	}
}

func TestRegionOfAZone(t *testing.T) {
	tests := map[string]string{
		"us-east-2b": "us-east-2", "eu-west-1": "eu-west-1", "us-gov-west-1a": "us-gov-west-1", "ap-southeast-2c": "ap-southeast-2",
		"us-west-2-lax-1a": "us-west-2", "us-east-1-wl1-bos-wlz-1": "us-east-1", "eusc-de-east-1a": "eusc-de-east-1",
		"": "", "us": "", "a-b-c": "", "1-2-3": "1-2-3", "evil.test/-x-1": "", "us-east-1@evil": "us-east-1", "<html>": "",
	}
	for zone, want := range tests {
		if got := regionOf(zone); got != want {
			t.Errorf("%q is in %q, want %q", zone, got, want)
		}
	}
}

func TestOnlyRefusalsOfTheSubjectTokenBlameIt(t *testing.T) {
	tests := []struct {
		status int
		said   words
		want   bool
	}{
		{400, words{"invalid_grant", "ID Token issued at 1700000000 is stale to sign-in."}, true},
		{400, words{"invalid_grant", "Received invalid AWS response of type ExpiredToken with error message: The security token included in the request is expired"}, true},
		{400, words{"invalid_grant", "Received invalid AWS response of type Throttling with error message: Rate exceeded"}, false},
		{400, words{"invalid_grant", "Received invalid AWS response of type SignatureDoesNotMatch with error message: Signature expired: 20261122T100000Z is now earlier"}, false},
		{400, words{"invalid_grant", "Received invalid AWS response of type InvalidClientTokenId with error message: The security token included in the request is invalid."}, true},
		{400, words{"invalid_grant", ""}, true},
		{400, words{"invalid_token", "x"}, true},
		{401, words{"", ""}, true},
		{401, words{"invalid_client", "The OAuth client was not found."}, false},
		{400, words{"invalid_grant", "The audience in ID Token [x] does not match the expected audience y."}, false},
		{400, words{"invalid_grant", "The issuer in ID Token x does not match the expected ones."}, false},
		{400, words{"invalid_grant", "Error connecting to the given credential's issuer."}, false},
		{400, words{"unauthorized_client", "The given credential is rejected by the attribute condition."}, false},
		{400, words{"invalid_request", "Invalid value for \"audience\"."}, false},
		{403, words{"invalid_grant", ""}, false},
		{500, words{"invalid_grant", ""}, false},
	}
	for _, tt := range tests {
		if got := aboutSubject(tt.status, tt.said); got != tt.want {
			t.Errorf("%d %s: about the subject token: %t, want %t", tt.status, tt.said, got, tt.want)
		}
	}
}

func TestTheAudienceIsSigned(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	token, err := callerIdentity{"https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", "eu-west-1", "//iam/pool"}.
		sign(context.Background(), "ASIA1", "secret", "session", at)
	if err != nil {
		t.Fatal(err)
	}
	text, err := url.QueryUnescape(token)
	if err != nil {
		t.Fatal(err)
	}
	var wire struct {
		URL     string         `json:"url"`
		Method  string         `json:"method"`
		Headers []signedHeader `json:"headers"`
	}
	if err := json.Unmarshal([]byte(text), &wire); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, h := range wire.Headers {
		got[h.Key] = h.Value
	}
	for name, want := range map[string]string{"host": "sts.eu-west-1.amazonaws.com", "x-amz-date": "20261122T120000Z",
		"x-amz-security-token": "session", "x-goog-cloud-target-resource": "//iam/pool"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	const signed = "Credential=ASIA1/20261122/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource,"
	if !strings.Contains(got["Authorization"], signed) || wire.Method != "POST" || strings.Contains(text, `"secret"`) {
		t.Errorf("%s with %s, want %s", wire.Method, got["Authorization"], signed)
	}
}
