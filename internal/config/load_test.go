package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Parse("dir/longcase.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestExampleIsRightAndComplete(t *testing.T) {
	if _, err := Parse("example.yaml", []byte(Example)); err != nil {
		t.Fatal(err)
	}
	for _, key := range allKeys(reflect.TypeFor[Config]()) {
		if !strings.Contains(Example, key+":") {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func allKeys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return allKeys(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(append(keys, f.key), allKeys(f.typ)...)
	}
	return keys
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	cfg := mustParse(t, "issuer: {url: https://issuer.test}\ngate: {accept: [{issuer: https://issuer.test, audience: a}, "+
		"{issuer: other, audience: a, algorithms: [HS256], secret: {file: s}, profile: jwt, leeway: 0s}]}\nconsole: {}\n")
	want := Lifetimes{Access: 5 * time.Minute, MaxAccess: time.Hour, Code: time.Minute, Backdate: 10 * time.Second, Grace: time.Minute}
	if cfg.Issuer.Lifetimes != want {
		t.Errorf("lifetimes = %+v, want %+v", cfg.Issuer.Lifetimes, want)
	}
	if got := cfg.Issuer.Signing; got != (Signing{"ES256", 30 * day, 10 * time.Minute}) {
		t.Errorf("signing = %+v", got)
	}
	a, b := cfg.Gate.Accept[0], cfg.Gate.Accept[1]
	if a.Leeway != 30*time.Second || a.MaxLifetime != time.Hour || a.KeysStale != day || a.Profile != "rfc9068" {
		t.Errorf("accept = %+v", a)
	}
	if b.Leeway != 0 || b.MaxLifetime != day || b.Secret.File != "dir/s" {
		t.Errorf("accept with profile jwt = %+v", b)
	}
	got := []string{cfg.Issuer.Listen, cfg.Gate.Listen, cfg.Console.Listen, cfg.Data.Dir, cfg.Issuer.Profile}
	if !slices.Equal(got, []string{"127.0.0.1:4600", "127.0.0.1:4610", "127.0.0.1:4630", "dir/longcase-data", "rfc9700"}) {
		t.Errorf("listeners, data, profile = %q", got)
	}
}

func TestASessionWithoutIdleEndEndsAtItsAbsoluteEnd(t *testing.T) {
	l := mustParse(t, "issuer: {url: https://issuer.test, lifetimes: {session_absolute: 2h}}").Issuer.Lifetimes
	if l.SessionIdle != 2*time.Hour {
		t.Errorf("session_idle = %v, want session_absolute", l.SessionIdle)
	}
}

func TestRelativePathsStartAtTheFilesFolder(t *testing.T) {
	cfg := mustParse(t, "data: d\nkeys: {encrypt_with: {file: /abs/kek}}\nissuer: {url: https://issuer.test, tls: {certificate: ../c, key: k}}\n")
	got := []string{cfg.Data.Dir, cfg.Keys.EncryptWith.File, cfg.Issuer.TLS.Certificate, cfg.Issuer.TLS.Key}
	if want := []string{"dir/d", "/abs/kek", "c", "dir/k"}; !slices.Equal(got, want) {
		t.Errorf("paths = %q, want %q", got, want)
	}
}

func TestPlainHTTPIsForLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "[::1]": true,
		"tokens.localhost": false, "localhost.example.com": false, "10.0.0.1": false,
	} {
		for what, text := range map[string]string{
			"url":    "issuer: {url: \"http://" + host + ":4600\"}",
			"listen": "issuer: {url: https://issuer.test, listen: \"" + host + ":4600\"}",
			"redirect": "issuer: {url: https://issuer.test, clients: [{id: a, authenticate: none, grants: [authorization_code], audiences: [a], " +
				"redirect_uris: [\"http://" + host + "/cb\"]}]}",
		} {
			if _, err := Parse("f", []byte(text)); (err == nil) != want {
				t.Errorf("%s on %s: %v", what, host, err)
			}
		}
	}
}

func TestARouteHasTheOnlyAudience(t *testing.T) {
	cfg := mustParse(t, "gate: {accept: [{issuer: https://issuer.test, audience: a}], routes: [{path: /x}]}")
	if got := cfg.Gate.Routes[0].Audience; got != "a" {
		t.Errorf("audience = %q, want a", got)
	}
}

func TestSecretComesFromAFileLessOneNewlineOrTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, []byte("two\nlines\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if got, err := (Secret{File: file}).Read(none); err != nil || string(got) != "two\nlines\n" {
		t.Errorf("Read = %q, %v", got, err)
	}
	if got, err := (Secret{Env: "S"}).Read(func(k string) string { return "of " + k }); err != nil || string(got) != "of S" {
		t.Errorf("Read = %q, %v", got, err)
	}
	if _, err := (Secret{Env: "S"}).Read(none); err == nil || !strings.Contains(err.Error(), "S is empty") {
		t.Errorf("an empty variable: %v", err)
	}
}

func TestLoadTellsTheFileSystemsErrors(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no file = %v", err)
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, bytes.Repeat([]byte("#"), MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("Load of a huge file = %v", err)
	}
}

func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("longcase.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("longcase.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text string
		valid      bool
	}{
		{"the example is valid", Example, true},
		{"an unknown key is not", "issuer: {url: https://issuer.test, lifetime: {}}", false},
		{"a missing key is not", "issuer: {}", false},
		{"a wrong unit is not", "issuer: {url: https://issuer.test, lifetimes: {access: 5min}}", false},
		{"a wildcard audience is not", "gate: {accept: [{issuer: https://issuer.test, audience: '*'}]}", false},
		{"a secret in the file is not", "keys: {encrypt_with: hunter2}", false},
		{"a secret from the environment is", "keys: {encrypt_with: '${KEK}'}", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.Validate(instance(t, tt.text)); (err == nil) != tt.valid {
				t.Errorf("Validate = %v", err)
			}
			if _, err := Parse("x.yaml", []byte(tt.text)); (err == nil) != tt.valid {
				t.Errorf("Parse disagrees: %v", err)
			}
		})
	}
}

func instance(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v, err = jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNearestSpelling(t *testing.T) {
	keys := keysOf(fieldsOf(reflect.TypeFor[Lifetimes]()))
	tests := []struct{ wrong, want string }{
		{"acces", "access"}, {"accses", "access"}, {"Access", "access"}, {"session-idle", "session_idle"},
		{"sesion_absolut", "session_absolute"}, {"lifetime", ""}, {"", ""}, {"xyz", ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.wrong, keys); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.wrong, got, tt.want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "15m": 15 * time.Minute, "12h": 12 * time.Hour, "30d": 30 * day, "0s": 0} {
		if got, ok := parseDuration(text); !ok || got != want {
			t.Errorf("parseDuration(%q) = %v, %v", text, got, ok)
		}
	}
	near := map[string]string{"30": "30s", "5min": "5m", "5 minutes": "5m", "1h30m": "90m", "1.5h": "90m", "2w": "14d",
		"90M": "90m", "500ms": "", "-5m": "", "forever": "", "999999999d": "", "1d12h": ""}
	for text, want := range near {
		if _, ok := parseDuration(text); ok {
			t.Errorf("parseDuration takes %q", text)
		}
		if got := nearDuration(text); got != want && text != "999999999d" {
			t.Errorf("nearDuration(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzParse: whatever the file holds, Parse answers; a problem stands inside
// the file, and what is accepted is bounded and has its ends.
func FuzzParse(f *testing.F) {
	f.Add(Example)
	f.Add("issuer:\n  url: https://issuer.test\n  lifetimes:\n    acces: 10m\n")
	f.Add("a: &a [*a]\n---\nb: !!binary x")
	f.Add("issuer: {url: https://i.test, clients: [{id: a, authenticate: none, grants: [refresh_token, authorization_code]}]}")
	f.Add("agent: {credentials: {" + sources + ", a: {kind: token-exchange, from: b, actor: a, issuer: https://i.test, audience: a}, b: {kind: google-sts, from: a, audience: a}}, publish: [{credential: a, as: imds}]}")
	f.Add("data: \"${HOME}\"\nkeys: {encrypt_with: {file: }}\n? [x]\n: y")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > MaxSize {
			return
		}
		cfg, err := Parse("f.yaml", []byte(text))
		if err == nil {
			checkEnds(t, cfg)
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("error is %T: %v", err, err)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") +
			strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 2
		for _, p := range problems {
			if p.Line > lines || strings.ContainsAny(p.Error(), "\n\x1b") {
				t.Errorf("%d lines, but %q", lines, p.Error())
			}
		}
	})
}

func checkEnds(t *testing.T, cfg *Config) {
	t.Helper()
	checkChains(t, cfg.Agent)
	if cfg.Issuer == nil {
		return
	}
	l := cfg.Issuer.Lifetimes
	if l.Access <= 0 || l.Access > day || l.Code <= 0 {
		t.Errorf("lifetimes without an end: %+v", l)
	}
	for _, c := range cfg.Issuer.Clients {
		if slices.Contains(c.Grants, "refresh_token") && (l.SessionAbsolute <= 0 || l.SessionIdle <= 0) {
			t.Errorf("client %q has endless sessions", c.ID)
		}
		if slices.ContainsFunc(c.Audiences, func(a string) bool { return strings.Contains(a, "*") }) {
			t.Errorf("client %q has a wildcard audience", c.ID)
		}
	}
}

// checkChains follows every credential to its source: it ends, and each link
// gets what it is made with.
func checkChains(t *testing.T, a *Agent) {
	t.Helper()
	if a == nil {
		return
	}
	for name, c := range a.Credentials {
		for links := 0; c.From != ""; links++ {
			above := a.Credentials[c.From]
			if above == nil || links > maxChain || !slices.Contains(kinds[c.Kind].from, above.Gives()) {
				t.Fatalf("the chain of %q breaks at %+v", name, c)
			}
			c = above
		}
	}
}
