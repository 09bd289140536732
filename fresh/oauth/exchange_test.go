package oauth

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
)

// exchanger is a double of a token service that exchanges (RFC 8693): it takes
// the newest subject and actor tokens and no older ones.
type exchanger struct {
	*double
	subject, actor string // the tokens that are good; empty actor: none wanted
	refuse         http.HandlerFunc
}

func newExchanger(t *testing.T) *exchanger {
	e := &exchanger{subject: "s1"}
	e.double = newDouble(t, e.exchange)
	return e
}

func (e *exchanger) exchange(w http.ResponseWriter, r *http.Request) {
	f := r.PostForm
	switch {
	case f.Get("grant_type") != tokenExchange, f.Get("subject_token_type") == "", (f.Get("actor_token") == "") != (f.Get("actor_token_type") == ""):
		says(400, `{"error":"invalid_request","error_description":"a parameter is missing"}`)(w, r)
	case f.Get("subject_token") != e.subject:
		e.refuse(w, r)
	case f.Get("actor_token") != e.actor:
		says(400, `{"error":"invalid_request","error_description":"actor_token has expired"}`)(w, r)
	default:
		says(200, `{"access_token":"x","issued_token_type":"urn:ietf:params:oauth:token-type:jwt","token_type":"N_A","expires_in":60}`)(w, r)
	}
}

// series is a root that gives "s1", "s2", … and counts them.
func series(prefix string, n *int) fresh.Root[fresh.Token] {
	return func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		*n++
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: fmt.Sprintf("%s%d", prefix, *n)}, Life: time.Hour}, nil
	}
}

func TestATokenIsExchanged(t *testing.T) {
	tests := []struct {
		name      string
		configure func(*Config)
		want      map[string]string
	}{
		{"a JWT by default, without a client", func(c *Config) { c.Client, c.Secret = "", nil }, map[string]string{"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "client_id": "", "requested_token_type": ""}},
		{"short names", func(c *Config) { c.SubjectTokenType, c.RequestedTokenType = "id_token", "access_token" }, map[string]string{
			"subject_token_type": "urn:ietf:params:oauth:token-type:id_token", "requested_token_type": "urn:ietf:params:oauth:token-type:access_token"}},
		{"a URN", func(c *Config) { c.SubjectTokenType = "urn:example:passport" }, map[string]string{"subject_token_type": "urn:example:passport"}},
		{"with a public client", func(c *Config) { c.Secret = nil }, map[string]string{"client_id": "service a"}},
		{"for an audience and scopes", func(*Config) {}, map[string]string{"audience": "https://b.example.com", "scope": "orders.read orders.write", "subject_token": "s1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchanger(t)
			cfg := e.config()
			tt.configure(&cfg)
			var n int
			lease, err := fresh.From(fresh.New(series("s", &n), fresh.Policy{}), Exchange(cfg), fresh.Policy{}).Get(t.Context())
			if err != nil || lease.Value != (fresh.Token{Value: "x"}) {
				t.Fatalf("%v, %v", lease.Expires, err)
			}
			form := e.requests()[0].PostForm
			for name, want := range tt.want {
				if form.Get(name) != want {
					t.Errorf("%s = %q, want %q", name, form.Get(name), want)
				}
			}
		})
	}
}

func TestWhomARefusalBlames(t *testing.T) {
	no := func(code, description string) http.HandlerFunc {
		return says(400, fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, description))
	}
	tests := []struct {
		name   string
		refuse http.HandlerFunc
		blames bool
	}{
		{"invalid_grant", no("invalid_grant", ""), true},
		{"invalid_grant with words", no("invalid_grant", "token is expired"), true},
		{"invalid_request, expired", no("invalid_request", "The subject_token has expired"), true},
		{"invalid_request, as Keycloak words it", no("invalid_request", "Invalid token"), true},
		{"invalid_request, a signature", no("invalid_request", "the signature of the assertion cannot be verified"), true},
		{"invalid_token", no("invalid_token", "invalid token"), true},
		{"invalid_request, a type that is wrong", no("invalid_request", "subject_token_type is invalid"), false},
		{"invalid_request, a type that is wrong, spelled out", no("invalid_request", "Invalid token type: urn:ietf:params:oauth:token-type:jwt"), false},
		{"invalid_request, a token of a type", no("invalid_request", "subject token of type urn:ietf:params:oauth:token-type:jwt has expired"), true},
		{"invalid_request, a parameter", no("invalid_request", "subject_token_type is missing"), false},
		{"invalid_request without words", no("invalid_request", ""), false},
		{"invalid_client", no("invalid_client", "the client's token is expired"), false},
		{"invalid_target", no("invalid_target", "subject token: invalid audience"), false},
		{"unauthorized_client", no("unauthorized_client", ""), false},
		{"unavailable", says(503, ``), false},
		{"malformed", says(200, `{`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchanger(t)
			e.subject, e.refuse = "s2", tt.refuse
			var n int
			_, err := fresh.From(fresh.New(series("s", &n), fresh.Policy{}), Exchange(e.config()), fresh.Policy{}).Get(t.Context())
			want := 1
			if tt.blames {
				want = 2
			}
			if (err == nil) != tt.blames || n != want || len(e.requests()) != want {
				t.Errorf("%v; %d subject tokens had, %d requests, want %d each", err, n, len(e.requests()), want)
			}
			if err != nil && strings.Contains(err.Error(), "a:b c") {
				t.Error("the error holds the secret")
			}
		})
	}
}

func TestAnActorIsBlamedApartFromTheSubject(t *testing.T) {
	e := newExchanger(t)
	e.actor = "a2"
	cfg := e.config()
	cfg.ActorTokenType = "access_token"
	var subjects, actors int
	layer := fresh.Join(fresh.New(series("s", &subjects), fresh.Policy{}), fresh.New(series("a", &actors), fresh.Policy{}), ExchangeActor(cfg), fresh.Policy{})
	if _, err := layer.Get(t.Context()); err != nil || subjects != 1 || actors != 2 {
		t.Errorf("%v, %d subject and %d actor tokens, want 1 and 2", err, subjects, actors)
	}
	if form := e.requests()[0].PostForm; form.Get("actor_token") != "a1" || form.Get("actor_token_type") != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("asked with %v", form)
	}
}
