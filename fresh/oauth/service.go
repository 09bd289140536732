package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

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
	known *metadata // what the last answer was got with; nil: to be read
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
	a, err := s.ask(ctx, func(m metadata) string { return m.TokenEndpoint }, form, now)
	if err != nil {
		return granted{}, err
	}
	got, err := readGranted(a)
	if err != nil {
		s.forget()
	}
	return got, err
}

// ask posts form, with the client's proof, to one of the service's endpoints.
// After a failure the metadata is read anew: the service may have moved.
func (s *service) ask(ctx context.Context, at func(metadata) string, form url.Values, now time.Time) (ask.Answer, error) {
	if s.wrong != nil {
		return ask.Answer{}, s.wrong
	}
	m, err := s.find(ctx)
	if err != nil {
		return ask.Answer{}, err
	}
	a, err := s.post(ctx, m, at, form, now)
	if err != nil {
		s.forget()
	}
	return a, err
}

func (s *service) post(ctx context.Context, m metadata, at func(metadata) string, form url.Values, now time.Time) (ask.Answer, error) {
	p, err := s.prove(m, now)
	if err != nil {
		return ask.Answer{}, err
	}
	if p.certificate != nil {
		m = m.mutual()
	}
	for name, values := range p.form {
		form[name] = values
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at(m), strings.NewReader(form.Encode()))
	if err != nil {
		return ask.Answer{}, fresh.Fail(fresh.Misconfigured, "an endpoint of %s is not a URL", theService)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if p.basic != "" {
		req.SetBasicAuth(url.QueryEscape(s.cfg.Client), url.QueryEscape(p.basic))
	}
	a, err := ask.Do(p.http, req, theService)
	if err != nil {
		return ask.Answer{}, err
	}
	return a, refusal(a, append(secretsOf(form), p.basic))
}

// find returns the metadata: as configured, as known, or as read now.
func (s *service) find(ctx context.Context) (metadata, error) {
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

func (s *service) configured() metadata {
	m := metadata{Issuer: s.cfg.Issuer, endpoints: endpoints{s.cfg.TokenEndpoint, s.cfg.DeviceEndpoint}}
	if m.Issuer == "" {
		m.Issuer = m.TokenEndpoint
	}
	return m
}
