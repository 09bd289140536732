package clouds

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// GoogleConfig is a double of the Google services that hand out credentials. It
// is a double: its tokens mean nothing to Google. Signatures, ends, audiences
// and ages are judged as Google judges them.
type GoogleConfig struct {
	Now       func() time.Time // required; the double's only clock, in its Date headers too
	Providers []GoogleProvider // of workload identity pools
	Accounts  []GoogleAccount  // service accounts
	TokenURI  string           // audience of key assertions; default http://HOST/token
	Machine   string           // email of the metadata server's account; empty: there is no such server
	Project   string           // project id; default "project"
	Signer    token.Signer     // of ID tokens; the zero one: there are none
	Life      time.Duration    // of tokens that nobody asks a life for; default 1 h
}

// GoogleProvider is what a pool accepts as evidence: signed AWS requests, or the
// JWTs of one issuer.
type GoogleProvider struct {
	Audience string // full resource name, "//iam.googleapis.com/…"
	// AWS judges a signed GetCallerIdentity request: Signed of an AWS.
	AWS func(*http.Request) error

	Issuer    string
	Keys      jwks.Set
	Audiences []string // default Audience, with and without "https:"
}

// GoogleAccount is a service account.
type GoogleAccount struct {
	Email   string
	Keys    []token.Key   // by which it signs assertions
	Members []string      // who may impersonate it: audiences of providers, emails
	MaxLife time.Duration // of impersonation; default 1 h
}

// Google is the double: POST /v1/token (STS), /v1/projects/-/serviceAccounts/…
// (IAM Credentials), POST /token (OAuth), /computeMetadata/v1/… (GCE),
// /oauth2/v3/certs (keys of ID tokens) and /api/…, which accepts live tokens
// only.
type Google struct {
	cfg                 GoogleConfig
	mux                 *http.ServeMux
	*ledger[grant, int] // endpoints: sts, iam, token, metadata, certs, api; a fault is a status; kept are the metadata server's, by scopes
}

// grant is a token that is out.
type grant struct {
	who    string // a provider's audience, or a service account's email
	scopes string // space separated
	end    time.Time
}

func (g grant) over(now time.Time) bool { return !now.Before(g.end) }

// NewGoogle returns a double.
func NewGoogle(cfg GoogleConfig) *Google {
	g := &Google{cfg: cfg, mux: http.NewServeMux(), ledger: newLedger[grant, int](cfg.Life)}
	if g.cfg.Project == "" {
		g.cfg.Project = "project"
	}
	g.route("POST /v1/token", "sts", g.serveSTS)
	g.route("POST /v1/projects/-/serviceAccounts/{method}", "iam", g.serveIAM)
	g.route("POST /token", "token", g.serveToken)
	g.route("GET /computeMetadata/v1/", "metadata", g.serveMetadata)
	g.route("GET /oauth2/v3/certs", "certs", g.serveCerts)
	g.route("/api/", "api", g.serveAPI)
	return g
}

func (g *Google) route(pattern, endpoint string, serve func(http.ResponseWriter, *http.Request)) {
	g.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", g.cfg.Now().UTC().Format(http.TimeFormat))
		if status := g.count(endpoint); status != 0 {
			w.WriteHeader(status)
			return
		}
		serve(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (g *Google) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.mux.ServeHTTP(w, r) }

// Fail makes the next n calls of an endpoint answer with status and nothing else.
func (g *Google) Fail(endpoint string, n, status int) {
	g.fail(endpoint, n, status)
}

// issue makes a token of who for scopes; life 0 is the double's own.
func (g *Google) issue(prefix, who, scopes string, life time.Duration) (string, time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	if life == 0 {
		life = g.life
	}
	value := prefix + rand.Text() + rand.Text()
	g.put(value, grant{who, scopes, now.Add(life)}, now)
	return value, now.Add(life)
}

// lookup returns the live grant of a token.
func (g *Google) lookup(value string) (grant, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.live[value]
	return found, ok && !found.over(g.cfg.Now())
}

// bearer returns the grant of a request's token.
func (g *Google) bearer(r *http.Request) (grant, bool) {
	value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return grant{}, false
	}
	if found, ok := g.lookup(value); ok {
		return found, true
	}
	who, err := g.selfSigned(value)
	return grant{who: who, scopes: cloudPlatform}, err == nil
}

// serveAPI stands for every Google API: it says whose token it was given, or 401.
func (g *Google) serveAPI(w http.ResponseWriter, r *http.Request) {
	found, ok := g.bearer(r)
	if !ok {
		g.unauthenticated(w)
		return
	}
	g.write(w, http.StatusOK, map[string]string{"as": found.who})
}

func (g *Google) unauthenticated(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	g.refuse(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. "+
		"Expected OAuth 2 access token, login cookie or other valid authentication credential.")
}

func (g *Google) write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

// refuse is an error of Google's APIs (AIP-193).
func (g *Google) refuse(w http.ResponseWriter, status int, code, format string, args ...any) {
	g.write(w, status, map[string]any{"error": map[string]any{
		"code": status, "status": code, "message": fmt.Sprintf(format, args...),
	}})
}

// refusal is an error of the token endpoints (RFC 6749 section 5.2).
type refusal struct{ code, text string }

func (e refusal) Error() string { return e.code + ": " + e.text }

// no is a refusal.
func no(code, format string, args ...any) error { return refusal{code, fmt.Sprintf(format, args...)} }

func (g *Google) refuseOAuth(w http.ResponseWriter, err error) {
	var said refusal
	if !errors.As(err, &said) {
		said = refusal{"invalid_request", err.Error()}
	}
	g.write(w, http.StatusBadRequest, map[string]string{"error": said.code, "error_description": said.text})
}

func (g *Google) account(email string) (GoogleAccount, bool) {
	for _, a := range g.cfg.Accounts {
		if a.Email == email {
			return a, true
		}
	}
	return GoogleAccount{}, false
}
