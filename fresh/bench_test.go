package fresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

func bearer(value string) fresh.Token { return fresh.Token{Value: value, Type: "Bearer"} }

func warm(tb testing.TB, p fresh.Policy) *fresh.Layer[fresh.Token] {
	tb.Helper()
	l := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		return fresh.Credential[fresh.Token]{Value: bearer("a"), Life: time.Hour}, nil
	}, p)
	if _, err := l.Get(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return l
}

func BenchmarkGet(b *testing.B) {
	l, ctx := warm(b, fresh.Policy{}), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetParallel(b *testing.B) {
	l, ctx := warm(b, fresh.Policy{}), context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Get(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkClock is what every cached credential with an end pays.
func BenchmarkClock(b *testing.B) {
	var last time.Time
	for b.Loop() {
		last = time.Now()
	}
	_ = last
}

func TestHitAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	clocks := map[string]func() token.Instant{"this host's clock": nil, "the policy's clock": fresh.Now}
	for name, now := range clocks {
		l := warm(t, fresh.Policy{Now: now})
		if n := testing.AllocsPerRun(1000, func() { _, _ = l.Get(ctx) }); n != 0 {
			t.Errorf("with %s a hit allocates %v times", name, n)
		}
	}
}
