package google_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
)

var allowed = map[string]string{"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"}

// idp hands out a JWT at /plain and /json, to those who send a header.
func idp(jwt string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Metadata") != "True":
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Path == "/json":
			_, _ = w.Write([]byte(`{"access_token": "` + jwt + `"}`))
		default:
			_, _ = w.Write([]byte(jwt))
		}
	})
}

// TestATokenFileIsReadAgain is the 5 minute subject token of
// google-github-actions/auth#474, and a projected token that is rotated.
func TestATokenFileIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		path := write(t, "jwt", w.jwt(t, time.Now(), 5*time.Minute))
		chain, err := w.chain(t, file(object{"file": path}), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			w.get(t, chain.Layer, oidcPool)
			time.Sleep(61 * time.Minute)
			rewrite(t, path, w.jwt(t, time.Now(), 5*time.Minute))
		}
		if n := w.google.Calls("sts"); n != 20 {
			t.Errorf("%d exchanges, want 20", n)
		}
	})
}

// TestASubjectTokenThatEndsOnTheWay is incident 1 at Google: the JWT in hand
// lives by our clock and is over by Google's. The file has the next one already,
// and no caller sees a failure; where it has not, the dead one is sent once.
func TestASubjectTokenThatEndsOnTheWay(t *testing.T) {
	for _, rotated := range []bool{true, false} {
		t.Run(fmt.Sprintf("the file has the next one: %t", rotated), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ahead atomic.Int64
				w := newWorld(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
				path := write(t, "jwt", w.jwt(t, time.Now(), 10*time.Minute))
				chain, err := w.chain(t, file(object{"file": path}), nil)
				if err != nil {
					t.Fatal(err)
				}
				first := w.get(t, chain.Layer, oidcPool)
				ahead.Store(int64(11 * time.Minute))
				want, calls := error(fresh.Refused), 2
				if rotated {
					rewrite(t, path, w.jwt(t, time.Now(), time.Hour))
					want, calls = nil, 3
				}
				chain.Layer.Invalidate(first)
				if _, err := chain.Layer.Get(context.Background()); !errors.Is(err, want) {
					t.Errorf("err = %v, want %v", err, want)
				}
				if n := w.google.Calls("sts"); n != calls {
					t.Errorf("%d exchanges, want %d", n, calls)
				}
			})
		})
	}
}

func TestSourcesThatGiveNothingSayWhy(t *testing.T) {
	asJSON := object{"type": "json", "subject_token_field_name": "tok"}
	tests := []struct {
		name   string
		source object
		reason fresh.Reason
		words  []string
	}{
		{"no file", object{"file": "/nonexistent/jwt"}, fresh.Unavailable, []string{"/nonexistent/jwt"}},
		{"an empty file", object{"file": write(t, "jwt", " \n")}, fresh.Malformed, []string{"holds no subject token"}},
		{"a JWT that is over", object{"file": write(t, "jwt", "e30.eyJleHAiOjF9.")}, fresh.Ended, nil},
		{"JSON that is none", object{"file": write(t, "jwt", "{"), "format": asJSON}, fresh.Malformed, []string{"is not a JSON object"}},
		{"JSON without the member", object{"file": write(t, "jwt", `{"other": "x"}`), "format": asJSON}, fresh.Malformed, []string{`"tok"`, "subject_token_field_name"}},
		{"JSON with a number", object{"file": write(t, "jwt", `{"tok": 7}`), "format": asJSON}, fresh.Malformed, []string{`"tok"`}},
		{"a service that says no", object{"url": "https://idp.test/plain"}, fresh.Refused, []string{"the credential source answered 400"}},
		{"a service that is not there", object{"url": "https://gone.test/"}, fresh.Unavailable, []string{"cannot be reached"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, time.Now)
			w.http.Transport.(hosts)["idp.test"] = idp("x")
			chain, err := w.chain(t, file(tt.source), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = chain.Layer.Get(context.Background())
			wantError(t, err, tt.reason, append(tt.words, "mail/subject")...)
			if n := w.google.Calls("sts"); n != 0 {
				t.Errorf("Google was asked %d times", n)
			}
		})
	}
}

func TestProgramsThatGiveNothingSayWhy(t *testing.T) {
	const ok = `"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt"`
	tests := []struct {
		name   string
		script string
		output bool // an output_file is named
		reason fresh.Reason
		words  []string
	}{
		{"it says no", `echo '{"version":1,"success":false,"code":"401","message":"Caller not authorized."}'`, false, fresh.Refused, []string{`said no: "401": "Caller not authorized."`}},
		{"it says no on standard error and fails", `echo '{"version":1,"success":false,"code":"7","message":"m"}' >&2; exit 1`, false, fresh.Refused, []string{`"7"`}},
		{"it fails", "echo secret; exit 3", false, fresh.Unavailable, []string{"failed", "exit status 3"}},
		{"it prints nothing", "true", false, fresh.Malformed, []string{"not the JSON of AIP-4117"}},
		{"it prints text", "echo secret", false, fresh.Malformed, []string{"not the JSON of AIP-4117"}},
		{"another version", `echo '{"version":2,"success":true}'`, false, fresh.Malformed, []string{"version 2"}},
		{"no version", `echo '{"success":true}'`, false, fresh.Malformed, []string{"version 0"}},
		{"no success", `echo '{"version":1}'`, false, fresh.Malformed, []string{"without the member success"}},
		{"no token type", `echo '{"version":1,"success":true,"id_token":"secret"}'`, false, fresh.Malformed, []string{`token_type ""`}},
		{"no token", `echo '{` + ok + `}'`, false, fresh.Malformed, []string{"without its token"}},
		{"a JWT in the place of SAML", `echo '{` + ok + `,"saml_response":"secret"}'`, false, fresh.Malformed, []string{"without its token"}},
		{"a token that is over", `echo '{` + ok + `,"id_token":"secret","expiration_time":1}'`, false, fresh.Ended, []string{"printed a token that is over"}},
		{"no end although it is to be kept", `echo '{` + ok + `,"id_token":"secret"}'`, true, fresh.Malformed, []string{"expiration_time", "output_file"}},
		{"it floods", `yes secret | head -c 2000000`, false, fresh.Unavailable, []string{"failed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, time.Now)
			source := object{"command": program(t, tt.script)}
			if tt.output {
				source["output_file"] = filepath.Join(t.TempDir(), "none")
			}
			chain, err := w.chain(t, file(object{"executable": source}), allowed)
			if err != nil {
				t.Fatal(err)
			}
			_, err = chain.Layer.Get(context.Background())
			wantError(t, err, tt.reason, tt.words...)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q holds what the program printed", err)
			}
		})
	}
}

// TestTheOutputFileServesOnce: what is in it is used, but not handed out again
// when another token is wanted.
func TestTheOutputFileServesOnce(t *testing.T) {
	w := newWorld(t, time.Now)
	answer := func(jwt string, end time.Time) string {
		return `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"` + jwt +
			`","expiration_time":` + strconv.FormatInt(end.Unix(), 10) + `}`
	}
	soon := time.Now().Add(time.Hour)
	dead := sign(t, signer(t, "idp", rsaKey(t)), map[string]any{"iss": oidcName, "aud": oidcPool, "exp": soon.Unix()})
	good := w.jwt(t, time.Now(), time.Hour)
	tests := []struct {
		name string
		kept string
		runs string
		err  fresh.Reason
	}{
		{"a good one", answer(good, soon), "", ""},
		{"one that Google refuses is not taken twice", answer(dead, soon), "x", ""},
		{"one that is over", answer(dead, time.Now().Add(-time.Second)), "x", ""},
		{"a failure", `{"version":1,"success":false,"code":"c","message":"m"}`, "x", ""},
		{"an empty file", "", "x", ""},
		{"what is no answer", "{", "", fresh.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ran := filepath.Join(t.TempDir(), "ran")
			chain, err := w.chain(t, file(object{"executable": object{
				"command":     program(t, "printf x >> "+ran+"; echo '"+answer(good, soon)+"'"),
				"output_file": write(t, "out", tt.kept),
			}}), allowed)
			if err != nil {
				t.Fatal(err)
			}
			_, err = chain.Layer.Get(context.Background())
			if tt.err != "" {
				wantError(t, err, tt.err, "output_file")
			} else if err != nil {
				t.Error(err)
			}
			if runs, _ := os.ReadFile(ran); string(runs) != tt.runs {
				t.Errorf("the program ran %d times, want %d", len(runs), len(tt.runs))
			}
		})
	}
}
