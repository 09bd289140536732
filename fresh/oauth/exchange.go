package oauth

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
)

const tokenTypes = "urn:ietf:params:oauth:token-type:"

// tokenType spells a token type out (RFC 8693 section 3); empty: it is none.
func tokenType(name string) string {
	switch {
	case name == "jwt", name == "access_token", name == "id_token", name == "refresh_token", name == "saml1", name == "saml2":
		return tokenTypes + name
	case strings.HasPrefix(name, "urn:") && printableToken(name):
		return name
	}
	return ""
}

// Exchange returns a provider that exchanges the parent's token (RFC 8693). The
// subject token is blamed where the service says that it is at fault.
func Exchange(cfg Config) fresh.Fetch[fresh.Token, fresh.Token] {
	s := newService(cfg)
	return func(ctx context.Context, subject fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
		got, err := s.exchange(ctx, subject, nil, now)
		return got.Credential, err
	}
}

// ExchangeActor is Exchange on behalf of an actor, for fresh.Join: first the
// subject's token, then the actor's.
func ExchangeActor(cfg Config) func(ctx context.Context, subject, actor fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
	s := newService(cfg)
	return func(ctx context.Context, subject, actor fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[fresh.Token], error) {
		got, err := s.exchange(ctx, subject, &actor, now)
		return got.Credential, err
	}
}

func (s *service) exchange(ctx context.Context, subject fresh.Lease[fresh.Token], actor *fresh.Lease[fresh.Token], now time.Time) (granted, error) {
	form := s.cfg.form(tokenExchange)
	form.Set("subject_token", subject.Value.Value)
	form.Set("subject_token_type", typeOr(s.cfg.SubjectTokenType))
	if actor != nil {
		form.Set("actor_token", actor.Value.Value)
		form.Set("actor_token_type", typeOr(s.cfg.ActorTokenType))
	}
	set(form, "requested_token_type", tokenType(s.cfg.RequestedTokenType))
	got, err := s.token(ctx, form, now)
	switch faultOf(err) {
	case faultSubject:
		return got, fresh.Blame(subject, err)
	case faultActor:
		if actor != nil {
			return got, fresh.Blame(*actor, err)
		}
	}
	return got, err
}

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

func typeOr(name string) string {
	if name == "" {
		name = "jwt"
	}
	return tokenType(name)
}

// fault is which of the tokens that were sent a refusal is about.
type fault int

const (
	faultNone fault = iota
	faultSubject
	faultActor
)

// Words with which services say that a token that was sent is no good; RFC 8693
// section 2.2.2 gives that and a malformed request one code.
var (
	aboutActor   = regexp.MustCompile(`(?i)\bactor`)
	aboutSubject = regexp.MustCompile(`(?i)\bsubject[_ -]?tokens?\b|\bassertion|\bjwt|\btoken\b`)
	aboutTypes   = regexp.MustCompile(`(?i)\burn:\S+|\b(\w+_)?token[_ -]?types?\b`) // which no other token would change
	notGood      = regexp.MustCompile(`(?i)expired|\bexp\b|invalid|not valid|not (yet )?active|inactive|revoked|too old|no longer|is over|cannot be verified|signature`)
)

// faultOf reads a refusal. A client that is refused is not the tokens' fault.
func faultOf(err error) fault {
	var e *Error
	if !errors.As(err, &e) || e.Code != "invalid_grant" && e.Code != "invalid_token" && e.Code != "invalid_request" {
		return faultNone
	}
	about, said := faultSubject, aboutTypes.ReplaceAllString(e.Description, "")
	if aboutActor.MatchString(said) && !strings.Contains(strings.ToLower(said), "subject") {
		about = faultActor
	}
	if e.Code != "invalid_request" {
		return about
	}
	if notGood.MatchString(said) && (about == faultActor || aboutSubject.MatchString(said)) {
		return about
	}
	return faultNone
}
