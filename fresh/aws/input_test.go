package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
)

// an answer of a service and what it must come to.
type answer struct {
	name   string
	status int
	body   string
	header []string
	want   error  // nil: good
	words  string // that the error must hold
}

// check tells what is wrong with err.
func (a answer) check(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, a.want) {
		t.Errorf("the error is %v, want %v", err, a.want)
	}
	if err != nil && !strings.Contains(err.Error(), a.words) {
		t.Errorf("the error does not say %q: %v", a.words, err)
	}
	if err != nil && strings.Contains(err.Error(), "SECRET") {
		t.Errorf("the error tells a secret: %v", err)
	}
	var e *fresh.Error
	if wait := (a.status == 429 || a.status == 503); errors.As(err, &e) && wait != (e.RetryAfter == 7*time.Second) {
		t.Errorf("to be retried after %v", e.RetryAfter)
	}
}

var busy = []answer{
	{"busy", 503, "", []string{"Retry-After", "7"}, fresh.Unavailable, "503"},
	{"too many requests", 429, "", []string{"Retry-After", "7"}, fresh.Unavailable, "429"},
	{"redirect", 302, "", []string{"Location", "/elsewhere"}, fresh.Refused, "302"},
	{"huge", 200, strings.Repeat("x", 2<<20), nil, fresh.Malformed, "more than"},
}

func lease[T comparable](t *testing.T, l *fresh.Layer[T]) fresh.Lease[T] {
	t.Helper()
	got, err := l.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSessionTokenAnswers(t *testing.T) {
	const ttl = "X-aws-ec2-metadata-token-ttl-seconds"
	lives := map[string]time.Duration{"the TTL said counts": time.Minute, "no TTL said": 6 * time.Hour, "a TTL longer than asked for": 6 * time.Hour}
	for _, a := range append([]answer{
		{"the TTL said counts", 200, "TOKEN==", []string{ttl, "60"}, nil, ""},
		{"no TTL said", 200, "TOKEN==\n", nil, nil, ""},
		{"a TTL longer than asked for", 200, "TOKEN", []string{ttl, "999999999999"}, nil, ""},
		{"ended at once", 200, "TOKEN", []string{ttl, "0"}, fresh.Ended, "0 s"},
		{"negative TTL", 200, "TOKEN", []string{ttl, "-5"}, fresh.Ended, "-5 s"},
		{"TTL is no number", 200, "TOKEN", []string{ttl, "soon"}, fresh.Malformed, "TTL"},
		{"empty", 200, "", nil, fresh.Malformed, "no session token"},
		{"a page", 200, "<html>\n<p>SECRET", nil, fresh.Malformed, "no session token"},
		{"switched off", 403, "", nil, fresh.Refused, "X-Forwarded-For"},
		{"version 1", 404, "", nil, fresh.Refused, "not version 2"},
		{"version 1, other words", 405, "", nil, fresh.Refused, "not version 2"},
		{"TTL not taken", 400, "", nil, fresh.Refused, "TTL"},
	}, busy...) {
		t.Run(a.name, func(t *testing.T) {
			url, client := serve(t, answering(a.status, a.body, a.header...))
			c, err := aws.SessionToken(aws.IMDS{Endpoint: url, HTTP: client})(t.Context(), time.Now())
			a.check(t, err)
			if c.Life != lives[a.name] {
				t.Errorf("it lives %v, want %v", c.Life, lives[a.name])
			}
		})
	}
}

func TestTimeoutNamesTheHopLimit(t *testing.T) {
	url, client := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	client.Timeout = 50 * time.Millisecond
	_, err := aws.SessionToken(aws.IMDS{Endpoint: url, HTTP: client})(t.Context(), time.Now())
	answer{want: fresh.Unavailable, words: "HttpPutResponseHopLimit"}.check(t, err)
}

// keys is the document of a metadata service or container.
func keys(expiration string) string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"SECRET","Token":"SECRET2","Expiration":%q}`, expiration)
}

func TestInstanceRoleAnswers(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for _, a := range append([]answer{
		{"good", 200, keys(in(time.Hour)), nil, nil, ""},
		{"ended, as during an outage", 200, keys(in(-time.Hour)), nil, fresh.Ended, "cannot renew them itself"},
		{"ended, without a Date", 200, keys(in(-time.Hour)), []string{"Date", ""}, fresh.Ended, "cannot renew them itself"},
		{"good by the service's clock, which is behind", 200, keys(in(-time.Hour)), []string{"Date", time.Now().Add(-2 * time.Hour).UTC().Format(http.TimeFormat)}, nil, ""},
		{"ended by the service's clock, which is ahead", 200, keys(in(time.Hour)), []string{"Date", time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat)}, fresh.Ended, ""},
		{"an end that stands for none", 200, keys("0001-01-01T00:00:00Z"), nil, fresh.Ended, "ended in 1"},
		{"no end", 200, keys(""), nil, fresh.Malformed, "Expiration"},
		{"an end that is no time", 200, keys("tomorrow"), nil, fresh.Malformed, "RFC 3339"},
		{"an end as a number", 200, `{"AccessKeyId":"a","SecretAccessKey":"SECRET","Token":"t","Expiration":1700000000}`, nil, fresh.Malformed, "JSON"},
		{"no secret", 200, `{"Code":"Success","AccessKeyId":"a","Token":"t"}`, nil, fresh.Malformed, "SecretAccessKey"},
		{"no token", 200, `{"AccessKeyId":"a","SecretAccessKey":"SECRET","Expiration":"` + in(time.Hour) + `"}`, nil, fresh.Malformed, "Token"},
		{"truncated", 200, keys(in(time.Hour))[:60], nil, fresh.Malformed, "JSON"},
		{"a line end in a key", 200, `{"AccessKeyId":"a\r\nX: y","SecretAccessKey":"SECRET"}`, nil, fresh.Malformed, "printable"},
		{"no Success", 200, `{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role"}`, nil, fresh.Refused, "EC2 cannot assume"},
		{"no role", 404, "", nil, fresh.Refused, "no role"},
		{"session ended", 401, "", nil, fresh.Refused, "session token"},
	}, busy...) {
		t.Run(a.name, func(t *testing.T) {
			url, client := serve(t, answering(a.status, a.body, a.header...))
			fetch := aws.InstanceRole(aws.IMDS{Endpoint: url, HTTP: client, Role: "app"})
			_, err := fetch(t.Context(), lease(t, fixed("session")), time.Now())
			a.check(t, err)
		})
	}
	t.Run("a role's name that leads elsewhere", func(t *testing.T) {
		url, client := serve(t, answering(200, "../../user-data"))
		_, err := aws.InstanceRole(aws.IMDS{Endpoint: url, HTTP: client})(t.Context(), lease(t, fixed("session")), time.Now())
		answer{want: fresh.Malformed, words: "not the name of a role"}.check(t, err)
	})
}

func TestContainer(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{ContainerToken: "Bearer second"})
	tokenFile := file(t, "Bearer first\n")
	fetch := aws.Container(aws.ContainerConfig{URL: w.imds.Endpoint + "/container", TokenFile: tokenFile, HTTP: w.imds.HTTP})
	_, err := fetch(t.Context(), time.Now())
	answer{want: fresh.Refused, words: "does not take the authorization token"}.check(t, err)
	write(t, tokenFile, "Bearer second\n")
	c, err := fetch(t.Context(), time.Now())
	if err != nil || c.Expires.IsZero() || c.Date.IsZero() {
		t.Errorf("the file was not read again: %v", err)
	}
	for content, want := range map[string]fresh.Reason{"": fresh.Malformed, "a\nb": fresh.Malformed, strings.Repeat("x", 2<<20): fresh.Malformed} {
		write(t, tokenFile, content)
		_, err := fetch(t.Context(), time.Now())
		answer{name: content, want: want}.check(t, err)
	}
	if err := os.Remove(tokenFile); err != nil {
		t.Fatal(err)
	}
	_, err = fetch(t.Context(), time.Now())
	answer{want: fresh.Unavailable, words: "token file"}.check(t, err)
}

func TestContainerAnswers(t *testing.T) {
	for _, a := range append([]answer{
		{"without an end", 200, `{"AccessKeyId":"a","SecretAccessKey":"SECRET"}`, nil, nil, ""},
		{"temporary ones without an end", 200, `{"AccessKeyId":"a","SecretAccessKey":"SECRET","Token":"t"}`, nil, nil, ""},
		{"its own words", 400, `{"code":"NoSuchRole","message":"try another"}`, nil, fresh.Refused, "NoSuchRole try another"},
		{"the token comes back", 401, `{"message":"SECRETTOKEN is over"}`, nil, fresh.Refused, "[secret] is over"},
		{"truncated", 200, `{"AccessKeyId":"a"`, nil, fresh.Malformed, "JSON"},
	}, busy...) {
		t.Run(a.name, func(t *testing.T) {
			url, client := serve(t, answering(a.status, a.body, a.header...))
			c, err := aws.Container(aws.ContainerConfig{URL: url, Token: "SECRETTOKEN", HTTP: client})(t.Context(), time.Now())
			a.check(t, err)
			if temporary := a.name == "temporary ones without an end"; err == nil && (c.Life == 5*time.Minute) != temporary || err == nil && (c.Recheck == 5*time.Minute) == temporary {
				t.Errorf("keys without an end live %v and are asked for again after %v", c.Life, c.Recheck)
			}
		})
	}
}

func TestSettingsDoNotPrintTheirSecrets(t *testing.T) {
	for _, v := range []any{aws.ContainerConfig{Token: "SECRET"}, &aws.ContainerConfig{Token: "SECRET"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "SECRET") || strings.Contains(text, "534543") || strings.Contains(text, "0x53, 0x45") || strings.Contains(text, "[83 69") {
				t.Errorf("%s of %T is %s", verb, v, text)
			}
		}
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "U0VDUkVU") {
			t.Errorf("%T in JSON is %s, %v", v, text, err)
		}
	}
}

func TestPlainHTTPOnlyWhereNothingListens(t *testing.T) {
	for url, good := range map[string]bool{
		"https://keys.test/v1":        true,
		"http://127.0.0.1:51678/v1":   true,
		"http://localhost/v1":         true,
		"http://169.254.170.2/v2/x":   true,
		"http://169.254.170.23/v1":    true,
		"http://[fd00:ec2::23]/v1":    true,
		"http://169.254.170.2.evil/x": false,
		"http://169.254.169.254/v1":   false,
		"http://10.0.0.1/v1":          false,
		"http://u@169.254.170.2/":     false,
		"ftp://127.0.0.1/":            false,
		"":                            false,
	} {
		err := aws.ContainerConfig{URL: url}.Check()
		if good != (err == nil) || !good && !errors.Is(err, fresh.Misconfigured) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	good := aws.RoleConfig{RoleARN: roleARN}
	with := func(change func(*aws.RoleConfig)) error {
		c := good
		change(&c)
		return c.Check()
	}
	for name, err := range map[string]error{
		"TTL of 7 h":           aws.IMDS{TTL: 7 * time.Hour}.Check(),
		"TTL of half a second": aws.IMDS{TTL: time.Second / 2}.Check(),
		"metadata elsewhere":   aws.IMDS{Endpoint: "http://10.0.0.1"}.Check(),
		"a path for a role":    aws.IMDS{Role: "../x"}.Check(),
		"two tokens":           aws.ContainerConfig{URL: "https://x.test", Token: "a", TokenFile: "b"}.Check(),
		"no role":              aws.RoleConfig{}.Check(),
		"a user for a role":    with(func(c *aws.RoleConfig) { c.RoleARN = "arn:aws:iam::123456789012:user/me" }),
		"a session's name":     with(func(c *aws.RoleConfig) { c.SessionName = "a b" }),
		"14 min":               with(func(c *aws.RoleConfig) { c.Duration = 14 * time.Minute }),
		"13 h":                 with(func(c *aws.RoleConfig) { c.Duration = 13 * time.Hour }),
		"STS without TLS":      with(func(c *aws.RoleConfig) { c.Endpoint = "http://sts.test" }),
		"a host as region":     with(func(c *aws.RoleConfig) { c.Region = "x.evil.test/" }),
	} {
		if !errors.Is(err, fresh.Misconfigured) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{"role": good.Check(), "metadata": aws.IMDS{}.Check(), "metadata over IPv6": aws.IMDS{Endpoint: "http://[fd00:ec2::254]"}.Check()} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := aws.SessionToken(aws.IMDS{TTL: -1})(t.Context(), time.Now()); !errors.Is(err, fresh.Misconfigured) {
		t.Errorf("the fetch says %v", err)
	}
}

const profiles = `
[profile process]
credential_process = echo '{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"SECRET","SessionToken":"t","Expiration":"%END%"}'
[profile endless]
credential_process = echo '{"Version":1,"AccessKeyId":"AKIA2","SecretAccessKey":"SECRET"}'
[profile temporary]
credential_process = echo '{"Version":1,"AccessKeyId":"ASIA2","SecretAccessKey":"SECRET","SessionToken":"t"}'
[profile session]
aws_access_key_id = ASIA3
aws_secret_access_key = SECRET
aws_session_token = t
[profile version2]
credential_process = echo '{"Version":2,"AccessKeyId":"AKIA2","SecretAccessKey":"SECRET"}'
[profile words]
credential_process = echo SECRET
[profile fails]
credential_process = echo SECRET >&2; exit 3
[profile chatty]
credential_process = head -c 2000000 /dev/zero
[profile role]
role_arn = %ROLE%
source_profile = default
[profile instance]
role_arn = %ROLE%
credential_source = Ec2InstanceMetadata
[profile web]
role_arn = %ROLE%
web_identity_token_file = /nowhere
[profile sso]
sso_start_url = https://sso.test
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = reader
[profile empty]
region = eu-west-1
`

func TestProfile(t *testing.T) {
	dir := t.TempDir()
	config, credentials := filepath.Join(dir, "config"), filepath.Join(dir, "credentials")
	in := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	write(t, credentials, "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = SECRET\n")
	write(t, config, strings.NewReplacer("%END%", in.Format(time.RFC3339), "%ROLE%", roleARN).Replace(profiles))
	for _, tt := range []struct {
		profile, id string
		recheck     time.Duration
		life        time.Duration
		answer
	}{
		{"", "AKIA1", time.Minute, 0, answer{}},
		{"process", "ASIA1", 0, 0, answer{}},
		{"endless", "AKIA2", 5 * time.Minute, 0, answer{}},
		{"temporary", "ASIA2", 0, 5 * time.Minute, answer{}},
		{"session", "ASIA3", time.Minute, 5 * time.Minute, answer{}},
		{"version2", "", 0, 0, answer{want: fresh.Malformed, words: "version 2"}},
		{"words", "", 0, 0, answer{want: fresh.Malformed, words: "JSON"}},
		{"fails", "", 0, 0, answer{want: fresh.Refused, words: "exit status 3"}},
		{"chatty", "", 0, 0, answer{want: fresh.Malformed, words: "more than"}},
		{"role", "", 0, 0, answer{want: fresh.Misconfigured, words: "kind aws-assume-role"}},
		{"instance", "", 0, 0, answer{want: fresh.Misconfigured, words: "kind aws-instance-role"}},
		{"web", "", 0, 0, answer{want: fresh.Misconfigured, words: "kind aws-web-identity"}},
		{"sso", "", 0, 0, answer{want: fresh.Misconfigured, words: "kind exec"}},
		{"empty", "", 0, 0, answer{want: fresh.Misconfigured, words: "neither"}},
		{"nobody", "", 0, 0, answer{want: fresh.Misconfigured, words: `no profile "nobody"`}},
	} {
		t.Run(tt.profile, func(t *testing.T) {
			c, err := aws.Profile(aws.ProfileConfig{Name: tt.profile, ConfigFile: config, CredentialsFile: credentials})(t.Context(), time.Now())
			tt.check(t, err)
			if c.Value.AccessKeyID != tt.id || c.Recheck != tt.recheck || c.Life != tt.life || (tt.profile == "process") != c.Expires.Equal(in) {
				t.Errorf("got keys %q until %v, for %v, again after %v", c.Value.AccessKeyID, c.Expires, c.Life, c.Recheck)
			}
		})
	}
}

func TestProcessLeavesNothingBehind(t *testing.T) {
	for ending, want := range map[string]error{"": nil, "; exit 3": fresh.Refused} {
		pid := filepath.Join(t.TempDir(), "pid")
		script := file(t, "(trap '' TERM HUP; exec sleep 600) & echo $! > "+pid+`; echo '{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"SECRET"}'`+ending)
		config := file(t, "[default]\ncredential_process = sh "+script+"\n")
		c, err := aws.Profile(aws.ProfileConfig{ConfigFile: config, CredentialsFile: os.DevNull})(t.Context(), time.Now())
		answer{name: ending, want: want}.check(t, err)
		if err == nil && c.Value.AccessKeyID != "ASIA1" {
			t.Errorf("%q: keys %q", ending, c.Value.AccessKeyID)
		}
		b, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		if child := strings.TrimSpace(string(b)); running(child) {
			t.Errorf("%q: process %s is left behind", ending, child)
		}
	}
}

// running reports whether a process stays, and is no zombie.
func running(pid string) bool {
	for range 100 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

func TestProcessThatHangsEndsWithItsContext(t *testing.T) {
	config := file(t, "[default]\ncredential_process = sleep 60 | cat\n")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := aws.Profile(aws.ProfileConfig{ConfigFile: config, CredentialsFile: os.DevNull})(ctx, time.Now())
	answer{want: fresh.Unavailable, words: "did not end in time"}.check(t, err)
}

func TestKeysNeverPrint(t *testing.T) {
	k := aws.Keys{AccessKeyID: "AKIA1", SecretAccessKey: "SECRET", SessionToken: "SECRET2"}
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "keys", k)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "keys", k)
	j, err := json.Marshal(struct{ K aws.Keys }{k})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb, k, &k)
		fmt.Fprintf(&out, verb, fresh.Lease[aws.Keys]{Value: k})
	}
	if all := out.String() + string(j); strings.Contains(all, "SECRET") || strings.Contains(all, fmt.Sprintf("%x", "SECRET")) || strings.Contains(all, "AKIA1") {
		t.Errorf("keys print: %s", all)
	}
}
