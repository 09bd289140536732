package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// I5 asks for so many raced refreshes on each engine.
const racedEach = 100_000

const (
	raceSessions = 12
	mostRacers   = 12
)

// member is one node of the issuer that can be killed and started anew.
type member struct {
	open  func(ctx context.Context) (wire, func(), error) // and how to stop it
	alive sync.RWMutex                                    // held for reading by those who ask
	wire  wire
	ctx   context.Context //nolint:containedctx // its life: a kill ends every request under way
	kill  context.CancelFunc
	stop  func()
}

func newMember(t *testing.T, open func(ctx context.Context) (wire, func(), error)) *member {
	t.Helper()
	m := &member{open: open}
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.kill(); m.stop() })
	return m
}

func (m *member) start() (err error) {
	m.ctx, m.kill = context.WithCancel(context.Background())
	m.wire, m.stop, err = m.open(m.ctx)
	return err
}

// restart kills the node, whose requests come to nothing known, and starts it.
func (m *member) restart() error {
	m.kill()
	m.alive.Lock()
	defer m.alive.Unlock()
	m.stop()
	return m.start()
}

func (m *member) refresh(ctx context.Context, token string) (reply, error) {
	m.alive.RLock()
	defer m.alive.RUnlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	return m.wire.refresh(ctx, token)
}

// opener makes nodes on engines of their own.
func opener(trouble *lines, engine func(ctx context.Context) (store.Engine, error)) func(ctx context.Context) (wire, func(), error) {
	return func(ctx context.Context) (wire, func(), error) {
		e, err := engine(ctx)
		if err != nil {
			return wire{}, nil, err
		}
		is, err := newIssuer(ctx, e, trouble)
		if err != nil {
			return wire{}, nil, err
		}
		var running sync.WaitGroup
		running.Go(func() { _ = is.Run(ctx) }) // it returns nil
		return newWire(inProcess{is.Handler()}), func() { running.Wait(); e.Close() }, nil
	}
}

// race is many clients that use each refresh token several times at once.
type race struct {
	members []*member
	faults  []fault
	trouble *lines // what the issuers could not do
	goal    int64
	probe   string // the newest token of a session that shows whether a node works

	answered atomic.Int64
	epoch    atomic.Int64 // odd while a fault lasts

	mu                          sync.Mutex
	rotations, doubles, lost    int
	contended, faulted, repeats int
	first                       []string // of what must not be
}

func (x *race) note(count *int, format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	*count++
	if format != "" && len(x.first) < 5 {
		x.first = append(x.first, fmt.Sprintf(format, args...))
	}
}

// run races until the goal, while the faults befall the engine one after the
// other.
func (x *race) run(t *testing.T) {
	t.Helper()
	seed := seedOf(t)
	tokens := x.sessions(t, raceSessions+1)
	x.probe, tokens = tokens[0], tokens[1:]
	began := time.Now()
	var all, troubles sync.WaitGroup
	for i, token := range tokens {
		all.Go(func() { x.session(t.Context(), token, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	troubles.Go(func() { x.befall(t, rand.New(rand.NewPCG(seed, 1000))) })
	all.Wait()
	troubles.Wait()
	took := time.Since(began)
	t.Logf("%d nodes, %d faults: %d raced refreshes answered in %s, %d rotations, %d repeated after a lost answer; "+
		"double successors %d, lost sessions %d, 5xx from contention %d, failed during faults %d",
		len(x.members), len(x.faults), x.answered.Load(), took.Round(time.Millisecond), x.rotations, x.repeats, x.doubles, x.lost, x.contended, x.faulted)
	if x.doubles > 0 || x.lost > 0 || x.contended > 0 || x.answered.Load() < x.goal || x.faulted == 0 {
		t.Errorf("seed %d:\n%s\nissuers last failed with:\n%s", seed, strings.Join(x.first, "\n"), x.trouble)
	}
}

// sessions begins them and returns their first refresh tokens.
func (x *race) sessions(t *testing.T, n int) (tokens []string) {
	t.Helper()
	codes, err := x.members[0].wire.codes(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		got, err := x.members[0].wire.redeem(t.Context(), code)
		if err != nil || got.refresh == "" {
			t.Fatalf("redeem: %+v, %v", got, err)
		}
		tokens = append(tokens, got.refresh)
	}
	return tokens
}

// session races the newest token of one session. One round in twenty it loses
// all answers, and races the same token again.
func (x *race) session(ctx context.Context, token string, rng *rand.Rand) {
	given := ""
	for x.answered.Load() < x.goal && ctx.Err() == nil {
		next, alive := x.round(ctx, token, 2+rng.IntN(mostRacers-1), rng)
		switch {
		case !alive:
			return
		case next == "":
			time.Sleep(time.Duration(20+rng.IntN(60)) * time.Millisecond)
			continue
		case given != "" && given != next:
			x.note(&x.doubles, "one token was given the successors %s and, later, %s", given, next)
			return
		}
		given = next
		if rng.IntN(20) == 0 {
			x.note(&x.repeats, "")
			continue
		}
		token, given = next, ""
		x.note(&x.rotations, "")
	}
}

// round uses one token several times at once, and returns the successor, if
// anybody was told, and whether the session lives.
func (x *race) round(ctx context.Context, token string, racers int, rng *rand.Rand) (next string, alive bool) {
	answers := make([]reply, racers)
	var all sync.WaitGroup
	for i := range answers {
		m := x.members[rng.IntN(len(x.members))]
		all.Go(func() { answers[i] = x.ask(ctx, m, token) })
	}
	all.Wait()
	alive = true
	for _, got := range answers {
		switch {
		case got.err == string(invalid):
			x.note(&x.lost, "a session was ended: %s was refused", token)
			alive = false
		case got.refresh == "":
		case next != "" && got.refresh != next:
			x.note(&x.doubles, "%s was given the successors %s and %s", token, next, got.refresh)
			alive = false
		default:
			next = got.refresh
		}
	}
	return next, alive
}

// ask refreshes once, and counts what no contention may cause.
func (x *race) ask(ctx context.Context, m *member, token string) reply {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	epoch := x.epoch.Load()
	got, err := m.refresh(ctx, token)
	calm := epoch%2 == 0 && x.epoch.Load() == epoch
	switch {
	case err == nil && (got.status == http.StatusOK || got.err == string(invalid)):
		x.answered.Add(1)
	case calm:
		x.note(&x.contended, "without a fault: %d %s, %v", got.status, got.err, err)
	default:
		x.note(&x.faulted, "")
	}
	return got
}

// befall spreads the faults over the race. A fault lasts until every node
// answers again.
func (x *race) befall(t *testing.T, rng *rand.Rand) {
	for i, f := range x.faults {
		for x.answered.Load() < x.goal*int64(i+1)/int64(len(x.faults)+1) && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		x.epoch.Add(1)
		f.befall(rng)
		x.recovered(t, f)
		x.epoch.Add(1)
	}
}

const recovery = time.Minute

// recovered waits until every node refreshes the probe some times in a row.
func (x *race) recovered(t *testing.T, f fault) {
	until := time.Now().Add(recovery)
	for _, m := range x.members {
		for row := 0; row < 20; row++ {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			got, err := m.refresh(ctx, x.probe)
			cancel()
			switch {
			case got.refresh != "":
				x.probe = got.refresh
				continue
			case got.err == string(invalid):
				x.note(&x.lost, "the probe was ended under %q", f.name)
				return
			case time.Now().After(until):
				t.Errorf("a node has not recovered %s after %q: %+v, %v; issuers last failed with:\n%s", recovery, f.name, got, err, x.trouble)
				return
			}
			row = -1
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// repeated has each fault befall five times in a long test.
func repeated(faults []fault) []fault { return slices.Repeat(faults, storetest.Count(5)) }

// goalOf is what one of so many topologies has to race.
func goalOf(topologies int) int64 { return int64(storetest.Count(racedEach) / topologies) }

// lines is what issuers could not do, the last of it.
type lines struct {
	mu   sync.Mutex
	kept []string
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.kept, "\n")
}

// refused keeps what an issuer could not do. A nil lines keeps nothing.
func (l *lines) refused(e issuer.Event) {
	if l == nil || e.Code != "temporarily_unavailable" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, e.Reason)
	l.kept = l.kept[max(0, len(l.kept)-20):]
}
