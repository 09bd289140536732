// Package verify says whether a token is acceptable at an instant, and if not,
// why: raw token + keys + policy + now -> claims or a reason, with numbers.
//
// It decides and does nothing else: no socket, no file, no clock. Keys come from
// a Keys, early ends from a func, and the caller passes now.
//
//	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{URL: iss, Audience: aud, Keys: keys}}})
//	verdict := v.Verify(ctx, raw, verify.Need{Scopes: []string{"orders.read"}}, now)
//	if !verdict.Accepted() { … verdict.Reason, verdict.Detail … }
//
// Sources: RFC 7519, RFC 8725, RFC 9068, FAPI 2.0 section 5.3.
package verify

import (
	"context"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify/skew"
)

// Profile is the set of rules an issuer's tokens follow.
type Profile string

// The profiles.
const (
	RFC9068 Profile = "rfc9068" // typ at+jwt, the claims of RFC 9068, one audience
	JWT     Profile = "jwt"     // typ absent, JWT or at+jwt; iss, sub, aud, exp; aud may list several
)

// Issuer is whom to trust, for what, and how far.
type Issuer struct {
	URL         string            // "iss", compared byte for byte; with JWT any string
	Audience    string            // "aud" that means this service, compared byte for byte; no wildcard
	Algorithms  []token.Algorithm // default: every asymmetric one; HS256 only if it is named
	Profile     Profile           // default RFC9068
	Leeway      time.Duration     // default 30 s; 1 s to 60 s; NoLeeway for none
	MaxLifetime time.Duration     // longest exp - iat; default 1 h, with JWT 24 h
	SubjectFrom string            // "aud": the one audience is the user (incident 2); no Audience then; JWT only
	Keys        Keys
	Required    []string // further claims that must be there and not be null, "", [] or {}
	// FollowSkew lets the leeway grow to the bound of the measured skew and 1 s
	// more, in the measured direction only and never beyond MaxLeeway: for iat and
	// nbf where the issuer's clock is ahead, for exp where it is behind. One token
	// alone measures nothing.
	FollowSkew bool
	// Introspect asks the issuer about its tokens, JWTs included, instead of
	// looking at keys (RFC 7662): Keys, Algorithms and the type do not matter
	// then. With either profile the answer must state exp, aud, and sub or
	// client_id. All entries of one URL have it or none; of those that serve a
	// request the first is asked.
	Introspect Introspector
}

// Introspector asks an issuer what a token says.
type Introspector interface {
	// Introspect returns the claims of raw as the issuer tells them (RFC 7662
	// section 2.2). The error is an *token.Error: Revoked where the issuer says
	// that the token is not active, KeysUnavailable where it cannot be asked.
	Introspect(ctx context.Context, raw string, now time.Time) (token.Claims, error)
}

// NoLeeway asks for no leeway at all, where zero asks for the default.
const NoLeeway time.Duration = -1

// Config is what a Verifier needs.
type Config struct {
	// Issuers may name one URL several times, each time with another audience.
	Issuers []Issuer
	// Ended reports early ends: nil, or an *token.Error with Revoked, KeyRevoked
	// or RevocationsStale. Nil: nothing ends early.
	Ended func(kid string, c *token.Claims, now time.Time) error
	// Skew knows the issuers' clocks and is told of every new token. Nil: one of
	// its own.
	Skew *skew.Book
	// First remembers the uses of tokens that are good once (Need.Once). Nil: Once
	// refuses every token.
	First First
	// CacheBytes bounds the memory of verified tokens: only their parsed form and
	// the fact that their signature held are kept, everything else is judged on
	// every call. Zero: nothing is kept.
	CacheBytes int
}

// Binding is the proof of a key that a route asks for.
type Binding string

// The bindings.
const (
	AnyBinding Binding = ""     // as the token says
	DPoP       Binding = "dpop" // RFC 9449
	MTLS       Binding = "mtls" // RFC 8705
)

// LongestLife is how long after its issue a token of this issuer may still be
// accepted: the longest life of its policies, how far ahead its issue may seem,
// and the leeway that its end is waited for.
func (v *Verifier) LongestLife(issuer string) time.Duration {
	var longest time.Duration
	for _, p := range v.issuers[issuer] {
		m := p.margins()
		if p.FollowSkew {
			m = margins{MaxLeeway, MaxLeeway}
		}
		longest = max(longest, p.MaxLifetime+m.ahead+m.behind)
	}
	return longest
}

// Need is what one request asks of a token besides being valid.
type Need struct {
	Audience string   // the accepted audience it must be meant for; empty: any accepted from its issuer
	Users    bool     // its audience must be a user (Issuer.SubjectFrom); not with Audience
	Scopes   []string // all of them
	Clients  []string // one of them; empty: any
	Binding  Binding  // the token must be bound in this way
	Once     bool     // the token's jti is used up by this request
	// Shown returns the keys that the caller proved to hold beside the token. It
	// is called for tokens that are bound, and where Binding asks. Nil: none.
	Shown func(now time.Time) (token.Confirmation, error)
}

// Verdict is the outcome of a verification: accepted claims, or a reason.
type Verdict struct {
	Reason token.Reason   // empty: accepted
	Detail string         // a sentence with numbers; may be shown to the caller
	Err    error          // for the operator's log only
	Claims token.Claims   // trusted if accepted; signed but refused otherwise; zero before the signature held; Audience and Raw are shared: do not write to them
	KeyID  string         // "kid" of the key that verified it
	Skew   *time.Duration // how far the issuer's clock is ahead of ours, as far as known
}

// Accepted reports whether the token may be used.
func (v Verdict) Accepted() bool { return v.Reason == "" }

// SkewSeconds is Skew for people and programs: seconds to a tenth, nil while it
// is not known.
func (v Verdict) SkewSeconds() *float64 {
	if v.Skew == nil {
		return nil
	}
	s := v.Skew.Round(100 * time.Millisecond).Seconds()
	return &s
}
