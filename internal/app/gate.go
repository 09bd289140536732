package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/gate/introspect"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// newGate makes the gate of s. Its issuer, if s has one, is asked in process.
func (s *shift) newGate(c *config.Gate) (*gate.Gate, error) {
	issuers, err := s.accepted(c.Accept)
	if err != nil {
		return nil, err
	}
	feed, from, err := s.feed(c.Revocations)
	if err != nil {
		return nil, err
	}
	list, err := routes(c.Routes)
	if err != nil {
		return nil, err
	}
	nonces, err := s.house.nonceKey()
	if err != nil {
		return nil, err
	}
	cfg := gate.Config{
		Issuers: issuers, Routes: list, URL: c.URL,
		Forward: gate.Forward(c.Forward), TrustedProxies: c.TrustedProxies,
		Revocations: feed, RevocationsFrom: from,
		Rates: gate.Rates{Client: float64(c.Rates.Client), Address: float64(c.Rates.Address)},
		Skew:  s.house.book, First: s.house.first(), NonceKey: nonces,
		Hooks: s.house.metrics.Gate(), Log: s.house.log.With("room", "gate"), Now: s.house.now,
	}
	if c.Audit != "" {
		cfg.Hooks.Audit = s.house.audit.write
	}
	if c.Revocations != nil {
		cfg.StaleAfter, cfg.WhenStale = c.Revocations.StaleAfter, gate.WhenStale(c.Revocations.WhenStale)
	}
	return gate.New(cfg)
}

func routes(list []config.Route) ([]gate.Route, error) {
	var errs []error
	out := make([]gate.Route, len(list))
	for i, r := range list {
		out[i] = gate.Route{Path: r.Path, Methods: r.Methods, Audience: r.Audience, Scopes: r.Scopes, Clients: r.Clients,
			Binding: verify.Binding(r.Binding), Once: r.Once, Upstream: r.Upstream}
		if r.UpstreamTLS != nil {
			var err error
			if out[i].UpstreamTLS, err = upstreamTLS(r.UpstreamTLS); err != nil {
				errs = append(errs, fmt.Errorf("gate.routes[%d].upstream_tls: %w", i, err))
			}
		}
	}
	return out, errors.Join(errs...)
}

// first remembers what was used once: in the store, so that a restart and every
// other node know it, or, where no route asks for that, in this process.
func (h *house) first() verify.First {
	if h.engine == nil {
		return h.used
	}
	marks := h.engine.Marks()
	return func(ctx context.Context, kind, key string, end time.Time) (bool, error) {
		return marks.First(ctx, store.Mark{Kind: kind, Value: key, End: end})
	}
}

// nonceKey makes DPoP nonces that all nodes with the same key-encryption key
// take, before and after a reload; nil, which means a random one, where no route
// asks for them and so nothing is stored.
func (h *house) nonceKey() ([]byte, error) {
	if h.kek == nil {
		return nil, nil
	}
	return hkdf.Key(sha256.New, h.kek, nil, "longcase gate DPoP nonce", sha256.Size)
}

func (s *shift) accepted(list []config.Accept) ([]verify.Issuer, error) {
	var errs []error
	out := make([]verify.Issuer, len(list))
	for i, a := range list {
		what := fmt.Sprintf("gate.accept[%d]", i)
		leeway := a.Leeway
		if leeway == 0 {
			leeway = verify.NoLeeway
		}
		out[i] = verify.Issuer{URL: a.Issuer, Audience: a.Audience, Algorithms: a.Algorithms, Profile: verify.Profile(a.Profile),
			Leeway: leeway, MaxLifetime: a.MaxLifetime, SubjectFrom: a.SubjectFrom,
			Required: a.Required, FollowSkew: a.FollowSkew}
		var err error
		if a.Introspect != nil {
			out[i].Introspect, err = s.asked(what+".introspect", a)
		} else {
			out[i].Keys, err = s.acceptedKeys(what, a)
		}
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// asked is an issuer that says itself what its tokens are.
func (s *shift) asked(what string, a config.Accept) (verify.Introspector, error) {
	client, err := s.clientOf(a.Introspect.Client, a.Introspect.Secret, a.Introspect.Key, a.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	src, err := introspect.New(introspect.Config{URL: a.Introspect.URL, Client: client, Now: s.house.now,
		Dated: func(sent, received, date time.Time) { s.house.book.Date(a.Issuer, sent, received, date) }})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	s.askers = append(s.askers, src)
	return src, nil
}

// acceptedKeys are the keys of one accepted issuer: a shared secret, a file,
// the ring of this process, a URL, or what discovery finds.
func (s *shift) acceptedKeys(what string, a config.Accept) (verify.Keys, error) {
	switch {
	case a.Secret.Given():
		secret, err := a.Secret.Read(s.house.getenv)
		if err != nil {
			return nil, fmt.Errorf("%s.secret: %w", what, err)
		}
		return newSecretKey(what+".secret", secret)
	case a.JWKS.File != "":
		return keyFile(what+".jwks", a.JWKS.File)
	case s.cfg.Issuer != nil && s.cfg.Issuer.URL == a.Issuer && a.JWKS.URL == "":
		return ownKeys{s.ring, s.shared, s.house.now}, nil
	default:
		return s.remotes.add(origin{a.Issuer, a.JWKS.URL, a.KeysStale})
	}
}

// feed is what the gate follows, and whose tokens it ends.
func (s *shift) feed(c *config.Revocations) (gate.Feed, string, error) {
	switch {
	case c == nil:
		return nil, "", nil
	case s.cfg.Issuer != nil && s.cfg.Issuer.URL == c.Follow:
		return ownFeed(s.issuer), c.Follow, nil
	}
	client, err := s.clientOf(c.Client, c.Secret, c.Key, c.Follow)
	if err != nil {
		return nil, "", fmt.Errorf("gate.revocations: %w", err)
	}
	feed, err := gate.NewFollower(gate.Follow{Issuer: c.Follow, ClientID: client.ClientID, Secret: client.Secret, Key: client.Key})
	return feed, c.Follow, err
}

// clientOf is the client id, with the secret or the private key that it proves
// itself with to audience.
func (s *shift) clientOf(id string, secret, key config.Secret, audience string) (clientauth.Config, error) {
	out := clientauth.Config{ClientID: id, Audience: audience}
	if secret.Given() {
		text, err := secret.Read(s.house.getenv)
		out.Secret = string(text)
		return out, err
	}
	text, err := key.Read(s.house.getenv)
	if err != nil {
		return out, err
	}
	private, err := token.ParsePrivateKey(text)
	if err == nil {
		out.Key, err = clientauth.NewSigner("", private, nil) // the client's key set may call the key anything
	}
	if err != nil {
		return out, fmt.Errorf("key: %s: %w", key, err)
	}
	return out, nil
}

// ownFeed is the feed of the issuer in the same process.
func ownFeed(is *issuer.Issuer) gate.Feed {
	return func(ctx context.Context, apply func(gate.Event), live func()) error {
		return is.Revocations(ctx, func(r store.Revocation) {
			apply(gate.Event{Kind: r.Kind, Value: r.Value, Before: r.Before, End: r.End})
		}, live)
	}
}
