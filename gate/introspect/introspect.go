// Package introspect asks an issuer what a token says (RFC 7662), for issuers
// whose tokens nobody else can read.
//
//	src, err := introspect.New(introspect.Config{
//		URL:    "https://tokens.example.com/introspect",
//		Client: clientauth.Config{ClientID: "gate-b", Secret: secret},
//	})
//	verify.Issuer{URL: "https://tokens.example.com", Audience: aud, Introspect: src}
//
// What the issuer says is what a signature would have told, and no verdict:
// audience, window, scope and binding are judged by verify each time, whether
// the answer was kept or came just now. An answer is kept for a second, so that
// an early end counts within one, or within the time that an answer takes: those
// who ask about one token at once share it. Only so many questions are asked at
// once. The token goes to URL alone, and into no error.
package introspect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/token"
)

// NoCache asks for each token each time, where a Cache of zero asks for the
// default.
const NoCache time.Duration = -1

const (
	defaultCache = time.Second
	maxCache     = 10 * time.Second
	defaultAsked = 64
	within       = 5 * time.Second // of one question, its wait for a turn included
)

// Config is an issuer's introspection endpoint and the client that asks it.
type Config struct {
	URL    string            // https, or http on loopback
	Client clientauth.Config // the gate's own client; Audience is the issuer, or URL
	Cache  time.Duration     // how long an answer counts, never beyond the token's end; default 1 s, at most 10 s; NoCache for none
	Most   int               // questions under way at once; default 64

	HTTP  *http.Client                         // default one that dials no private address, except loopback where URL names it; redirects are never followed
	Dated func(sent, received, date time.Time) // called with the Date of an answer that no cache kept; may be nil
	Now   func() time.Time                     // for Dated; default time.Now
}

// Source asks one endpoint. It implements verify.Introspector.
type Source struct {
	cfg   Config
	turns chan struct{}

	mu      sync.Mutex
	shelf   shelf
	flights map[string]*flight // by the whole token
}

// flight is one question under way. What it brings is set before done is closed.
type flight struct {
	done   chan struct{}
	answer answer
	left   bool // who asked has left without an answer
}

// New checks cfg and returns a Source. It does no I/O and starts nothing. The
// error names every field that is wrong, and no secret.
func New(cfg Config) (*Source, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Source{cfg: cfg, turns: make(chan struct{}, cfg.Most), shelf: newShelf(cfg.Cache), flights: map[string]*flight{}}, nil
}

func (c Config) check() error {
	var wrong []error
	add := func(what string, err error) {
		if err != nil {
			wrong = append(wrong, fmt.Errorf("introspect: %s: %w", what, err))
		}
	}
	add("url", discovery.CheckURL(c.URL, c.local()))
	add("client", c.Client.Check())
	if c.Client.Secret == "" && c.Client.Key == nil && c.HTTP == nil {
		add("client", errors.New("a secret or a key is required (RFC 7662 section 2.1)"))
	}
	if c.Cache > maxCache || c.Cache < 0 && c.Cache != NoCache {
		add("cache", fmt.Errorf("%s is not between 0s and %s", c.Cache, maxCache))
	}
	if c.Most < 0 {
		add("most", fmt.Errorf("%d is negative", c.Most))
	}
	return errors.Join(wrong...)
}

// local reports whether the configuration itself names a loopback host.
func (c Config) local() bool {
	u, err := url.Parse(c.URL)
	return err == nil && token.Loopback(u.Hostname())
}

func (c Config) withDefaults() Config {
	if c.Cache == 0 {
		c.Cache = defaultCache
	}
	if c.Most == 0 {
		c.Most = defaultAsked
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	h := &http.Client{}
	if c.HTTP != nil {
		*h = *c.HTTP
	}
	if h.Transport == nil {
		h.Transport = c.transport()
	}
	h.Jar = nil
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = h
	return c
}

func (c Config) transport() *http.Transport {
	local := c.local()
	dialer := &net.Dialer{Timeout: within, Control: func(_, address string, _ syscall.RawConn) error {
		return discovery.CheckAddress(address, local)
	}}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    c.Most,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    within,
		MaxResponseHeaderBytes: maxBody,
	}
}

// CloseIdleConnections lets go of connections that nobody uses.
func (s *Source) CloseIdleConnections() { s.cfg.HTTP.CloseIdleConnections() }

// Introspect returns what the issuer says of raw: an answer that was kept, that
// of a question under way, or a new one. Whether raw has the form of a token is
// verify's to judge, before. The error is an *token.Error with Revoked or
// KeysUnavailable.
func (s *Source) Introspect(ctx context.Context, raw string, now time.Time) (token.Claims, error) {
	for {
		kept, f, first := s.board(raw, now)
		switch {
		case f == nil:
			return kept.claims, kept.refusal()
		case first:
			return s.fly(ctx, f, raw, now)
		}
		select {
		case <-f.done:
			if !f.left {
				return f.answer.claims, f.answer.refusal()
			}
		case <-ctx.Done():
			return token.Claims{}, cannotAsk(context.Cause(ctx), "the caller left before it answered").err
		}
	}
}

// board returns the answer that is kept, else the question under way; first says
// that the caller is to ask it.
func (s *Source) board(raw string, now time.Time) (kept answer, f *flight, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.shelf.get(raw, now); ok {
		return a, nil, false
	}
	if f, ok := s.flights[raw]; ok {
		return answer{}, f, false
	}
	f = &flight{done: make(chan struct{}), left: true}
	s.flights[strings.Clone(raw)] = f
	return answer{}, f, true
}

// fly asks, and hands the answer to all who wait for it. Where its own caller
// leaves, another asks anew.
func (s *Source) fly(ctx context.Context, f *flight, raw string, now time.Time) (token.Claims, error) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.flights, raw)
		if !f.left && f.answer.lasts {
			s.shelf.put(strings.Clone(raw), f.answer, now)
		}
		close(f.done)
	}()
	f.answer = s.ask(ctx, raw, now)
	f.left = ctx.Err() != nil && !f.answer.lasts
	return f.answer.claims, f.answer.refusal()
}
