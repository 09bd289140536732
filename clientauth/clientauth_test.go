package clientauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/token"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func signer(t *testing.T) *token.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner("k1", token.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// dress returns what a client adds to a request.
func dress(t *testing.T, c clientauth.Config) (http.Header, url.Values) {
	t.Helper()
	h, form := http.Header{}, url.Values{}
	if err := c.Dress(h, form, start); err != nil {
		t.Fatal(err)
	}
	if c.InForm() != (len(form) > 0 || c.ClientID == "") || c.InForm() == (len(h) > 0) {
		t.Errorf("in the form: %v, but header %v and form %v", c.InForm(), h, form)
	}
	return h, form
}

func TestASecretGoesIntoTheHeaderEncodedAsAForm(t *testing.T) {
	h, _ := dress(t, clientauth.Config{ClientID: "gate b:1", Secret: "s+e:c ret/ü%"})
	r := http.Request{Header: h}
	if id, secret, _ := r.BasicAuth(); id != "gate+b%3A1" || secret != "s%2Be%3Ac+ret%2F%C3%BC%25" {
		t.Errorf("Basic %q %q", id, secret)
	}
}

func TestWhatGoesIntoTheForm(t *testing.T) {
	tests := []struct {
		name string
		cfg  clientauth.Config
		want url.Values
	}{
		{"a secret, as told", clientauth.Config{ClientID: "a", Secret: "b c", Method: clientauth.Post}, url.Values{"client_id": {"a"}, "client_secret": {"b c"}}},
		{"a public client's name", clientauth.Config{ClientID: "a"}, url.Values{"client_id": {"a"}}},
		{"nothing of a client without a name", clientauth.Config{}, url.Values{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, form := dress(t, tt.cfg); !maps.EqualFunc(form, tt.want, slices.Equal) {
				t.Errorf("form %v, want %v", form, tt.want)
			}
		})
	}
}

func TestAnAssertionIsForOneAudienceAndOneUse(t *testing.T) {
	key := signer(t)
	seen := map[string]bool{}
	for _, audience := range []string{"https://tokens.example.com", "https://tokens.example.com/introspect"} {
		_, form := dress(t, clientauth.Config{ClientID: "gate", Key: key, Audience: audience})
		if form.Get("client_id") != "gate" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("form %v", form)
		}
		j, err := token.Parse(form.Get("client_assertion"))
		if err != nil || j.Verify(key.Key()) != nil || j.KeyID() != "k1" {
			t.Fatalf("the assertion does not verify: %v", err)
		}
		var c map[string]any
		claims, _ := j.Claims()
		if err := json.Unmarshal(claims.Raw, &c); err != nil {
			t.Fatal(err)
		}
		id, _ := c["jti"].(string)
		if c["iss"] != "gate" || c["sub"] != "gate" || c["aud"] != audience || id == "" || seen[id] || len(c) != 6 {
			t.Errorf("the assertion says %v", c)
		}
		if !claims.IssuedAt.Equal(start) || !claims.Expires.Equal(start.Add(time.Minute)) {
			t.Errorf("it lives from %s to %s", claims.IssuedAt, claims.Expires)
		}
		seen[id] = true
	}
}

func TestAClientThatCannotProveItselfIsRefused(t *testing.T) {
	key := signer(t)
	shared, err := token.NewSecretSigner("k", []byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  clientauth.Config
		says string
	}{
		{"secret and key", clientauth.Config{ClientID: "a", Secret: "canary", Key: key, Audience: "b"}, "exactly one"},
		{"a secret without a name", clientauth.Config{Secret: "canary"}, "client: required"},
		{"a key without a name", clientauth.Config{Key: key, Audience: "b"}, "client: required"},
		{"a key without an audience", clientauth.Config{ClientID: "a", Key: key}, "audience: required"},
		{"a shared secret as a key", clientauth.Config{ClientID: "a", Key: &shared, Audience: "b"}, "private key"},
		{"a signer without a key", clientauth.Config{ClientID: "a", Key: new(token.Signer), Audience: "b"}, "private key"},
		{"basic without a secret", clientauth.Config{ClientID: "a", Method: clientauth.Basic}, "needs a secret"},
		{"post with a key", clientauth.Config{ClientID: "a", Method: clientauth.Post, Key: key}, "needs a secret"},
		{"an assertion without a key", clientauth.Config{ClientID: "a", Method: clientauth.PrivateKeyJWT, Audience: "b"}, "needs a key"},
		{"none with a secret", clientauth.Config{ClientID: "a", Method: clientauth.None, Secret: "canary"}, "neither"},
		{"a method of another kind", clientauth.Config{ClientID: "a", Method: "client_secret_jwt", Secret: "canary"}, "none of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, form := http.Header{}, url.Values{}
			err := tt.cfg.Dress(h, form, start)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("Dress = %v, want an error that says %q", err, tt.says)
			}
			if len(h)+len(form) > 0 {
				t.Errorf("a refused client is dressed: %v %v", h, form)
			}
		})
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	cfg := clientauth.Config{ClientID: "gate", Secret: "canary"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "client", cfg)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "client", &cfg)
	said := log.String() + fmt.Sprintf("%v %+v %#v %s %q %x %v", cfg, cfg, cfg, cfg, cfg, cfg, struct{ C clientauth.Config }{cfg})
	if strings.Contains(said, "canary") || strings.Contains(said, fmt.Sprintf("%x", "canary")) || !strings.Contains(said, `client "gate" by client_secret_basic`) {
		t.Error(said)
	}
}
