package oracle

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// onceEdges are the edges of one gate whose only route takes each token once.
func onceEdges(t *testing.T, cacheBytes int) []edge {
	t.Helper()
	g := newGate(t, gate.Config{Issuers: world(verify.RFC9068), CacheBytes: cacheBytes, Routes: []gate.Route{{Path: "/", Once: true, Upstream: "http://upstream.test"}}})
	return []edge{
		{"middleware", asking(g.Middleware(accepting()), "/transfer")},
		{"proxy", asking(g.Handler(), "/transfer")},
		{"Judge", func(raw string) saying {
			a := g.Judge(context.Background(), gate.Request{
				Edge: gate.EdgeExtAuthz, Method: http.MethodPost, Target: "/transfer", Scheme: "https", Host: "api.test", Peer: "192.0.2.1",
				Header: http.Header{"Authorization": {"Bearer " + raw}},
			})
			return saying{a.Allowed, a.Reason, a.Status}
		}},
	}
}

// numbered is a good token of p whose jti is n.
func numbered(t *testing.T, p pair, n int) string {
	t.Helper()
	return p.forge(t, p.header(""), without("jti", fmt.Sprintf(`"jti":"once-%s-%d"`, p.alg, n)))
}

// respellings are the same token as its issuer, or somebody who knows no key,
// could write it once more: every one of them is the same single use.
func respellings(t *testing.T, p pair, n int) map[string]string {
	t.Helper()
	raw := numbered(t, p, n)
	claims := without("jti", fmt.Sprintf(`"jti":"once-%s-%d"`, p.alg, n))
	return map[string]string{
		"the same bytes":              raw,
		"signed once more":            numbered(t, p, n),
		"with another signature":      negated(t, p, raw),
		"with a header more":          p.forge(t, p.header(`,"x":1`), claims),
		"without a kid":               p.forge(t, fmt.Sprintf(`{"alg":%q,"typ":"at+jwt"}`, string(p.alg)), claims),
		"with another typ":            p.forge(t, fmt.Sprintf(`{"alg":%q,"kid":"k","typ":"application/at+jwt"}`, string(p.alg)), claims),
		"with spaces between":         p.forge(t, p.header(""), strings.ReplaceAll(claims, ",", " ,\n")),
		"with members turned round":   p.forge(t, p.header(""), turned(claims)),
		"with an escaped jti":         p.forge(t, p.header(""), strings.Replace(claims, `"once`, `"\u006fnce`, 1)),
		"with an escaped iss":         p.forge(t, p.header(""), strings.Replace(claims, `"https`, `"\u0068ttps`, 1)),
		"with exp in another number":  p.forge(t, p.header(""), strings.Replace(claims, fmt.Sprintf(`"exp":%d`, epoch+300), fmt.Sprintf(`"exp":%de0`, epoch+300), 1)),
		"with iat in another number":  p.forge(t, p.header(""), strings.Replace(claims, fmt.Sprintf(`"iat":%d`, epoch), fmt.Sprintf(`"iat":%d.000`, epoch), 1)),
		"with aud in a list":          p.forge(t, p.header(""), strings.Replace(claims, `"`+me+`"`, `["`+me+`"]`, 1)),
		"with a member more":          p.forge(t, p.header(""), strings.Replace(claims, "{", `{"x":1,`, 1)),
		"with spaces before it":       " " + raw,
		"signed by another algorithm": pairs()[otherThan(p.alg)].forge(t, pairs()[otherThan(p.alg)].header(""), claims),
	}
}

func otherThan(alg token.Algorithm) token.Algorithm {
	if alg == token.ES256 {
		return token.EdDSA
	}
	return token.ES256
}

func turned(claims string) string {
	list := strings.Split(strings.Trim(claims, "{}"), ",")
	slices.Reverse(list)
	return "{" + strings.Join(list, ",") + "}"
}

// negated is raw with the other ECDSA signature that anybody can compute from
// the first: s becomes n - s. Other algorithms have none.
func negated(t *testing.T, p pair, raw string) string {
	t.Helper()
	pub, ok := p.pub.(*ecdsa.PublicKey)
	if !ok {
		return raw
	}
	dot := strings.LastIndexByte(raw, '.')
	sig := must(base64.RawURLEncoding.DecodeString(raw[dot+1:]))
	half := len(sig) / 2
	s := new(big.Int).Sub(pub.Params().N, new(big.Int).SetBytes(sig[half:]))
	return raw[:dot+1] + b64(string(slices.Concat(sig[:half], s.FillBytes(make([]byte, half)))))
}

// A token of a route that says once is good for one request, however it is
// spelled the second time and whichever edge it comes to.
func TestATokenIsUsedOnce(t *testing.T) {
	n := 0
	for _, cacheBytes := range []int{-1, 1 << 20} {
		all := onceEdges(t, cacheBytes)
		for _, alg := range algorithms() {
			p := pairs()[alg]
			for name := range respellings(t, p, 0) {
				n++
				list := respellings(t, p, n)
				first, second := all[n%len(all)], all[n/len(all)%len(all)]
				if said := first.safely(list["the same bytes"]); !said.accepted {
					t.Fatalf("%s: %s: the first use is refused: %+v", alg, first.name, said)
				}
				for _, e := range []edge{second, first} {
					if said := e.safely(list[name]); said.reason != string(token.Replayed) {
						t.Errorf("%s: used at %s, again at %s %s: %+v, want replayed", alg, first.name, e.name, name, said)
					}
				}
			}
		}
	}
	t.Logf("%d replays", 2*n)
}

// The control: another jti, or another issuer's same jti, is another use; and a
// refused token is not used up.
func TestOtherTokensAreNotReplays(t *testing.T) {
	for i, e := range onceEdges(t, 1<<20) {
		p := pairs()[token.ES256]
		for n := range 50 {
			if said := e.safely(numbered(t, p, 1000*i+n)); !said.accepted {
				t.Fatalf("%s: a token of its own is refused: %+v", e.name, said)
			}
		}
		theirs := strangersPairs()[token.ES256]
		claims := strings.Replace(without("jti", fmt.Sprintf(`"jti":"once-ES256-%d"`, 1000*i)), us, them, 1)
		if said := e.safely(theirs.forge(t, theirs.header(""), claims)); !said.accepted {
			t.Errorf("%s: the same jti of another issuer is refused: %+v", e.name, said)
		}
		raw := numbered(t, p, 1000*i+500)
		if e.safely(raw[:len(raw)-4]).accepted || !e.safely(raw).accepted {
			t.Errorf("%s: a forgery used up the token it was made from", e.name)
		}
	}
}

// Of many at once, one.
func TestOneOfManyAtOnceIsFirst(t *testing.T) {
	g := newGate(t, gate.Config{Issuers: world(verify.RFC9068), Routes: []gate.Route{{Path: "/", Once: true, Upstream: "http://upstream.test"}}})
	h := g.Handler()
	for n := range long(400) {
		raw := numbered(t, pairs()[token.EdDSA], 100_000+n)
		var accepted atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				r := httptest.NewRequest(http.MethodGet, "/transfer", nil)
				r.Header.Set("Authorization", "Bearer "+raw)
				if said(h, r).accepted {
					accepted.Add(1)
				}
			})
		}
		all.Wait()
		if accepted.Load() != 1 {
			t.Fatalf("%d of 16 requests with one token passed", accepted.Load())
		}
	}
}
