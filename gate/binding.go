package gate

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/dpop"
)

// proofAlgorithms are the algorithms of a DPoP proof, as a challenge lists them
// (RFC 9449 section 7.1).
const proofAlgorithms = "ES256 ES384 RS256 PS256 EdDSA"

// possession is what a gate needs to judge proofs of keys.
type possession struct {
	base   string // Config.URL without slashes at its end; empty: as the request came
	nonces dpop.Nonces
}

func newPossession(cfg Config) (possession, error) {
	nonces, err := dpop.NewNonces(cfg.NonceKey)
	return possession{strings.TrimRight(cfg.URL, "/"), nonces}, err
}

// showing is what came with one request beside its token.
type showing struct {
	gate   *Gate
	sent   *Request
	raw    string // the token
	scheme string // of Authorization
	nonces *dpop.Nonces

	proof dpop.Proof // once it was judged
}

// shown takes up what came with r beside the token raw; nil where nothing did
// that could prove a key, and then verify refuses what is bound by itself.
//
// A proof counts with the scheme DPoP only, since a bound token may not come as
// a bearer token (RFC 9449 section 7.2); beside a bearer token a DPoP header is
// not looked at. Where the route asks for DPoP, a nonce must be in the proof.
func (g *Gate) shown(r *Request, o *outcome, raw string) *showing {
	if o.scheme != schemeDPoP && r.Certificate == nil && len(r.Header[g.certificateHeader()]) == 0 {
		return nil
	}
	s := &showing{gate: g, sent: r, raw: raw, scheme: o.scheme}
	if o.route.need.Binding == verify.DPoP {
		s.nonces = &g.keys.nonces
	}
	return s
}

// keys is verify.Need.Shown: the keys that the sender proved to hold.
func (s *showing) keys() func(now time.Time) (token.Confirmation, error) {
	if s == nil {
		return nil
	}
	return s.judge
}

func (s *showing) judge(now time.Time) (c token.Confirmation, err error) {
	if c.X5T, err = s.gate.certificate(s.sent); err != nil {
		return c, err
	}
	if s.scheme != schemeDPoP {
		return c, nil
	}
	if s.sent.unrouted {
		return c, unknownRequest()
	}
	s.proof, err = dpop.Check(s.sent.Header["Dpop"], dpop.Want{
		Method: s.sent.Method, URL: s.gate.urlOf(s.sent), Token: s.raw, Nonces: s.nonces,
	}, now)
	c.JKT = s.proof.JKT
	return c, err
}

// unknownRequest refuses a proof at a /verify that is told of no original
// request, which every proof is for.
func unknownRequest() error {
	e := token.Refuse(token.BindingMismatch, "DPoP: this gate is not told the method and URL of the request, which the proof is for; configure forward")
	e.Err = dpop.ErrInvalidProof
	return e
}

// urlOf is the URL that the sender of r called, as it must stand in a proof.
func (g *Gate) urlOf(r *Request) string {
	base := g.keys.base
	if base == "" {
		base = r.Scheme + "://" + r.Host
	}
	path, _, _ := strings.Cut(r.Target, "?")
	return base + path
}

// spend uses the proof up (RFC 9449 section 11.1). It comes after everything
// else was judged, so that what is refused for another reason is not.
func (s *showing) spend(ctx context.Context) *token.Error {
	if s == nil || s.proof.Key == "" {
		return nil
	}
	switch first, refused := s.gate.cfg.First.Use(ctx, "dpop", s.proof.Key, s.proof.End); {
	case refused != nil:
		return refused
	case !first:
		e := token.Refuse(token.Replayed, "DPoP: the proof was used before; make one for each request")
		e.Err = dpop.ErrInvalidProof
		return e
	}
	return nil
}

// renewal is the nonce that the sender's next proof is to hold, empty where that
// of this one will do or none is asked for (RFC 9449 section 8.2).
func (s *showing) renewal(now time.Time) string {
	if s == nil || s.nonces == nil || s.proof.Nonce == s.nonces.At(now) {
		return ""
	}
	return s.nonces.At(now)
}

// proofError is the error code of RFC 9449 (section 7.1 and 9) that err, a
// verdict's cause, asks for: use_dpop_nonce, invalid_dpop_proof or empty.
func proofError(err error) string {
	for _, code := range []error{dpop.ErrUseNonce, dpop.ErrInvalidProof} {
		if errors.Is(err, code) {
			return code.Error()
		}
	}
	return ""
}

// nonceFor is the nonce that a refusal hands out (RFC 9449 section 9): wherever
// the next attempt needs one, so that it need not be refused for want of it.
// Empty: none.
func (g *Gate) nonceFor(o *outcome, f *refusal) string {
	if f.status != http.StatusUnauthorized || o.route.need.Binding != verify.DPoP {
		return ""
	}
	return g.keys.nonces.At(o.now)
}
