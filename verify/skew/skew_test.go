package skew

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

const iss = "https://tokens.example.com"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// scale is n, or a twentieth of it where LONGCASE_LONG is not set.
func scale(n int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return n
	}
	return n / 20
}

// world is this host, with its two clocks, and what it wrote down. True time is
// counted from start.
type world struct {
	book *Book
	now  time.Duration // true time
	host time.Duration // how far this host's wall clock is ahead of it
	made int
}

func newWorld() *world {
	w := &world{book: New()}
	w.book.instant(start)
	return w
}

func (w *world) instant(at time.Duration) token.Instant {
	return token.Instant{Wall: start.Add(at + w.host), Mono: at}
}

func (w *world) here() token.Instant { return w.instant(w.now) }

// machine is one clock of an issuer.
type machine struct {
	ahead time.Duration // of true time
	node  string
}

// mint makes a token as the machine's clock reads, in whole seconds.
func (w *world) mint(m machine) *token.Claims {
	w.made++
	iat := start.Add(w.now + m.ahead).Truncate(time.Second)
	id := fmt.Sprintf("token-%d", w.made)
	if m.node != "" {
		id = fmt.Sprintf("lc.%s.%d", m.node, w.made)
	}
	return &token.Claims{Issuer: iss, ID: id, IssuedAt: iat, NotBefore: iat.Add(-10 * time.Second), Expires: iat.Add(5 * time.Minute), Raw: []byte(id)}
}

// use shows a token that was minted so long ago.
func (w *world) use(c *token.Claims) { w.book.token(c, w.here()) }

// fresh shows a new token after delay.
func (w *world) fresh(m machine, delay time.Duration) *token.Claims {
	c := w.mint(m)
	w.now += delay
	w.use(c)
	return c
}

// poll asks a machine for its keys.
func (w *world) poll(m machine, there, back time.Duration) {
	sent := w.here()
	w.now += there
	date := start.Add(w.now + m.ahead).Truncate(time.Second)
	w.now += back
	w.book.date(iss, sent, w.here(), date)
}

func (w *world) estimate() (Estimate, bool) { return w.book.of(iss, w.here()) }

func seconds1(r *rapid.T, name string, low, high float64) time.Duration {
	return time.Duration(rapid.Float64Range(low, high).Draw(r, name) * float64(time.Second))
}

func within(t rapid.TB, w *world, want, off time.Duration, when string) Estimate {
	t.Helper()
	e, ok := w.estimate()
	if !ok || (e.Skew()-want).Abs() > off {
		t.Fatalf("%s: skew %v (known: %v), want %v within %v; %+v", when, e.Skew(), ok, want, off, e)
	}
	return e
}

// V5 by tokens. That the first use of each of 20 is so late that the estimate is
// more than a second off happens once in a million, for such delays.
func TestTwentyFreshTokensNameTheSkewWithinASecond(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	trials := scale(20_000)
	var off []time.Duration
	for range trials {
		w := newWorld()
		w.now = time.Duration(random.Float64() * float64(time.Hour))
		m := machine{ahead: time.Duration((random.Float64()*600 - 300) * float64(time.Second))}
		for range 20 {
			w.fresh(m, time.Duration(random.Float64()*2*float64(time.Second)))
			w.now += time.Duration(random.Float64() * 10 * float64(time.Second))
		}
		e := within(t, w, m.ahead, 1500*time.Millisecond, "20 tokens")
		if c := e.Clocks[0]; c.Low > m.ahead || e.Tokens < enough {
			t.Fatalf("a clock %v ahead, with %d tokens: %+v", m.ahead, e.Tokens, c)
		}
		off = append(off, (e.Skew() - m.ahead).Abs())
	}
	slices.Sort(off)
	if p99, p9999 := off[trials*99/100], off[trials*9999/10000]; p99 > 550*time.Millisecond || p9999 > time.Second {
		t.Errorf("errors: p99 %v, p99.99 %v", p99, p9999)
	}
	t.Logf("errors: median %v, p99 %v, worst %v", off[trials/2], off[trials*99/100], off[trials-1])
}

// V5 by Date headers: one is enough, two narrow it, and the truth is always
// inside.
func TestDatesNameTheSkewWithinASecond(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld()
		w.host = seconds1(r, "host", -300, 300)
		m := machine{ahead: seconds1(r, "ahead", -300, 300)}
		width := time.Hour
		for i := range rapid.IntRange(2, 8).Draw(r, "polls") {
			w.poll(m, seconds1(r, "there", 0.0005, 0.4), seconds1(r, "back", 0.0005, 0.4))
			e := within(r, w, m.ahead-w.host, time.Second, fmt.Sprint("poll ", i))
			c := e.Clocks[0]
			if len(e.Clocks) != 1 || c.Low > m.ahead-w.host || c.High < m.ahead-w.host || c.Dates != i+1 {
				r.Fatalf("a clock %v ahead: %+v", m.ahead-w.host, e.Clocks)
			}
			if grown := 15 * time.Millisecond; c.High-c.Low > width+grown {
				r.Fatalf("poll %d widened the estimate from %v to %v", i, width, c.High-c.Low)
			}
			width = c.High - c.Low
			w.now += seconds1(r, "pause", 1, 40) // none is forgotten yet
		}
	})
}

// Whatever witnesses there are, Low is a proof: no clock of the issuer is behind
// every Low, and the fastest is not overtaken by its Low.
func TestLowIsAProof(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld()
		var all []machine
		fastest := time.Duration(math.MinInt64)
		for i := range rapid.IntRange(1, 3).Draw(r, "machines") {
			m := machine{ahead: seconds1(r, "ahead", -300, 300)}
			if rapid.Bool().Draw(r, "named") {
				m.node = fmt.Sprintf("node%daaa", i+2)
			}
			all, fastest = append(all, m), max(fastest, m.ahead)
		}
		for range rapid.IntRange(1, 60).Draw(r, "events") {
			m := rapid.SampledFrom(all).Draw(r, "machine")
			if rapid.IntRange(0, 9).Draw(r, "what") == 0 {
				w.poll(m, seconds1(r, "there", 0.0005, 0.4), seconds1(r, "back", 0.0005, 0.4))
			} else {
				w.fresh(m, seconds1(r, "delay", 0, 30))
			}
			e, ok := w.estimate()
			for _, c := range e.Clocks {
				if ok && c.Low > fastest {
					r.Fatalf("the fastest clock is %v ahead: %+v", fastest, c)
				}
				for _, m := range all {
					if m.node != "" && c.Node == m.node && c.Tokens > 0 && c.Dates == 0 && c.Low > m.ahead {
						r.Fatalf("instance %s is %v ahead: %+v", m.node, m.ahead, c)
					}
				}
			}
		}
	})
}

func TestOneFastMachineOfThreeIsNamed(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, named := range []bool{true, false} {
		for range scale(2_000) {
			w := newWorld()
			w.now = time.Duration(random.Float64() * float64(time.Hour))
			cluster := []machine{{ahead: 21 * time.Second}, {ahead: 30 * time.Millisecond}, {ahead: -20 * time.Millisecond}}
			if named {
				cluster[0].node, cluster[1].node, cluster[2].node = "k3j2h5aq", "aaaaaaaa", "bbbbbbbb"
			}
			for range 60 {
				w.fresh(cluster[random.IntN(3)], time.Duration(random.Float64()*2*float64(time.Second)))
			}
			e := within(t, w, 21*time.Second, time.Second, "a cluster")
			if e.Clocks[0].Node != cluster[0].node || named && e.Low > time.Second {
				t.Fatalf("the fast one is %q: %+v", cluster[0].node, e)
			}
			for range 4 {
				w.poll(cluster[1], 10*time.Millisecond, 20*time.Millisecond)
				w.now += 1300 * time.Millisecond
			}
			e = within(t, w, 21*time.Second, time.Second, "a cluster whose keys a good machine serves")
			if said := w.book.sentence(iss, w.here()); named != strings.Contains(said, "instance k3j2h5aq is ") || len(e.Clocks) < 2 || e.Dates != 4 {
				t.Fatalf("%s\n%+v", said, e)
			}
		}
	}
}

// What was seen says nothing, however often it is shown: the estimate is the one
// of a book to which it was never shown again.
func TestReplaysMoveNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w, quiet := newWorld(), newWorld()
		m := machine{ahead: seconds1(r, "ahead", -300, 300)}
		var stolen []*token.Claims
		for range rapid.IntRange(10, 40).Draw(r, "events") {
			c := w.fresh(m, seconds1(r, "delay", 0, 3))
			if rapid.Bool().Draw(r, "no jti") {
				c.ID = ""
			}
			quiet.now = w.now
			quiet.use(c)
			w.use(c)
			stolen = append(stolen, c)
			w.now += seconds1(r, "pause", 0, 40)
			for range 5 {
				w.use(rapid.SampledFrom(stolen).Draw(r, "stolen"))
			}
			quiet.now = w.now
			got, _ := w.estimate()
			want, _ := quiet.estimate()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				r.Fatalf("replays moved the estimate:\n%+v, without them\n%+v", got, want)
			}
		}
	})
}

func TestAFloodOfTokensKeepsTheBookSmallAndReplaysOut(t *testing.T) {
	w := newWorld()
	m := machine{ahead: 21 * time.Second}
	const all = 200_000
	var kept []*token.Claims
	for i := range all {
		c := w.fresh(m, time.Millisecond)
		if i%20 == 0 {
			kept = append(kept, c)
		}
	}
	is := w.book.issuer(iss, w.here(), false)
	if n := len(is.seen.until); n > maxSeen || is.seen.sample == 0 {
		t.Fatalf("%d of %d tokens remembered, sample %d", n, all, is.seen.sample)
	}
	within(t, w, m.ahead, time.Second, "a flood")
	is.forget() // of the witnesses: whatever counts now is a replay
	for _, c := range kept {
		if w.use(c); is.tokens.newest != 0 {
			t.Fatal("a replay counted after the flood")
		}
	}
	for range 12 { // the flood is over; few tokens come, and old ones with them
		w.now += time.Minute
		w.fresh(m, time.Second)
		for _, c := range kept {
			w.use(c)
		}
	}
	for range 24 * 60 {
		w.now += time.Minute
		w.fresh(m, time.Second)
	}
	if is.seen.counted != 0 {
		t.Errorf("a day after the flood %d bits of sampling remain", is.seen.counted)
	}
	for range 20 {
		w.fresh(m, time.Second)
	}
	if e := within(t, w, m.ahead, time.Second, "a day later"); e.Tokens < enough {
		t.Errorf("%d tokens count", e.Tokens)
	}
}

// Tokens that come late say less than fresh ones, and never "behind" where they
// do not agree: a gate that starts sees a pile of old ones first.
func TestLateTokensPullNothingDown(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range scale(1_000) {
		w := newWorld()
		w.now = time.Hour
		for range 30 {
			c := w.mint(machine{})
			back := time.Duration((5 + random.Float64()*290) * float64(time.Second))
			c.IssuedAt, c.Expires = c.IssuedAt.Add(-back), c.Expires.Add(-back)
			w.use(c)
		}
		if e, ok := w.estimate(); ok && e.Skew() < -3*time.Second {
			t.Fatalf("late tokens of a good clock: %+v", e)
		}
	}
	w := newWorld()
	for range 20 {
		w.fresh(machine{ahead: 21 * time.Second}, time.Second)
	}
	before := within(t, w, 21*time.Second, time.Second, "before")
	for range 50 {
		c := w.mint(machine{ahead: 21 * time.Second})
		c.IssuedAt = c.IssuedAt.Add(-4 * time.Minute)
		w.use(c)
	}
	if after, _ := w.estimate(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("late tokens moved %+v to %+v", before, after)
	}
}

// Clients that go on showing what is over are no witnesses: by then nobody knows
// any more that their tokens were seen.
func TestTokensThatAreOverForLongSayNothing(t *testing.T) {
	for _, m := range []machine{{}, {node: "k3j2h5aq"}} {
		w := newWorld()
		var old []*token.Claims
		for range 40 {
			old = append(old, w.fresh(m, 50*time.Millisecond))
		}
		w.poll(m, time.Millisecond, time.Millisecond)
		for range 60 { // the issuer is down for half an hour
			w.now += 30 * time.Second
			for _, c := range old {
				w.use(c)
			}
			if e, _ := w.estimate(); e.Low < -3*time.Second {
				t.Fatalf("after %v: %+v", w.now, e)
			}
		}
	}
}

// Many clients that got their tokens at once may show them here for the first
// time at once, and late.
func TestABatchThatComesLateIsNoSlowInstance(t *testing.T) {
	slow := machine{ahead: -40 * time.Second, node: "k3j2h5aq"}
	w := newWorld()
	w.poll(machine{}, time.Millisecond, time.Millisecond)
	for range 30 {
		w.fresh(slow, 20*time.Millisecond)
	}
	if e := within(t, w, 0, time.Second, "a batch"); len(e.Clocks) != 1 {
		t.Errorf("%+v", e.Clocks)
	}
	w.now += 30 * time.Second
	w.fresh(slow, 20*time.Millisecond)
	if e := within(t, w, slow.ahead, time.Second, "and half a minute later"); e.Clocks[0].Node != slow.node {
		t.Errorf("%+v", e.Clocks)
	}
}

// What no clock can say is not taken for one.
func TestInstantsThatNoClockShows(t *testing.T) {
	w := newWorld()
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for i, iat := range []time.Time{year(9999), year(2400), year(1970)} {
		w.use(&token.Claims{Issuer: iss, ID: fmt.Sprint(i), IssuedAt: iat, Expires: start.Add(time.Hour)})
	}
	for _, date := range []time.Time{year(1), year(9999)} {
		w.book.date(iss, w.here(), w.here(), date)
	}
	if e, ok := w.estimate(); ok {
		t.Errorf("%+v", e)
	}
	w.book.date(iss, w.here(), w.here(), year(1970))
	if e, ok := w.estimate(); !ok || e.Skew() > -56*365*24*time.Hour {
		t.Errorf("a server that has no clock says 1970: %+v", e)
	}
}

// A step of this host's clock makes every difference wrong at once. The book
// says nothing false, and knows again after as many witnesses as at first.
func TestAStepOfThisHostHeals(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld()
		m := machine{ahead: seconds1(r, "ahead", -20, 20)}
		for range 20 {
			w.fresh(m, seconds1(r, "delay", 0, 2))
		}
		w.poll(m, time.Millisecond, time.Millisecond)
		w.host = seconds1(r, "step", 1, 300)
		if rapid.Bool().Draw(r, "back") {
			w.host = -w.host
		}
		if e, ok := w.estimate(); ok {
			r.Fatalf("after a step of %v it still says %+v", w.host, e)
		}
		for range 20 {
			w.fresh(m, seconds1(r, "delay after", 0, 2))
		}
		within(r, w, m.ahead-w.host, time.Second, "20 tokens after the step")
	})
}

// Without a monotonic reading a step cannot be seen; the window heals.
func TestAStepThatCannotBeSeenHealsInAWindow(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, -40 * time.Second, -5 * time.Second, 5 * time.Second, time.Hour} {
		b, wall, n := New(), start, 0
		tokens := func(ahead time.Duration) {
			for range 40 {
				n++
				wall = wall.Add(10 * time.Second)
				b.Token(&token.Claims{Issuer: iss, ID: fmt.Sprint(n), IssuedAt: wall.Add(ahead), Expires: wall.Add(time.Hour)}, wall)
			}
		}
		tokens(0)
		wall = wall.Add(step)
		tokens(-step)
		if e, ok := b.Of(iss, wall); !ok || (e.Skew()+step).Abs() > time.Second {
			t.Errorf("step %v: %+v after a window", step, e)
		}
	}
}

func TestAnIssuerWhoseClockWasSetRightIsNotNamedForLong(t *testing.T) {
	w := newWorld()
	for i := range 80 {
		ahead := 21 * time.Second
		if i >= 40 {
			ahead = 0
		}
		w.fresh(machine{ahead: ahead}, 500*time.Millisecond)
		w.poll(machine{ahead: ahead}, time.Millisecond, time.Millisecond)
		w.now += 8 * time.Second
	}
	if e := within(t, w, 0, time.Second, "5 minutes after it was set"); len(e.Clocks) != 1 {
		t.Errorf("%+v", e.Clocks)
	}
}

func TestOfSaysNothingWithoutAWitness(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *token.Claims)
		known  bool
	}{
		{"21 s ahead", func(*token.Claims) {}, true},
		{"without exp nobody knows how long to remember it", func(c *token.Claims) { c.Expires = time.Time{} }, false},
		{"a life of a year is not remembered either", func(c *token.Claims) { c.Expires = c.IssuedAt.AddDate(1, 0, 0) }, false},
		{"nbf where iat is absent", func(c *token.Claims) { c.NotBefore, c.IssuedAt = c.IssuedAt, time.Time{} }, true},
		{"nbf for later where iat is absent", func(c *token.Claims) {
			c.NotBefore, c.IssuedAt = start.Add(time.Hour), time.Time{}
			c.Expires = start.Add(2 * time.Hour)
		}, false},
		{"nbf ahead beside an iat that is not", func(c *token.Claims) { c.NotBefore, c.IssuedAt = c.IssuedAt, start }, false},
		{"neither iat nor nbf", func(c *token.Claims) { c.NotBefore, c.IssuedAt = time.Time{}, time.Time{} }, false},
		{"another issuer's", func(c *token.Claims) { c.Issuer = "https://other.example" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			c := w.mint(machine{ahead: 21 * time.Second})
			tt.change(c)
			w.use(c)
			if e, ok := w.estimate(); ok != tt.known {
				t.Errorf("known %v, want %v: %+v", ok, tt.known, e)
			}
		})
	}
}

func TestTheBookIsBounded(t *testing.T) {
	w := newWorld()
	for i := range 3 * maxNodes {
		w.fresh(machine{node: fmt.Sprintf("aaaaa%c%c%c", 'a'+i/26%26, 'a'+i%26, '2'+i%5)}, time.Millisecond)
	}
	if n := len(w.book.issuer(iss, w.here(), false).nodes); n > maxNodes {
		t.Errorf("%d instances of an issuer", n)
	}
	flood := func() {
		for i := range 2 * maxIssuers {
			c := w.mint(machine{ahead: time.Second})
			c.Issuer = fmt.Sprint(w.now, i)
			w.use(c)
		}
	}
	flood()
	if n := len(w.book.issuers); n != maxIssuers {
		t.Errorf("%d issuers", n)
	}
	if _, ok := w.estimate(); !ok {
		t.Error("a crowd of issuers put one out that is in use")
	}
	w.now += 4 * time.Hour
	flood()
	if n := len(w.book.issuers); n != maxIssuers || len(w.book.All(start.Add(w.now))) != maxIssuers {
		t.Errorf("%d issuers, %d known, after the others were idle", n, len(w.book.All(start.Add(w.now))))
	}
}

func TestManyAtOnce(t *testing.T) {
	b := New()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2_000 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				b.Token(&token.Claims{Issuer: iss, ID: fmt.Sprint(g, i), IssuedAt: now.Add(21 * time.Second), Expires: now.Add(time.Hour)}, now)
				switch i % 100 {
				case 0:
					b.Date(iss, now, now.Add(time.Millisecond), now.Add(21*time.Second).Truncate(time.Second))
				case 1:
					b.SetHost(&Host{Source: "ntp test"}, now)
				case 2:
					b.Sentence(iss, now)
				case 3:
					b.All(now)
				}
			}
		})
	}
	all.Wait()
	if e, ok := b.Of(iss, start.Add(2*time.Second)); !ok || (e.Skew()-21*time.Second).Abs() > time.Second {
		t.Errorf("%+v", e)
	}
}
