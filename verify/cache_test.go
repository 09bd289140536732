package verify

import (
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// A check of a token that was verified before allocates nothing.
func TestAHitAllocatesNothing(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v := mustNew(t, Config{
		Issuers:    []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key), Required: []string{"sid"}, FollowSkew: true}},
		Ended:      func(string, *token.Claims, time.Time) error { return nil },
		CacheBytes: 1 << 20,
	})
	raw := sign(t, key, "at+jwt", good())
	need := Need{Audience: orders, Scopes: []string{"orders.write", "orders.read"}, Clients: []string{"batch", "web"}}
	wantReason(t, v.at(raw, need, start), "")
	if n := testing.AllocsPerRun(100, func() {
		if !v.at(raw, need, start).Accepted() {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	key := newSigner(b, "k1", token.ES256)
	v := mustNew(b, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}}, CacheBytes: 1 << 20})
	raw := sign(b, key, "at+jwt", good())
	v.at(raw, Need{}, start)
	for b.Loop() {
		if !v.at(raw, Need{}, start).Accepted() {
			b.Fatal("refused")
		}
	}
}
