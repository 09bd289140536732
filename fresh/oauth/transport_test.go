package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/longcase/longcase/fresh"
)

// mint makes tokens "t1", "t2", …
type mint struct {
	made atomic.Int64
	fail atomic.Bool
	same bool // always "t1"
	kind string
}

func (m *mint) fetch(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
	if m.fail.Load() {
		return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Unavailable, "the mint is closed")
	}
	value := fmt.Sprintf("t%d", m.made.Add(1))
	if m.same {
		value = "t1"
	}
	return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: value, Type: m.kind}, Life: time.Hour}, nil
}

// shop takes the tokens that were not refused, and notes what was sent to it.
type shop struct {
	*httptest.Server
	mu      sync.Mutex
	refused string           // this token gets 401
	refuse  http.HandlerFunc // how
	saw     []string         // Authorization and body
}

func newShop(t *testing.T) *shop {
	s := &shop{refuse: challenge(401, `Bearer error="invalid_token"`)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.saw = append(s.saw, strings.TrimSpace(r.Header.Get("Authorization")+" "+string(body)))
	refused := s.refused != "" && r.Header.Get("Authorization") == "Bearer "+s.refused
	s.mu.Unlock()
	if refused {
		s.refuse(w, r)
		return
	}
	_, _ = io.WriteString(w, "sold")
}

func (s *shop) host() string { u, _ := url.Parse(s.URL); return u.Host }

func (s *shop) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.saw...)
}

func challenge(status int, text ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Www-Authenticate"] = text
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("no ", 1000))
	}
}

// customer is a client of the shop at the mint.
func customer(t *testing.T, m *mint, hosts ...string) (*http.Client, *fresh.Layer[fresh.Token]) {
	layer := fresh.New(m.fetch, fresh.Policy{Name: "shop"})
	c := Client(layer, hosts...)
	base := http.DefaultTransport.(*http.Transport).Clone()
	c.Transport.(*Transport).Base = base
	t.Cleanup(c.CloseIdleConnections)
	return c, layer
}

func TestHosts(t *testing.T) {
	tests := []struct {
		host, url string
		want      bool
	}{
		{"api.example.com", "https://api.example.com/x", true},
		{"api.example.com", "https://API.Example.com:443/x", true},
		{"API.example.com:443", "https://api.example.com", true},
		{"api.example.com:8443", "https://api.example.com:8443", true},
		{"api.example.com", "https://api.example.com:8443", false},
		{"api.example.com:8443", "https://api.example.com", false},
		{"example.com", "https://api.example.com", false},
		{"api.example.com", "https://api.example.com.evil.test", false},
		{"api.example.com", "https://api.example.com.", false},
		{"api.example.com", "https://evil.test/api.example.com", false},
		{"api.example.com", "https://api.example.com@evil.test", false},
		{"api.example.com", "http://api.example.com", false},
		{"api.example.com:80", "http://api.example.com", false},
		{"*", "https://api.example.com", false},
		{"", "https://api.example.com", false},
		{"127.0.0.1:8080", "http://127.0.0.1:8080", true},
		{"127.0.0.1", "http://127.0.0.1", true},
		{"localhost:8080", "http://localhost:8080", true},
		{"localhost:8080", "http://127.0.0.1:8080", false},
		{"::1", "http://[::1]", true},
		{"[::1]:8080", "http://[::1]:8080", true},
		{"2001:db8::1", "https://[2001:db8::1]", true},
		{"tokens.localhost", "http://tokens.localhost", false},
		{"10.0.0.1", "http://10.0.0.1", false},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		tr := Transport{Hosts: []string{"other.example.com", tt.host}}
		if got := tr.attaches(&http.Request{URL: u}); got != tt.want {
			t.Errorf("for host %q, %s: attaches %v, want %v", tt.host, tt.url, got, tt.want)
		}
	}
}

// One address serves many hosts: whoever reads the Host header gets the token.
func TestTheHostHeaderIsNamedToo(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "api.example.com": true, "API.example.com:443": true, "www.example.com": true,
		"evil.test": false, "api.example.com:8443": false, "api.example.com.": false, "api.example.com@evil.test": false,
	} {
		tr := Transport{Hosts: []string{"api.example.com", "www.example.com"}}
		r, _ := http.NewRequest(http.MethodGet, "https://api.example.com/", nil)
		if r.Host = host; tr.attaches(r) != want {
			t.Errorf("Host %q: attaches %v, want %v", host, !want, want)
		}
	}
}

func TestARequestThatLacksPartsIsTheBasesToJudge(t *testing.T) {
	shop := newShop(t)
	var m mint
	c, _ := customer(t, &m, shop.host())
	if _, err := c.Transport.RoundTrip(&http.Request{Method: http.MethodGet, Header: http.Header{}}); err == nil {
		t.Error("a request without a URL was sent")
	}
	u, _ := url.Parse(shop.URL)
	read(t)(c.Transport.RoundTrip(&http.Request{Method: http.MethodGet, URL: u}))
	if got := fmt.Sprint(shop.seen()); got != "[Bearer t1]" {
		t.Errorf("without headers: %s", got)
	}
}

// finishing is a body that sets a trailer at its end, as net/http lets it.
type finishing struct {
	io.Reader
	end func()
}

func (f finishing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		f.end()
	}
	return n, err
}

func (finishing) Close() error { return nil }

func TestATrailerThatTheBodySetsIsSent(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.Trailer.Get("Sum")
	}))
	t.Cleanup(s.Close)
	var m mint
	c, _ := customer(t, &m, strings.TrimPrefix(s.URL, "http://"))
	r, _ := http.NewRequest(http.MethodPost, s.URL, nil)
	r.Trailer, r.ContentLength = http.Header{"Sum": nil}, -1
	r.Body = finishing{strings.NewReader("order"), func() { r.Trailer.Set("Sum", "5") }}
	if read(t)(c.Do(r)); got != "5" {
		t.Errorf("the trailer is %q", got)
	}
}

func TestATokenIsAttached(t *testing.T) {
	shop, elsewhere := newShop(t), newShop(t)
	var m mint
	c, _ := customer(t, &m, shop.host())
	read(t)(c.Get(shop.URL))
	read(t)(c.Get(elsewhere.URL))
	own, _ := http.NewRequest(http.MethodGet, shop.URL, nil)
	own.Header.Set("Authorization", "Basic own")
	read(t)(c.Do(own))
	resp, _ := read(t)(c.Post(shop.URL, "text/plain", strings.NewReader("order")))
	if got := fmt.Sprint(shop.seen(), elsewhere.seen(), m.made.Load()); got != "[Bearer t1 Basic own Bearer t1 order] [] 1" {
		t.Errorf("the shops saw %s", got)
	}
	if resp.Request.Header.Get("Authorization") != "" || own.Header.Get("Authorization") != "Basic own" {
		t.Error("the token stands in the caller's request")
	}
}

func TestNoTokenAcrossARedirectToAnotherHost(t *testing.T) {
	target, stranger := newShop(t), newShop(t)
	to := func(from *shop) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/same" {
				http.Redirect(w, r, "/", http.StatusFound)
				return
			}
			if r.Header.Get("Authorization") != "" {
				from.saw = append(from.saw, "redirecting "+r.URL.Path)
			}
			http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
		}))
		t.Cleanup(s.Close)
		return s
	}
	named, unnamed := to(stranger), to(stranger)
	var m mint
	c, _ := customer(t, &m, target.host(), strings.TrimPrefix(named.URL, "http://"))
	read(t)(c.Get(named.URL))           // from one host of ours to another
	read(t)(c.Get(named.URL + "/same")) // twice at home, then away
	read(t)(c.Get(unnamed.URL))         // a stranger leads to us
	for _, saw := range target.seen() {
		if saw != "" {
			t.Errorf("a token came across a redirect: %q", saw)
		}
	}
	if got := fmt.Sprint(stranger.saw); got != "[redirecting / redirecting /]" {
		t.Errorf("the redirecting hosts saw %s", got)
	}
	back := newShop(t)
	here := httptest.NewServer(nil)
	t.Cleanup(here.Close)
	here.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		back.ServeHTTP(w, r)
	})
	c.Transport.(*Transport).Hosts = []string{strings.TrimPrefix(here.URL, "http://")}
	read(t)(c.Get(here.URL + "/a"))
	if got := fmt.Sprint(back.seen()); got != "[Bearer t1]" {
		t.Errorf("after a redirect at the same host: %s", got)
	}
}

// What heals, and what is passed on.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		refuse http.HandlerFunc
		heals  bool
	}{
		{"401", challenge(401), true},
		{"401 with a challenge that names no error", challenge(401, `Bearer realm="shop"`), true},
		{"401 with invalid_token", challenge(401, `Bearer realm="x, error=nothing", error="invalid_token", error_description="it says error=insufficient_scope"`), true},
		{"401 with another scheme beside it", challenge(401, `Basic realm="shop"`, `bearer Error=invalid_token`), true},
		{"403 with invalid_token", challenge(403, `Bearer error="invalid_token"`), true},
		{"400 with invalid_token", challenge(400, `Bearer error="invalid_token"`), true},
		{"401 with invalid_request", challenge(401, `Bearer error="invalid_request"`), false},
		{"401 with a nonce wanted", challenge(401, `DPoP error="use_dpop_nonce"`), false},
		{"403 with insufficient_scope", challenge(403, `Bearer error="insufficient_scope"`), false},
		{"401 with insufficient_scope", challenge(401, `Bearer error="insufficient_scope"`), false},
		{"403", challenge(403), false},
		{"503", challenge(503), false},
		{"200 with a challenge", challenge(200, `Bearer error="invalid_token"`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shop := newShop(t)
			shop.refused, shop.refuse = "t1", tt.refuse
			var m mint
			c, _ := customer(t, &m, shop.host())
			resp, body := read(t)(c.Post(shop.URL, "text/plain", strings.NewReader("order")))
			want := "[Bearer t1 order]"
			if tt.heals {
				want = "[Bearer t1 order Bearer t2 order]"
			}
			if got := fmt.Sprint(shop.seen()); got != want || (string(body) == "sold") != tt.heals || resp.Request.Header.Get("Authorization") != "" {
				t.Errorf("the shop saw %s and answered %s, want %s", got, resp.Status, want)
			}
		})
	}
}

// closing counts its closings.
type closing struct {
	io.Reader
	closed *atomic.Int64
}

func (c closing) Close() error { c.closed.Add(1); return nil }

func TestWhatIsNotRepeated(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *http.Request, s *shop, m *mint)
		saw    string
		status int
		made   int64
	}{
		{"a body that is gone", func(r *http.Request, _ *shop, _ *mint) { r.GetBody = nil }, "[Bearer t1 order]", 401, 1},
		{"a body that cannot be had again", func(r *http.Request, _ *shop, _ *mint) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}, "[Bearer t1 order]", 401, 1},
		{"a renewal that fails", func(_ *http.Request, s *shop, m *mint) {
			s.refuse = func(w http.ResponseWriter, r *http.Request) { m.fail.Store(true); challenge(401)(w, r) }
		}, "[Bearer t1 order]", 401, 1},
		{"a renewal that brings the same token", func(_ *http.Request, _ *shop, m *mint) { m.same = true }, "[Bearer t1 order]", 401, 2},
		{"a second refusal", func(_ *http.Request, s *shop, _ *mint) {
			s.refuse = func(w http.ResponseWriter, r *http.Request) {
				s.mu.Lock()
				s.refused = "t2"
				s.mu.Unlock()
				challenge(401)(w, r)
			}
		}, "[Bearer t1 order Bearer t2 order]", 401, 2},
		{"a host that got no token", func(r *http.Request, _ *shop, _ *mint) { r.Header.Set("Authorization", "Bearer t1") }, "[Bearer t1 order]", 401, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shop := newShop(t)
			shop.refused = "t1"
			var m mint
			c, layer := customer(t, &m, shop.host())
			r, _ := http.NewRequest(http.MethodPost, shop.URL, strings.NewReader("order"))
			tt.change(r, shop, &m)
			resp, body := read(t)(c.Do(r))
			if got := fmt.Sprint(shop.seen()); got != tt.saw || resp.StatusCode != tt.status || len(body) == 0 || m.made.Load() != tt.made {
				t.Errorf("the shop saw %s and answered %s, %d tokens made; want %s, %d", got, resp.Status, m.made.Load(), tt.saw, tt.made)
			}
			if m.fail.Store(false); tt.made == 1 && tt.name != "a renewal that fails" {
				if lease, err := layer.Get(t.Context()); err != nil || lease.Value.Value != "t2" {
					t.Errorf("the next lease is %v, %v: the refused one is still in hand", lease.Generation, err)
				}
			}
		})
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	shop := newShop(t)
	var closed atomic.Int64
	for name, m := range map[string]*mint{"the mint is closed": {}, "cannot be sent as a bearer token": {kind: "DPoP"}} {
		m.fail.Store(m.kind == "")
		c, _ := customer(t, m, shop.host())
		r, _ := http.NewRequest(http.MethodPost, shop.URL, closing{strings.NewReader("order"), &closed})
		if _, err := c.Do(r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	c := &http.Client{Transport: &Transport{Hosts: []string{shop.host()}}}
	if _, err := c.Get(shop.URL); !errors.Is(err, fresh.Misconfigured) {
		t.Errorf("without a layer: %v", err)
	}
	if len(shop.seen()) != 0 || closed.Load() < 2 {
		t.Errorf("the shop saw %v, %d bodies closed, want 2", shop.seen(), closed.Load())
	}
}

// Goal F3: callers never see that a token was revoked, and it is renewed once.
func TestAHundredCallersAtARevokedToken(t *testing.T) {
	shop := newShop(t)
	var m mint
	c, _ := customer(t, &m, shop.host())
	read(t)(c.Get(shop.URL))
	shop.mu.Lock()
	shop.refused = "t1"
	shop.mu.Unlock()
	var wait sync.WaitGroup
	var bad atomic.Int64
	for range 100 {
		wait.Go(func() {
			resp, err := c.Post(shop.URL, "text/plain", strings.NewReader("order"))
			if err != nil {
				bad.Add(1)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				bad.Add(1)
			}
		})
	}
	wait.Wait()
	if bad.Load() != 0 || m.made.Load() != 2 {
		t.Errorf("%d callers saw the refusal, %d tokens were made; want 0, 2", bad.Load(), m.made.Load())
	}
}

func TestATokenSourceHasTheEnd(t *testing.T) {
	m := mint{kind: "Bearer"}
	layer := fresh.New(m.fetch, fresh.Policy{})
	got, err := TokenSource(layer).Token()
	lease, _ := layer.Get(t.Context())
	if err != nil || got.AccessToken != "t1" || got.Type() != "Bearer" || !got.Expiry.Equal(lease.Expires) || lease.Expires.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	endless := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: "file", Scope: "a b"}, Recheck: time.Minute}, nil
	}, fresh.Policy{})
	got, err = TokenSource(endless).Token()
	if left := time.Until(got.Expiry); err != nil || left <= 0 || left > time.Minute || got.Extra("scope") != "a b" {
		t.Errorf("what is read each minute is kept for %s, %v", left, err)
	}
	if never := (&oauth2.Token{AccessToken: "x", Expiry: until(time.Time{})}); never.Valid() {
		t.Error("what is renewed nobody knows when is kept for ever")
	}
	m.fail.Store(true)
	if _, err := TokenSource(fresh.New(m.fetch, fresh.Policy{})).Token(); !errors.Is(err, fresh.Unavailable) {
		t.Errorf("%v", err)
	}
}
