package histories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/store"
)

// The parties of the refresh protocol.
const (
	issuerURL  = "https://tokens.test"
	audience   = "https://orders.test"
	callback   = "https://web.test/callback"
	verifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge  = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	grace      = 10 * time.Minute // outlasts every history
	keyLoading = time.Minute
)

// web is the only client and alice the only user; the password is whatever is
// typed.
type web struct{}

func (web) Client(_ context.Context, id string) (issuer.Client, error) {
	if id != "web" {
		return issuer.Client{}, issuer.ErrNoClient
	}
	return issuer.Client{
		ID: "web", Authenticate: issuer.AuthNone, Grants: []string{issuer.GrantAuthorizationCode, issuer.GrantRefreshToken},
		Audiences: []string{audience}, Scopes: []string{"orders.read"}, RedirectURIs: []string{callback},
	}, nil
}

func (web) Origin(context.Context, string) (bool, error) { return false, nil }

type alice struct{}

func (alice) Check(_ context.Context, name, _ string) (string, bool, error) {
	return name, name == "alice", nil
}
func (alice) Has(_ context.Context, subject string) (bool, error) { return subject == "alice", nil }

// newIssuer is one issuer over e; its keys are in the store, so that all over
// one store are nodes of the same. What it could not do is told to trouble.
func newIssuer(ctx context.Context, e store.Engine, trouble *lines) (*issuer.Issuer, error) {
	quiet := slog.New(slog.DiscardHandler)
	ring, err := keys.New(keys.Config{Registry: e.Registry(), KEK: make([]byte, 32), Overlap: time.Hour, SessionAbsolute: 12 * time.Hour, Log: quiet})
	if err != nil {
		return nil, err
	}
	loading, cancel := context.WithTimeout(ctx, keyLoading)
	defer cancel()
	for err = ring.Load(loading); errors.Is(err, store.ErrUnavailable) && loading.Err() == nil; err = ring.Load(loading) {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	return issuer.New(issuer.Config{
		URL: issuerURL, Engine: e, Keys: ring, Clients: web{}, Users: alice{}, Log: quiet, Hooks: issuer.Hooks{Refused: trouble.refused},
		Lifetimes: issuer.Lifetimes{SessionIdle: 11 * time.Hour, SessionAbsolute: 12 * time.Hour, Code: 10 * time.Minute, Grace: grace},
	})
}

// inProcess serves requests by calling a handler.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// wire is how clients reach one issuer.
type wire struct{ client *http.Client }

func newWire(to http.RoundTripper) wire {
	return wire{&http.Client{Transport: to, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// reply is what an issuer answered.
type reply struct {
	status       int
	err, refresh string
}

// post sends a form. The error is that of the way there or back.
func (w wire) post(ctx context.Context, path string, pairs ...string) (reply, error) {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, issuerURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	var said struct {
		Error   string `json:"error"`
		Refresh string `json:"refresh_token"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &said); err != nil {
			return reply{}, fmt.Errorf("%s answers %d %.200s: %w", path, resp.StatusCode, body, err)
		}
	}
	return reply{resp.StatusCode, said.Error, said.Refresh}, nil
}

func (w wire) redeem(ctx context.Context, code string) (reply, error) {
	return w.post(ctx, "/token", "grant_type", "authorization_code", "client_id", "web", "code", code, "redirect_uri", callback, "code_verifier", verifier)
}

func (w wire) refresh(ctx context.Context, token string) (reply, error) {
	return w.post(ctx, "/token", "grant_type", "refresh_token", "client_id", "web", "refresh_token", token)
}

func (w wire) revoke(ctx context.Context, token string) (reply, error) {
	return w.post(ctx, "/revoke", "client_id", "web", "token", token)
}

// codes signs alice in and returns n authorization codes.
func (w wire) codes(ctx context.Context, n int) (codes []string, err error) {
	client := *w.client
	if client.Jar, err = cookiejar.New(nil); err != nil {
		return nil, err
	}
	asked := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {callback}, "scope": {"orders.read"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	_, page, err := send(ctx, &client, http.MethodGet, asked)
	if err != nil {
		return nil, err
	}
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	if csrf == nil {
		return nil, fmt.Errorf("no login form: %.300s", page)
	}
	typed := url.Values{"username": {"alice"}, "password": {"any"}, "csrf": {csrf[1]}}
	for name, values := range asked {
		typed[name] = values
	}
	to, page, err := send(ctx, &client, http.MethodPost, typed)
	for err == nil && len(codes) < n {
		code := to.Query().Get("code")
		if code == "" {
			return nil, fmt.Errorf("no code in %q: %.300s", to, page)
		}
		codes = append(codes, code)
		to, page, err = send(ctx, &client, http.MethodGet, asked)
	}
	return codes, err
}

// send visits the authorization endpoint and returns where it leads, or the page.
func send(ctx context.Context, client *http.Client, method string, form url.Values) (*url.URL, string, error) {
	target, body := issuerURL+"/authorize", ""
	if method == http.MethodGet {
		target += "?" + form.Encode()
	} else {
		body = form.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", err
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	return to, string(page), err
}

// outcomeOfReply sorts what a token endpoint says. Whatever is no answer of the
// protocol may take effect still; no contention may cause it.
func outcomeOfReply(got reply, err error) outcome {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return not
	case err != nil, got.status == http.StatusServiceUnavailable:
		return unknown
	case got.status == http.StatusOK:
		return done
	case got.status == http.StatusBadRequest && got.err == string(invalid):
		return invalid
	default:
		return wrong
	}
}
