package gate

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestASingleUseIsSingleUntilItsEnd(t *testing.T) {
	now := start
	m := newMarks(10, func() time.Time { return now })
	first := func(key string, end int) bool {
		ok, err := m.First(context.Background(), "jti", key, at(end))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !first("a", 600) || first("a", 600) || first("a", 900) {
		t.Error("a use is not single")
	}
	if ok, _ := m.First(context.Background(), "dpop", "a", at(600)); !ok {
		t.Error("kinds are mixed up")
	}
	for _, s := range []int{60, 300, 599, 600} {
		if now = at(s); first("a", 600) {
			t.Errorf("used again after %d s", s)
		}
	}
	if now = at(1000); !first("a", 1600) || len(m.until) != 1 {
		t.Errorf("%d marks are kept long after their end", len(m.until))
	}
}

// Full means refuse: to forget a live mark would let its token in again.
func TestAFullMemoryForgetsNothingThatLives(t *testing.T) {
	now := start
	m := newMarks(2, func() time.Time { return now })
	use := func(key string, end int) (bool, error) { return m.First(context.Background(), "jti", key, at(end)) }
	_, _ = use("a", 300)
	_, _ = use("b", 7000)
	if ok, err := use("c", 300); ok || err == nil {
		t.Errorf("a third of two: %v, %v", ok, err)
	}
	if ok, err := use("a", 300); ok || err != nil {
		t.Errorf("one that is known: %v, %v", ok, err)
	}
	now = at(500)
	if ok, err := use("c", 900); !ok || err != nil {
		t.Errorf("after one is over: %v, %v", ok, err)
	}
	if ok, _ := use("b", 7000); ok {
		t.Error("a live one is forgotten")
	}
}

func TestOfManyAtOnceOneIsFirst(t *testing.T) {
	m := newMarks(10, fixed)
	var wg sync.WaitGroup
	firsts := make(chan bool, 32)
	for range cap(firsts) {
		wg.Go(func() {
			ok, _ := m.First(context.Background(), "jti", "a", at(60))
			firsts <- ok
		})
	}
	wg.Wait()
	close(firsts)
	n := 0
	for ok := range firsts {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d were first", n)
	}
}

// However the clock goes, no key is first twice before its end.
func TestMarksThroughTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		m := newMarks(1000, func() time.Time { return now })
		ends := map[string]time.Time{}
		for range 100 {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "pause")) * time.Second)
			key := rapid.StringMatching("[a-e]").Draw(t, "key")
			end := now.Add(time.Duration(rapid.IntRange(-5, 900).Draw(t, "life")) * time.Second)
			ok, err := m.First(context.Background(), "jti", key, end)
			if err != nil {
				t.Fatal(err)
			}
			if ok && now.Before(ends[key]) {
				t.Fatalf("%s is first again at %s, %s before its end", key, now, ends[key].Sub(now))
			}
			if ok {
				ends[key] = end
			}
		}
		if now = now.Add(time.Hour); true {
			_, _ = m.First(context.Background(), "jti", "z", now)
		}
		if len(m.until) != 1 || len(m.minutes) != 1 {
			t.Fatalf("%d marks in %d minutes are left long after all ends", len(m.until), len(m.minutes))
		}
	})
}
