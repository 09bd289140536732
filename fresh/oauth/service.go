package oauth

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

// theService names it in errors.
const theService = "the token service"

// service is one token service, asked by one client.
type service struct {
	cfg   Config
	wrong error // why it can never be asked

	mu    sync.Mutex
	known *discovery.Document // what the last answer was got with; nil: to be read
}

func newService(cfg Config) *service {
	return &service{cfg: cfg.withDefaults(), wrong: misconfigured(cfg.Check())}
}

// misconfigured makes one error of those of a Check.
func misconfigured(err error) error {
	if err == nil {
		return nil
	}
	return fresh.Fail(fresh.Misconfigured, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
}

// token asks the token endpoint.
func (s *service) token(ctx context.Context, form url.Values, now time.Time) (granted, error) {
	q, err := s.prepare(ctx, tokenOf, form, now)
	if err != nil {
		return granted{}, err
	}
	return s.granted(ctx, q)
}

// request is one that is ready to be sent.
type request struct {
	*http.Request
	http    *http.Client
	secrets []string // that no error may repeat
	status  int      // of the answer

	dialled   atomic.Bool // a connection was looked for
	connected atomic.Bool // and had
}

// unsent reports whether nothing of q can have reached the service. A transport
// that does not tell is not believed.
func (q *request) unsent() bool { return q.dialled.Load() && !q.connected.Load() }

// answerWithin bounds the wait for one answer.
const answerWithin = 20 * time.Second

// prepare makes a request of form, with the client's proof, to one of the
// service's endpoints.
func (s *service) prepare(ctx context.Context, at func(discovery.Document) string, form url.Values, now time.Time) (*request, error) {
	if s.wrong != nil {
		return nil, s.wrong
	}
	m, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.prove(m, now)
	if err != nil {
		return nil, err
	}
	if p.mutual {
		m = mutual(m)
	}
	maps.Copy(form, p.form)
	q := &request{http: p.http, secrets: append(secretsOf(form), p.secret)}
	q.Request, err = http.NewRequestWithContext(ctx, http.MethodPost, at(m), strings.NewReader(form.Encode()))
	if err != nil || at(m) == "" {
		return nil, fresh.Fail(fresh.Misconfigured, "%s names no such endpoint: %s", theService, s.cfg.Issuer)
	}
	q.Header = p.header
	q.secrets = append(q.secrets, strings.TrimPrefix(q.Header.Get("Authorization"), "Basic "))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Accept", "application/json")
	return q, nil
}

// send sends q once. After a failure the metadata is read anew: the service may
// have moved. One that asks to wait has not.
func (s *service) send(ctx context.Context, q *request) (ask.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { q.dialled.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { q.connected.Store(true) },
	})
	a, err := ask.Do(q.http, q.WithContext(ctx), theService)
	q.status = a.Status
	if err == nil {
		err = refusal(a, q.secrets)
	}
	var no *Error
	waiting := errors.As(err, &no) && (no.Code == stillPending || no.Code == slowDown)
	if err != nil && !waiting {
		s.forget()
	}
	return a, err
}

// granted sends q and reads the token.
func (s *service) granted(ctx context.Context, q *request) (granted, error) {
	a, err := s.send(ctx, q)
	if err != nil {
		return granted{}, err
	}
	return readGranted(a)
}

// find returns the metadata: as configured, as known, or as read now.
func (s *service) find(ctx context.Context) (discovery.Document, error) {
	if s.cfg.TokenEndpoint != "" {
		return s.configured(), nil
	}
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	m, err := s.discover(ctx)
	if err == nil {
		s.mu.Lock()
		s.known = &m
		s.mu.Unlock()
	}
	return m, err
}

func (s *service) forget() {
	s.mu.Lock()
	s.known = nil
	s.mu.Unlock()
}

func (s *service) configured() discovery.Document {
	m := discovery.Document{Issuer: s.cfg.Issuer, Endpoints: discovery.Endpoints{Token: s.cfg.TokenEndpoint, Device: s.cfg.DeviceEndpoint}}
	if m.Issuer == "" {
		m.Issuer = m.Token
	}
	return m
}
