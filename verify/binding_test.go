package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

const thumb, cert = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"

func TestBindings(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{}, key)
	shows := func(c token.Confirmation) func(time.Time) (token.Confirmation, error) {
		return func(time.Time) (token.Confirmation, error) { return c, nil }
	}
	none := shows(token.Confirmation{})
	jkt, x5t := claims{"jkt": thumb}, claims{"x5t#S256": cert}
	both := claims{"jkt": thumb, "x5t#S256": cert}
	dpop, mtls := shows(token.Confirmation{JKT: thumb}), shows(token.Confirmation{X5T: cert})
	all := shows(token.Confirmation{JKT: thumb, X5T: cert})
	tests := []struct {
		name    string
		cnf     claims
		binding Binding
		shown   func(time.Time) (token.Confirmation, error)
		want    token.Reason
	}{
		{"bound to nothing, nothing asked", nil, AnyBinding, nil, ""},
		{"bound to nothing, DPoP asked", nil, DPoP, dpop, token.BindingMissing},
		{"bound to nothing, a certificate asked", nil, MTLS, mtls, token.BindingMissing},
		{"DPoP, proven", jkt, AnyBinding, dpop, ""},
		{"DPoP, proven and asked", jkt, DPoP, dpop, ""},
		{"DPoP, a certificate asked", jkt, MTLS, all, token.BindingMissing},
		{"DPoP, as a bearer token", jkt, AnyBinding, nil, token.BindingMissing},
		{"DPoP, nothing shown", jkt, AnyBinding, none, token.BindingMissing},
		{"DPoP, a certificate shown", jkt, AnyBinding, mtls, token.BindingMissing},
		{"DPoP, another key", jkt, AnyBinding, shows(token.Confirmation{JKT: cert}), token.BindingMismatch},
		{"DPoP, half the thumbprint", jkt, AnyBinding, shows(token.Confirmation{JKT: thumb[:20]}), token.BindingMismatch},
		{"a certificate, shown", x5t, MTLS, mtls, ""},
		{"a certificate, DPoP asked", x5t, DPoP, all, token.BindingMissing},
		{"a certificate, another one", x5t, AnyBinding, shows(token.Confirmation{X5T: thumb}), token.BindingMismatch},
		{"a certificate's hash as a key's thumbprint", x5t, AnyBinding, shows(token.Confirmation{JKT: cert}), token.BindingMissing},
		{"both, both shown", both, AnyBinding, all, ""},
		{"both, both shown, one asked", both, MTLS, all, ""},
		{"both, DPoP only", both, AnyBinding, dpop, token.BindingMissing},
		{"both, the certificate only", both, MTLS, mtls, token.BindingMissing},
		{"both, one of another key", both, AnyBinding, shows(token.Confirmation{JKT: thumb, X5T: thumb}), token.BindingMismatch},
		{"a key by its id", claims{"kid": "x"}, AnyBinding, all, token.BindingMissing},
		{"a key in full", claims{"jwk": claims{"kty": "OKP"}}, AnyBinding, all, token.BindingMissing},
		{"a key by URL", claims{"jku": "https://evil.test/", "kid": "x"}, AnyBinding, all, token.BindingMissing},
		{"an encrypted key", claims{"jwe": "e"}, AnyBinding, nil, token.BindingMissing},
		{"DPoP and what nobody knows", claims{"jkt": thumb, "new": 1}, DPoP, all, token.BindingMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			if tt.cnf != nil {
				c["cnf"] = tt.cnf
			}
			got := v.at(sign(t, key, "at+jwt", c), Need{Binding: tt.binding, Shown: tt.shown}, start)
			wantReason(t, got, tt.want)
			if tt.want != "" && got.Detail == "" {
				t.Error("a refusal without a sentence")
			}
		})
	}
}

func TestWhatShownSaysIsTheVerdict(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{}, key)
	raw := sign(t, key, "at+jwt", good().with(claims{"cnf": claims{"jkt": thumb}}))
	cause := errors.New("use_dpop_nonce")
	refusal := &token.Error{Reason: token.BindingMismatch, Detail: "htu is another", Err: cause}
	calls := 0
	need := func(err error) Need {
		return Need{Shown: func(now time.Time) (token.Confirmation, error) {
			calls++
			if !now.Equal(start) {
				t.Errorf("now = %s", now)
			}
			return token.Confirmation{JKT: thumb}, err
		}}
	}
	got := v.at(raw, need(fmt.Errorf("gate: %w", refusal)), start)
	wantReason(t, got, token.BindingMismatch)
	if got.Detail != refusal.Detail || !errors.Is(got.Err, cause) {
		t.Errorf("verdict %+v", got)
	}
	got = v.at(raw, need(cause), start)
	wantReason(t, got, token.BindingMissing)
	if !errors.Is(got.Err, cause) {
		t.Errorf("verdict %+v", got)
	}
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
	// Nobody is asked to prove a key for a token that is refused anyway.
	wantReason(t, v.at(raw, Need{Scopes: []string{"x"}, Shown: need(nil).Shown}, start), token.InsufficientScope)
	wantReason(t, v.at(sign(t, key, "at+jwt", good()), need(nil), start), "")
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

// uses is a memory of single uses.
type uses struct {
	mu   sync.Mutex
	seen map[string]time.Time
	err  error
}

func (u *uses) first(_ context.Context, kind, key string, end time.Time) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return false, u.err
	}
	_, again := u.seen[kind+" "+key]
	if !again {
		u.seen[kind+" "+key] = end
	}
	return !again, nil
}

func TestATokenIsUsedOnceWhereThatIsAsked(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	memory := &uses{seen: map[string]time.Time{}}
	v := mustNew(t, Config{
		Issuers: []Issuer{{URL: issuerA, Audience: orders, Profile: JWT, Keys: keysOf(key)}},
		First:   memory.first, CacheBytes: 1 << 20,
		Ended: func(_ string, c *token.Claims, _ time.Time) error {
			if c.Session == "ended" {
				return token.Refuse(token.Revoked, "the session is ended")
			}
			return nil
		},
	})
	raw := sign(t, key, "at+jwt", good())
	other := sign(t, key, "at+jwt", good().with(claims{"sub": "bob"})) // with the same jti
	once := Need{Once: true}
	for name, refused := range map[string]struct {
		raw  string
		need Need
		want token.Reason
	}{
		"no jti":           {sign(t, key, "at+jwt", good().with(claims{"jti": nil})), once, token.MissingClaim},
		"an empty jti":     {sign(t, key, "at+jwt", good().with(claims{"jti": ""})), once, token.MissingClaim},
		"a jti of 513":     {sign(t, key, "at+jwt", good().with(claims{"jti": strings.Repeat("j", 513)})), once, token.TooLarge},
		"a scope too few":  {raw, Need{Once: true, Scopes: []string{"x"}}, token.InsufficientScope},
		"no proof":         {raw, Need{Once: true, Binding: DPoP}, token.BindingMissing},
		"an ended session": {sign(t, key, "at+jwt", good().with(claims{"sid": "ended"})), once, token.Revoked},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, v.at(refused.raw, refused.need, start), refused.want) })
	}
	if len(memory.seen) != 0 {
		t.Errorf("a refused token is used up: %v", memory.seen)
	}
	wantReason(t, v.at(raw, Need{}, start), "") // is no use
	wantReason(t, v.at(raw, once, start), "")
	wantReason(t, v.at(raw, once, start), token.Replayed)
	wantReason(t, v.at(other, once, start), token.Replayed)
	wantReason(t, v.at(raw, Need{}, start), "")
	if end := memory.seen["jti "+issuerA+"\x00t1"]; !end.Equal(at(300).Add(MaxLeeway)) || len(memory.seen) != 1 {
		t.Errorf("remembered: %v", memory.seen)
	}
	memory.err = errors.New("store down")
	got := v.at(raw, once, start)
	wantReason(t, got, token.RevocationsStale)
	if !errors.Is(got.Err, memory.err) || !strings.Contains(got.Detail, "single uses") || strings.Contains(got.Detail, "store down") {
		t.Errorf("verdict %+v", got)
	}
	wantReason(t, only(t, Issuer{}, key).at(raw, once, start), token.RevocationsStale) // nobody remembers
}

func TestOfRacingUsesOneIsFirst(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	memory := &uses{seen: map[string]time.Time{}}
	v := mustNew(t, Config{
		Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}}, First: memory.first, CacheBytes: 1 << 20,
	})
	raw := sign(t, key, "at+jwt", good())
	verdicts := make(chan Verdict)
	for range 16 {
		go func() { verdicts <- v.at(raw, Need{Once: true}, start) }()
	}
	accepted := 0
	for range 16 {
		if got := <-verdicts; got.Accepted() {
			accepted++
		} else {
			wantReason(t, got, token.Replayed)
		}
	}
	if accepted != 1 {
		t.Errorf("%d accepted", accepted)
	}
}

func TestRequiredClaims(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := mustNew(t, Config{
		Issuers: []Issuer{
			{URL: issuerA, Audience: orders, Profile: JWT, Required: []string{"tenant", "sid", "mfa"}, Keys: keysOf(key)},
			{URL: issuerA, Audience: mail, Profile: JWT, Required: []string{"mailbox"}, Keys: keysOf(key)},
		},
		CacheBytes: 1 << 20,
	})
	full := good().with(claims{"tenant": "x", "mfa": false})
	tests := []struct {
		name   string
		claims claims
		lacks  string // empty: accepted
	}{
		{"all there", full, ""},
		{"false and 0 are values", full.with(claims{"tenant": 0}), ""},
		{"one absent", full.with(claims{"tenant": nil}), "absent or empty: tenant"},
		{"one that verify knows itself", full.with(claims{"sid": nil}), "absent or empty: sid"},
		{"an empty string", full.with(claims{"tenant": ""}), "absent or empty: tenant"},
		{"an empty list", full.with(claims{"tenant": []string{}}), "absent or empty: tenant"},
		{"an empty object", full.with(claims{"tenant": claims{}}), "absent or empty: tenant"},
		{"two of them", full.with(claims{"tenant": nil, "mfa": nil}), "absent or empty: tenant, mfa"},
		{"one of each kind", full.with(claims{"sub": nil, "mfa": nil}), "absent or empty: sub, mfa"},
		{"in another case", full.with(claims{"tenant": nil, "Tenant": "x"}), "absent or empty: tenant"},
		{"another audience's", full.with(claims{"aud": mail}), "absent or empty: mailbox"},
		{"that of the audience", good().with(claims{"aud": mail, "mailbox": "m"}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := sign(t, key, "at+jwt", tt.claims)
			for range 2 { // the second time from the cache
				got := v.at(raw, Need{}, start)
				if got.Detail != tt.lacks || got.Accepted() != (tt.lacks == "") {
					t.Errorf("verdict %q: %q, want %q", got.Reason, got.Detail, tt.lacks)
				}
			}
		})
	}
}
