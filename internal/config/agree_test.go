package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify"
)

// The rooms behind judge what they are given once more. A file that 'config
// check' takes must be one that 'serve' takes, so both ask here: the loader, and
// the room itself.

func TestAnAcceptedIssuerIsOneThatVerifyTakes(t *testing.T) {
	long := strings.Repeat("a", maxName-1)
	service := "{issuer: user-service, audience: a, profile: jwt, jwks: {file: k}}"
	user := "{issuer: user-service, subject_from: aud, profile: jwt, jwks: {file: k}}"
	tests := []struct {
		name, accept string
		says         string // empty: taken
	}{
		{"a URL", "{issuer: https://issuer.test, audience: a}", ""},
		{"any name, with profile jwt and keys", service, ""},
		{"any name, with profile jwt and discovery", "{issuer: user-service, audience: a, profile: jwt}", "its keys come by discovery"},
		{"any name, with profile rfc9068 and keys", "{issuer: user-service, audience: a, jwks: {file: k}}", "needs profile: jwt"},
		{"any name, with profile rfc9068 and a secret", "{issuer: user-service, audience: a, algorithms: [HS256], secret: {file: s}}", "needs profile: jwt"},
		{"an audience of 2048 bytes", "{issuer: https://issuer.test, audience: a" + long + "}", ""},
		{"an audience of 2049 bytes", "{issuer: https://issuer.test, audience: aa" + long + "}", "longer than 2048 bytes"},
		{"an issuer of 2048 bytes", "{issuer: a" + long + ", audience: a, profile: jwt, jwks: {file: k}}", ""},
		{"an issuer of 2049 bytes", "{issuer: aa" + long + ", audience: a, profile: jwt, jwks: {file: k}}", "longer than 2048 bytes"},
		{"aud is a service, then a user", service + ", " + user, "with subject_from: aud and with an audience"},
		{"aud is a user, then a service", user + ", " + service, "with subject_from: aud and with an audience"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte("gate: {accept: ["+tt.accept+"]}"))
			if !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
			if err == nil {
				if _, err := verify.New(verify.Config{Issuers: accepted(cfg.Gate.Accept)}); err != nil {
					t.Errorf("verify refuses it: %v", err)
				}
			}
		})
	}
}

func accepted(list []Accept) []verify.Issuer {
	out := make([]verify.Issuer, len(list))
	for i, a := range list {
		out[i] = verify.Issuer{URL: a.Issuer, Audience: a.Audience, Algorithms: a.Algorithms, Profile: verify.Profile(a.Profile),
			Leeway: a.Leeway, MaxLifetime: a.MaxLifetime, SubjectFrom: a.SubjectFrom, Keys: verify.Fixed{}}
	}
	return out
}

func says(err error, text string) bool {
	if text == "" {
		return err == nil
	}
	var problems Problems
	return errors.As(err, &problems) && len(problems) == 1 && strings.Contains(problems[0].Message, text)
}

func TestAUserIsOneWhoCanSignIn(t *testing.T) {
	hash := func(cost string) string {
		return "$argon2id$v=19$" + cost + "$c29tZXNhbHRzb21lc2FsdA$Z0ow6zf8QzC1mGPlWHcnAvZWxpVX0xWFzlvcaYoz9cE"
	}
	tests := []struct{ name, user, hash, says string }{
		{"as printed", "alice", hash("m=19456,t=2,p=1"), ""},
		{"256 MiB", "alice", hash("m=262144,t=16,p=16"), ""},
		{"more memory", "alice", hash("m=262145,t=2,p=1"), "cannot be used: want m=8 to 262144"},
		{"memory and passes beyond the bounds", "alice", hash("m=7,t=17,p=1"), "want m=8 to 262144, want t=1 to 16"},
		{"more lanes than memory", "alice", hash("m=19456,t=2,p=17"), "want p=1 to 16"},
		{"a leading zero", "alice", hash("m=019456,t=2,p=1"), "want m=8"},
		{"a key of another length than base64 has", "alice", hash("m=19456,t=2,p=1") + "AA", "the key is base64"},
		{"255 bytes", strings.Repeat("a", 255), hash("m=19456,t=2,p=1"), ""},
		{"256 bytes", strings.Repeat("a", 256), hash("m=19456,t=2,p=1"), "longer than 255 bytes"},
		{"128 letters of two bytes", strings.Repeat("é", 128), hash("m=19456,t=2,p=1"), "longer than 255 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte(fmt.Sprintf("issuer: {url: https://issuer.test, users: [{name: %q, password: {hash: %q}}]}", tt.user, tt.hash)))
			if !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "Z0ow6zf8") {
				t.Errorf("the hash is repeated: %v", err)
			}
			if err == nil {
				u := cfg.Issuer.Users[0]
				h, err := password.Parse(u.Password.Hash)
				if _, more := password.NewUsers([]password.User{{Name: u.Name, Hash: h}}, 1); errors.Join(err, more) != nil {
					t.Errorf("the issuer refuses it: %v", errors.Join(err, more))
				}
			}
		})
	}
}

func TestAClientIsOneThatTheIssuerFinds(t *testing.T) {
	hash := password.HashSecret("x").String()
	tests := []struct{ name, id, hash, says string }{
		{"255 bytes", strings.Repeat("a", 255), hash, ""},
		{"256 bytes", strings.Repeat("a", 256), hash, "at most 255"},
		{"bits beyond the hash", "a", hash[:len(hash)-1] + "_", "is not a hash that"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := fmt.Sprintf("issuer: {url: https://issuer.test, clients: [{id: %q, authenticate: secret, secret: {hash: %q}, "+
				"grants: [client_credentials], audiences: [a]}]}", tt.id, tt.hash)
			if _, err := Parse("f", []byte(text)); !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
		})
	}
}

func TestLifetimesAreThoseTheIssuerTakes(t *testing.T) {
	tests := []struct{ name, lifetimes, says string }{
		{"the most", "access: 24h, max_access: 24h, session_idle: 3650d, session_absolute: 3650d, code: 10m, backdate: 60s, grace: 10m", ""},
		{"the least", "access: 1s, max_access: 1s, session_idle: 1s, session_absolute: 1s, code: 1s, backdate: 0s, grace: 0s", ""},
		{"a session of more than ten years", "session_absolute: 3651d", "session_absolute is 3651d: 3650d is the most"},
		{"an idle end after more than ten years", "session_idle: 3651d, session_absolute: 1h", "session_idle is 3651d: 3650d is the most"},
		{"max_access below the default of access", "max_access: 1m", "lifetimes.access is 5m: 1m is the most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte("issuer: {url: https://issuer.test, lifetimes: {"+tt.lifetimes+"}}"))
			if !says(err, tt.says) {
				t.Fatalf("Parse = %v, want %q", err, tt.says)
			}
			if err != nil {
				return
			}
			l := cfg.Issuer.Lifetimes
			if _, err := issuer.New(issuer.Config{URL: cfg.Issuer.URL, Engine: struct{ store.Engine }{}, Keys: struct{ issuer.Keys }{}, Clients: struct{ issuer.Clients }{},
				Lifetimes: issuer.Lifetimes{Access: l.Access, MaxAccess: l.MaxAccess, SessionIdle: l.SessionIdle,
					SessionAbsolute: l.SessionAbsolute, Code: l.Code, Backdate: l.Backdate, Grace: l.Grace}}); err != nil {
				t.Errorf("the issuer refuses it: %v", err)
			}
		})
	}
}

func TestAClientAndAUserShareNoName(t *testing.T) {
	const users = `users: [{name: alice, password: {hash: "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Z0ow6zf8QzC1mGPlWHcnAvZWxpVX0xWFzlvcaYoz9cE"}}]`
	const clients = "clients: [{id: alice, authenticate: none, grants: [authorization_code], audiences: [a], redirect_uris: [https://app.test/cb]}]"
	_, err := Parse("f", []byte("issuer: {url: https://issuer.test, "+users+", "+clients+"}"))
	if !says(err, "sub would not tell them apart") {
		t.Errorf("Parse = %v", err)
	}
	is := mustParse(t, "issuer: {url: https://issuer.test, lifetimes: {session_absolute: 1h}, "+users+"}").Issuer
	added := Client{ID: "alice", Authenticate: "none", Grants: []string{"authorization_code", "refresh_token"}, Audiences: []string{"a"}, RedirectURIs: []string{"https://app.test/cb"}}
	if err := CheckClient(added, *is); err == nil || !strings.Contains(err.Error(), "sub would not tell them apart") {
		t.Errorf("CheckClient of a user's name = %v", err)
	}
	added.ID = "Alice"
	if err := CheckClient(added, *is); err != nil {
		t.Errorf("CheckClient of another name = %v", err)
	}
	is.Lifetimes = Lifetimes{Access: time.Minute}
	if err := CheckClient(added, *is); err == nil || !strings.Contains(err.Error(), "session_absolute is missing") {
		t.Errorf("CheckClient of an endless session = %v", err)
	}
}
