package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser keeps cookies and signs in.
type browser struct {
	t    *testing.T
	http *http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *client
	c.Jar = jar
	return &browser{t: t, http: &c}
}

// signIn walks from the authorization URL through the login form, as alice,
// and returns the query with which the client is called back.
func (b *browser) signIn(start string) url.Values {
	b.t.Helper()
	resp := b.get(start)
	for range 10 {
		defer resp.Body.Close()
		if next, err := resp.Location(); err == nil {
			if strings.HasPrefix(next.String(), callback) {
				return next.Query()
			}
			resp = b.get(next.String())
			continue
		}
		if resp.StatusCode != http.StatusOK {
			b.t.Fatalf("%s says %d", resp.Request.URL, resp.StatusCode)
		}
		resp = b.submit(resp, "alice", password)
	}
	b.t.Fatal("the login never came back to the client")
	return nil
}

func (b *browser) get(u string) *http.Response {
	b.t.Helper()
	resp, err := b.http.Get(u)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// submit fills in the form of a page and posts it back as a browser does.
func (b *browser) submit(page *http.Response, name, pass string) *http.Response {
	b.t.Helper()
	action, fields := readForm(b.t, page)
	if !fields.Has("username") || !fields.Has("password") {
		b.t.Fatalf("%s asks for %v", page.Request.URL, fields)
	}
	fields.Set("username", name)
	fields.Set("password", pass)
	target, err := page.Request.URL.Parse(action)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", target.Scheme+"://"+target.Host)
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// readForm returns the action and the fields of a page's first form.
func readForm(t *testing.T, page *http.Response) (action string, fields url.Values) {
	t.Helper()
	root, err := html.Parse(page.Body)
	if err != nil {
		t.Fatal(err)
	}
	fields = url.Values{}
	for n := range root.Descendants() {
		switch {
		case n.Type == html.ElementNode && n.Data == "form":
			action = attribute(n, "action")
		case n.Type == html.ElementNode && n.Data == "input" && attribute(n, "name") != "":
			fields.Set(attribute(n, "name"), attribute(n, "value"))
		}
	}
	return action, fields
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// login is one walk for a client: the code it was given and the verifier.
type login struct {
	client, code, verifier string
}

// signIn gets a code for a client; extra pairs are added to the request.
func (w *world) signIn(id string, extra ...string) login {
	w.t.Helper()
	l := login{client: id, verifier: rand.Text() + rand.Text()}
	query := newBrowser(w.t).signIn(w.authorizeURL(l, extra...))
	l.code = query.Get("code")
	if l.code == "" || query.Get("state") != "state-1" {
		w.t.Fatalf("called back with %v", query)
	}
	w.hide(l.code, l.verifier)
	return l
}

func (w *world) authorizeURL(l login, extra ...string) string {
	sum := sha256.Sum256([]byte(l.verifier))
	q := url.Values{
		"client_id": {l.client}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"state-1"},
		"scope": {"openid orders.read"}, "resource": {audience},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
	}
	return w.Issuer + "/authorize?" + q.Encode()
}

// redeem exchanges the code of a login.
func (w *world) redeem(l login) answer {
	w.t.Helper()
	return w.hideAll(send(w.t, w.redeemRequest(l)))
}

func (w *world) redeemRequest(l login) *http.Request {
	r := form(w.Issuer+"/token", w.identify(l.client, "grant_type", "authorization_code", "code", l.code,
		"redirect_uri", callback, "code_verifier", l.verifier)...)
	return w.authenticate(l.client, r)
}

// refresh asks for the next generation.
func (w *world) refresh(id, token string) answer {
	w.t.Helper()
	return w.hideAll(send(w.t, w.refreshRequest(id, token)))
}

func (w *world) refreshRequest(id, token string) *http.Request {
	r := form(w.Issuer+"/token", w.identify(id, "grant_type", "refresh_token", "refresh_token", token)...)
	return w.authenticate(id, r)
}

// identify adds client_id for public clients.
func (w *world) identify(id string, pairs ...string) []string {
	if _, confidential := w.Secret[id]; confidential {
		return pairs
	}
	return append(pairs, "client_id", id)
}

func (w *world) authenticate(id string, r *http.Request) *http.Request {
	if _, confidential := w.Secret[id]; confidential {
		return w.as(id, r)
	}
	return r
}

// session signs in and redeems the code.
func (w *world) session(id string) answer {
	w.t.Helper()
	a := w.redeem(w.signIn(id))
	if a.status != http.StatusOK || a.text("refresh_token") == "" {
		w.t.Fatalf("no session for %s: %d %s", id, a.status, a.body)
	}
	return a
}
