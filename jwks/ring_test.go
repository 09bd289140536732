package jwks_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	policy = jwks.Policy{Rotate: 30 * day, PublishAhead: 10 * time.Minute, Overlap: jwks.Overlap(5*time.Minute, 10*time.Minute)}
)

const day = 24 * time.Hour

func publish(t *testing.T, r jwks.Ring, id string, now time.Time) jwks.Ring {
	t.Helper()
	r, err := r.Publish(id, token.ES256, now, policy)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func states(r jwks.Ring, now time.Time) string {
	s := ""
	for _, k := range r {
		s += fmt.Sprintf("%s %s, ", k.ID, k.State(now))
	}
	return s
}

func TestTheTimelineOfARotation(t *testing.T) {
	rotated := start.Add(30*day - 10*time.Minute)
	ring := publish(t, publish(t, nil, "a", start), "b", rotated)
	signs := rotated.Add(10 * time.Minute)
	gone := signs.Add(11 * time.Minute)
	tests := []struct {
		name    string
		at      time.Time
		states  string
		signing string
		set     int
	}{
		{"the first key signs at once", start, "a active, b published, ", "a", 2},
		{"nodes 5 s behind sign with it too", start.Add(-5 * time.Second), "a active, b published, ", "a", 2},
		{"the successor waits until publish_ahead is over", signs.Add(-1), "a active, b published, ", "a", 2},
		{"then it signs and the old one retires", signs, "a retiring, b active, ", "b", 2},
		{"which stays until its last token is over", gone.Add(-1), "a retiring, b active, ", "b", 2},
		{"and is gone", gone, "a removed, b active, ", "b", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signing, _ := ring.Signing(tt.at)
			if got := states(ring, tt.at); got != tt.states || signing.ID != tt.signing || len(ring.Published(tt.at)) != tt.set {
				t.Errorf("%s signing %q, %d in the set; want %s %q, %d", got, signing.ID, len(ring.Published(tt.at)), tt.states, tt.signing, tt.set)
			}
		})
	}
}

func TestARevokedKeyLeavesTheSetAtOnce(t *testing.T) {
	first := publish(t, nil, "a", start)
	rotated := start.Add(day)
	waiting := publish(t, first, "b", rotated)
	retiring := rotated.Add(11 * time.Minute)
	tests := []struct {
		name    string
		ring    jwks.Ring
		revoke  string
		at      time.Time
		signing string // empty: a new key must be published
	}{
		{"the only key: none signs", first, "a", start.Add(time.Hour), ""},
		{"the signing key: its successor signs at once", waiting, "a", rotated.Add(time.Minute), "b"},
		{"the successor: the signing key stays", waiting, "b", rotated.Add(time.Minute), "a"},
		{"the retiring key: nothing else changes", waiting, "a", retiring, "b"},
		{"the signing key while the old one retires: the old one does not come back", waiting, "b", retiring, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ring, err := tt.ring.Revoke(tt.revoke, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range ring.Published(tt.at.Add(-5 * time.Second)) { // a node that is behind
				if k.ID == tt.revoke {
					t.Errorf("%q is still in the set", tt.revoke)
				}
			}
			if signing, _ := ring.Signing(tt.at); signing.ID != tt.signing {
				t.Errorf("signing = %q, want %q", signing.ID, tt.signing)
			}
			if again, err := ring.Revoke(tt.revoke, tt.at.Add(time.Second)); err != nil || !slices.Equal(again, ring) {
				t.Errorf("revoked twice: %v, %v", again, err)
			}
			if tt.signing == "a" {
				if due, _ := ring.Signing(tt.at.Add(29 * day)); due.ID != "a" {
					t.Error("the signing key retires for a successor that was revoked")
				}
			}
		})
	}
}

func TestWhatARingRefuses(t *testing.T) {
	ring := publish(t, publish(t, nil, "a", start), "b", start.Add(time.Hour))
	if _, err := ring.Publish("c", token.ES256, start.Add(time.Hour+time.Minute), policy); !errors.Is(err, jwks.ErrWaiting) {
		t.Errorf("a second successor: %v", err)
	}
	if _, err := ring.Revoke("x", start); !errors.Is(err, jwks.ErrNoSuchKey) {
		t.Errorf("an unknown key: %v", err)
	}
	if _, err := ring.Revoke("a", start.Add(day)); !errors.Is(err, jwks.ErrNoSuchKey) {
		t.Errorf("a removed key: %v", err)
	}
}

func TestTokensThatAreOutKeepTheirKeyWhenLivesGetShorter(t *testing.T) {
	long := policy
	long.Overlap = jwks.Overlap(time.Hour, 10*time.Minute)
	ring, err := jwks.Ring(nil).Publish("a", token.ES256, start, long)
	if err != nil {
		t.Fatal(err)
	}
	ring = publish(t, ring.Adopt(start.Add(time.Minute), policy), "b", start.Add(2*time.Minute))
	signs := start.Add(12 * time.Minute)
	if got := ring[0].Removed; !got.Equal(signs.Add(long.Overlap)) {
		t.Errorf("removed %s after the last token, want %s", got.Sub(signs), long.Overlap)
	}
	longer := policy
	longer.Overlap = jwks.Overlap(2*time.Hour, 10*time.Minute)
	if got := ring.Adopt(start.Add(3*time.Minute), longer)[0].Removed; !got.Equal(signs.Add(longer.Overlap)) {
		t.Errorf("longer lives while it still signs: removed after %s, want %s", got.Sub(signs), longer.Overlap)
	}
	if got := ring.Adopt(signs, longer)[0].Removed; !got.Equal(signs.Add(long.Overlap)) {
		t.Errorf("longer lives after it has signed: removed after %s, want %s", got.Sub(signs), long.Overlap)
	}
}

func TestMaxAgeFitsTheTimeline(t *testing.T) {
	ring := publish(t, nil, "a", start)
	due := start.Add(-10*time.Second + 30*day - 10*time.Minute)
	quick := jwks.Policy{Rotate: 2 * time.Second, PublishAhead: time.Second, Overlap: time.Second}
	tests := []struct {
		name   string
		at     time.Time
		policy jwks.Policy
		want   time.Duration
	}{
		{"half of publish_ahead, 5 minutes at most", start, policy, 5 * time.Minute},
		{"to the next step where that is near", due.Add(-100 * time.Second), policy, 100 * time.Second},
		{"never less than 10 s for a step", due.Add(-time.Second), policy, 10 * time.Second},
		{"not at all where publish_ahead is a second", start, quick, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ring.MaxAge(tt.at, tt.policy); got != tt.want {
				t.Errorf("MaxAge = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNextTellsEveryStepInOrder(t *testing.T) {
	ring := publish(t, publish(t, nil, "a", start), "b", start.Add(day))
	now := start.Add(day)
	var got []string
	for _, s := range ring.Next(now, policy) {
		got = append(got, fmt.Sprintf("%s %s %s", s.At.Sub(now), s.KeyID, s.State))
		if s.Why == "" {
			t.Errorf("no reason for %v", s)
		}
	}
	want := []string{"10m0s b active", "10m0s a retiring", "21m0s a removed", "720h10m0s b retiring"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Next = %q, want %q", got, want)
	}
	if due := ring.Due(now, policy); !due.Equal(now.Add(10 * time.Minute)) {
		t.Errorf("Due = %s", due.Sub(now))
	}
}

// world is a ring under random use, and what it has promised to others.
type world struct {
	ring   jwks.Ring
	policy jwks.Policy
	access time.Duration
	now    time.Time
	made   int
	tokens []signed
	caches []cache
}

type signed struct {
	kid string
	end time.Time
}

type cache struct {
	kids  []string
	at    time.Time
	until time.Time
}

func (w *world) publish() error {
	w.made++
	ring, err := w.ring.Publish(fmt.Sprint(w.made), token.ES256, w.now, w.policy)
	if err == nil {
		w.ring = ring
	}
	return err
}

func (w *world) rotate(t *rapid.T) {
	if err := w.publish(); err != nil && !errors.Is(err, jwks.ErrWaiting) && !errors.Is(err, jwks.ErrFull) {
		t.Fatal(err)
	}
}

func (w *world) advance(t *rapid.T) {
	to := w.now.Add(time.Duration(rapid.Int64Range(1, int64(w.policy.Rotate)).Draw(t, "by")))
	if steps := w.ring.Next(w.now, w.policy); len(steps) > 0 && rapid.Bool().Draw(t, "to a step") {
		to = steps[0].At.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "ns")))
	}
	// A node tends the ring when it is due, a little late now and then.
	for due := w.ring.Due(w.now, w.policy); due.Before(to); due = w.ring.Due(w.now, w.policy) {
		late := time.Duration(rapid.Int64Range(1, int64(10*time.Second)).Draw(t, "late"))
		w.to(due.Add(late))
		w.tend(t)
	}
	w.to(to)
}

func (w *world) to(at time.Time) {
	if at.After(w.now) {
		w.now = at
	}
}

func (w *world) tend(t *rapid.T) {
	w.ring = w.ring.Adopt(w.now, w.policy).Prune(w.now)
	if w.ring.PublishDue(w.now, w.policy) {
		if err := w.publish(); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) revoke(t *rapid.T) {
	kid := rapid.SampledFrom(w.ring).Draw(t, "kid").ID
	ring, err := w.ring.Revoke(kid, w.now)
	if errors.Is(err, jwks.ErrNoSuchKey) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	w.ring, w.caches = ring, nil // caches may not know the key that signs next
	if _, ok := ring.Signing(w.now); !ok {
		if err := w.publish(); err != nil {
			t.Fatal(err)
		}
	}
	w.tokens = slices.DeleteFunc(w.tokens, func(s signed) bool { return s.kid == kid })
}

func (w *world) use(t *rapid.T) {
	signing, ok := w.ring.Signing(w.now)
	if !ok {
		t.Fatalf("no key signs: %s", states(w.ring, w.now))
	}
	w.tokens = append(w.tokens, signed{signing.ID, w.now.Add(w.access)})
	c := cache{at: w.now, until: w.now.Add(w.ring.MaxAge(w.now, w.policy))}
	for _, k := range w.ring.Published(w.now) {
		c.kids = append(c.kids, k.ID)
	}
	w.caches = append(w.caches, c)
}

func (w *world) check(t *rapid.T) {
	active := 0
	for _, k := range w.ring {
		if k.State(w.now) == jwks.Active {
			active++
		}
	}
	if n := len(w.ring.Published(w.now)); n > 24 {
		t.Fatalf("%d keys are published", n)
	}
	signing, _ := w.ring.Signing(w.now)
	if active != 1 {
		t.Fatalf("%d keys are active: %s", active, states(w.ring, w.now))
	}
	if _, ok := w.ring.Signing(w.now.Add(-5 * time.Second)); !ok {
		t.Fatalf("on a node that is 5 s behind no key signs: %+v", w.ring)
	}
	inSet := func(kid string) bool {
		return slices.ContainsFunc(w.ring.Published(w.now), func(k jwks.RingKey) bool { return k.ID == kid })
	}
	for _, s := range w.tokens {
		if w.now.Before(s.end.Add(jwks.MaxLeeway)) && !inSet(s.kid) {
			t.Fatalf("a token that ends in %s was signed by %q, which is not in the set: %+v", s.end.Sub(w.now), s.kid, w.ring)
		}
	}
	for _, c := range w.caches {
		if w.now.Before(c.until) && !slices.Contains(c.kids, signing.ID) {
			t.Fatalf("a set cached %s ago for %s does not know %q", w.now.Sub(c.at), c.until.Sub(c.at), signing.ID)
		}
	}
	w.tokens = slices.DeleteFunc(w.tokens, func(s signed) bool { return !w.now.Before(s.end.Add(jwks.MaxLeeway)) })
	w.caches = slices.DeleteFunc(w.caches, func(c cache) bool { return !w.now.Before(c.until) })
}

func TestARotationNeverRefusesAToken(t *testing.T) {
	draw := func(t *rapid.T, name string, most time.Duration) time.Duration {
		// Short and long ones alike.
		return time.Duration(math.Pow(float64(most/time.Second), rapid.Float64Range(0, 1).Draw(t, name)) * float64(time.Second))
	}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: start}
		lives := func(t *rapid.T) {
			w.access = draw(t, "access", time.Hour)
			w.policy.Overlap = jwks.Overlap(w.access, w.policy.PublishAhead)
			w.tend(t)
		}
		w.policy = jwks.Policy{Rotate: draw(t, "rotate", 40*day), PublishAhead: draw(t, "ahead", time.Hour)}
		lives(t)
		t.Repeat(map[string]func(*rapid.T){
			"advance": w.advance,
			"use":     w.use,
			"rotate":  w.rotate,
			"revoke":  w.revoke,
			"lives":   lives,
			"":        w.check,
		})
	})
}
