package histories

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/store"
)

// target is what of an engine the histories speak to.
type target interface {
	Sessions() store.Sessions
	Documents() store.Documents
	Marks() store.Marks
	Registry() store.Registry
	Revocations() store.Revocations
}

// The shape of a history of a store.
const (
	clients    = 5
	marksEach  = 3
	leastSteps = 16 // of each client
	mostSteps  = 44
	lastSteps  = 5 // after the fault is over
)

// load is what the clients of one history share.
type load struct {
	*history
	nodes    []target
	rng      *rand.Rand // of the history; each client has its own
	session  store.Session
	document store.Document
	entry    string
	marks    []store.Mark
	end      instant // of the session, if it is near

	generation, version, entryVersion atomic.Uint64 // the newest that anyone was told
	values                            atomic.Uint64
	feed                              feed
}

// newLoad makes the keys of a history. One session in eight ends while the
// history lasts.
func newLoad(name string, nodes []target, seed uint64) *load {
	l := &load{history: newHistory(name, storeModels()), nodes: nodes, rng: rand.New(rand.NewPCG(seed, 0))}
	at := time.Now()
	end := at.Add(50 * time.Minute).Truncate(time.Second).UTC()
	l.session = store.Session{ID: store.NewID(at, end), End: end, Client: "web", Subject: "alice"}
	if l.rng.IntN(8) == 0 {
		l.session.End = at.Truncate(time.Second).Add(time.Second + time.Duration(l.rng.IntN(2))*time.Second).UTC()
		l.session.ID = store.NewID(at, l.session.End)
		l.end = instantOf(l.session.End)
	}
	l.document = store.Document{Kind: store.Code, ID: store.NewID(at, end), End: end}
	l.entry = "client/" + strings.NewReplacer("/", "-").Replace(name) + "-" + l.document.ID.String()
	for i := range marksEach {
		l.marks = append(l.marks, store.Mark{Kind: "assertion", Scope: l.document.ID.String(), Value: strconv.Itoa(i), End: end})
	}
	return l
}

// run lets the clients work until settled is closed and a little longer.
func (l *load) run(ctx context.Context, settled <-chan struct{}) {
	var all sync.WaitGroup
	follower, stop := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { l.feed.follow(follower, l.nodes[len(l.nodes)-1].Revocations()) })
	for i := range clients {
		rng := rand.New(rand.NewPCG(l.rng.Uint64(), uint64(i)))
		all.Go(func() { l.client(ctx, i, rng, settled) })
	}
	all.Wait()
	stop()
	following.Wait()
	switch missed, err := l.feed.missed(ctx, l.nodes[len(l.nodes)-1].Revocations()); {
	case err != nil:
		l.fault("the feed could not be read: %v", err)
	case len(missed) > 0:
		l.fault("the feed skipped %d acknowledged revocations: %v", len(missed), missed)
	}
}

// client works; while nothing can be reached it waits.
func (l *load) client(ctx context.Context, i int, rng *rand.Rand, settled <-chan struct{}) {
	over := func() bool {
		select {
		case <-settled:
			return true
		case <-ctx.Done():
			return true
		default:
			return false
		}
	}
	for n := 0; n < leastSteps || n < mostSteps && !over(); {
		switch l.step(ctx, i, rng, over()) {
		case not:
			time.Sleep(time.Duration(20+rng.IntN(80)) * time.Millisecond)
			if over() {
				n++
			}
		case unknown:
			time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
			n++
		default:
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Microsecond)
			n++
		}
	}
	select {
	case <-settled:
	case <-ctx.Done():
	}
	for range lastSteps {
		l.step(ctx, i, rng, true)
	}
	l.readAll(ctx, i)
}

// step does one operation at one node. One call in twelve is given up early.
// What ends the session comes late most of the time.
func (l *load) step(ctx context.Context, i int, rng *rand.Rand, late bool) outcome {
	limit := 2 * time.Second
	if rng.IntN(12) == 0 {
		limit = time.Duration(rng.IntN(3000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	at := l.nodes[rng.IntN(len(l.nodes))]
	switch n := rng.IntN(100); {
	case n < 45:
		return l.onSession(ctx, i, rng, at.Sessions(), late || rng.IntN(6) == 0)
	case n < 68:
		return l.onDocument(ctx, i, rng, at.Documents())
	case n < 79:
		return l.onEntry(ctx, i, rng, at.Registry())
	case n < 90:
		return l.onMark(ctx, i, l.marks[rng.IntN(len(l.marks))], at.Marks())
	default:
		return l.feed.add(ctx, at.Revocations(), l.document.ID.String()+" "+strconv.FormatUint(l.values.Add(1), 10))
	}
}

// guess is the newest version that anyone knows, and now and then a wrong one.
func guess(newest *atomic.Uint64, rng *rand.Rand) uint64 {
	known := newest.Load()
	switch rng.IntN(12) {
	case 0:
		return known + 1
	case 1:
		return max(known, 2) - 1
	default:
		return known
	}
}

func learn(newest *atomic.Uint64, version uint64) {
	for known := newest.Load(); version > known && !newest.CompareAndSwap(known, version); known = newest.Load() {
	}
}

func (l *load) onSession(ctx context.Context, i int, rng *rand.Rand, s store.Sessions, mayEnd bool) outcome {
	switch n := rng.IntN(100); {
	case l.generation.Load() == 0 || n < 3:
		return l.createSession(ctx, i, s)
	case n < 45:
		return l.loadSession(ctx, i, s)
	case n < 94 || !mayEnd:
		return l.rotate(ctx, i, rng, s, mayEnd)
	default:
		out := l.do(i, l.key(kindSession), input{Op: opRevoke, End: l.end}, func() (output, error) { return output{}, s.Revoke(ctx, l.session.ID) })
		return out.Err
	}
}

func (l *load) createSession(ctx context.Context, i int, s store.Sessions) outcome {
	one, value := l.session, l.value(i)
	one.Generation, one.Data = 1, dataOf(value)
	out := l.do(i, l.key(kindSession), input{Op: opCreate, Value: value, End: l.end}, func() (output, error) { return output{}, s.Create(ctx, one) })
	if out.Err == done || out.Err == conflict || out.Err == unknown || out.Err == ended {
		learn(&l.generation, 1)
	}
	return out.Err
}

func (l *load) loadSession(ctx context.Context, i int, s store.Sessions) outcome {
	out := l.do(i, l.key(kindSession), input{Op: opRead, End: l.end}, func() (output, error) {
		got, err := s.Load(ctx, l.session.ID)
		if err != nil {
			return output{}, err
		}
		if got.ID != l.session.ID || got.Client != l.session.Client || got.Subject != l.session.Subject || !got.End.Equal(l.session.End) {
			l.fault("session %s was read as %+v", l.session.ID, got)
		}
		return output{Version: uint64(got.Generation), Value: valueOf(got.Data), Ended: got.Ended}, nil
	})
	learn(&l.generation, out.Version)
	return out.Err
}

func (l *load) rotate(ctx context.Context, i int, rng *rand.Rand, s store.Sessions, mayEnd bool) outcome {
	one, value := l.session, l.value(i)
	old := guess(&l.generation, rng)
	one.Generation, one.Data, one.Ended = store.Generation(old+1), dataOf(value), mayEnd && rng.IntN(30) == 0
	if rng.IntN(40) == 0 {
		one.Generation++
	}
	in := input{Op: opReplace, Old: old, Next: uint64(one.Generation), Value: value, Ended: one.Ended, End: l.end}
	out := l.do(i, l.key(kindSession), in, func() (output, error) { return output{}, s.Replace(ctx, one, store.Generation(old)) })
	if out.Err == done {
		learn(&l.generation, in.Next)
	}
	return out.Err
}

func (l *load) onDocument(ctx context.Context, i int, rng *rand.Rand, d store.Documents) outcome {
	one, k := l.document, l.key(kindDocument)
	switch n := rng.IntN(100); {
	case l.version.Load() == 0 || n < 4:
		value := l.value(i)
		one.Data = dataOf(value)
		out := l.do(i, k, input{Op: opCreate, Value: value}, func() (output, error) { return output{}, d.Put(ctx, one) })
		if out.Err == done || out.Err == conflict || out.Err == unknown {
			learn(&l.version, 1)
		}
		return out.Err
	case n < 45:
		return l.getDocument(ctx, i, d)
	default:
		value, old := l.value(i), guess(&l.version, rng)
		one.Data = dataOf(value)
		out := l.do(i, k, input{Op: opReplace, Old: old, Next: old + 1, Value: value}, func() (output, error) { return output{}, d.Replace(ctx, one, old) })
		if out.Err == done {
			learn(&l.version, old+1)
		}
		return out.Err
	}
}

func (l *load) getDocument(ctx context.Context, i int, d store.Documents) outcome {
	out := l.do(i, l.key(kindDocument), input{Op: opRead}, func() (output, error) {
		got, err := d.Get(ctx, l.document.Kind, l.document.ID)
		if err != nil {
			return output{}, err
		}
		if got.ID != l.document.ID || got.Kind != l.document.Kind || !got.End.Equal(l.document.End) {
			l.fault("document %s was read as %+v", l.document.ID, got)
		}
		return output{Version: got.Version, Value: valueOf(got.Data)}, nil
	})
	learn(&l.version, out.Version)
	return out.Err
}

func (l *load) onEntry(ctx context.Context, i int, rng *rand.Rand, r store.Registry) outcome {
	if rng.IntN(5) < 2 {
		return l.getEntry(ctx, i, r)
	}
	old, value := guess(&l.entryVersion, rng), l.value(i)
	data := dataOf(value)
	if old > 0 && rng.IntN(6) == 0 {
		data, value = nil, ""
	}
	out := l.do(i, l.key(kindEntry), input{Op: opReplace, Old: old, Next: old + 1, Value: value}, func() (output, error) { return output{}, r.Put(ctx, l.entry, data, old) })
	if out.Err == done {
		learn(&l.entryVersion, old+1)
	}
	return out.Err
}

func (l *load) getEntry(ctx context.Context, i int, r store.Registry) outcome {
	out := l.do(i, l.key(kindEntry), input{Op: opRead}, func() (output, error) {
		got, err := r.Get(ctx, l.entry)
		if err != nil || got.Value == nil {
			return output{Version: got.Version}, err
		}
		return output{Version: got.Version, Value: valueOf(got.Value)}, nil
	})
	learn(&l.entryVersion, out.Version)
	return out.Err
}

func (l *load) onMark(ctx context.Context, i int, m store.Mark, all store.Marks) outcome {
	return l.do(i, key{kindMark, m.Value}, input{Op: opFirst}, func() (output, error) {
		first, err := all.First(ctx, m)
		return output{First: first}, err
	}).Err
}

// readAll reads every key once, so that a history ends with what is there.
func (l *load) readAll(ctx context.Context, i int) {
	at := l.nodes[i%len(l.nodes)]
	l.loadSession(ctx, i, at.Sessions())
	l.getDocument(ctx, i, at.Documents())
	l.getEntry(ctx, i, at.Registry())
	for _, m := range l.marks {
		l.onMark(ctx, i, m, at.Marks())
	}
}

func (l *load) key(kind string) key { return key{kind, l.document.ID.String()} }

// value is a value that nobody else writes.
func (l *load) value(client int) string { return fmt.Sprintf("%c%d", 'a'+client, l.values.Add(1)) }

// dataOf is long and follows from value, so that half a record shows.
func dataOf(value string) []byte {
	return []byte(strings.Repeat(base64.RawURLEncoding.EncodeToString([]byte(value))+".", 40))
}

// valueOf reads what dataOf wrote.
func valueOf(data []byte) string {
	first, _, _ := strings.Cut(string(data), ".")
	value, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || string(dataOf(string(value))) != string(data) {
		return fmt.Sprintf("torn %.60q", data)
	}
	return string(value)
}

// feed is one follower of an engine's revocations and what was acknowledged.
type feed struct {
	mu     sync.Mutex
	acked  []string
	seen   map[string]bool
	cursor store.Cursor
}

func (f *feed) add(ctx context.Context, r store.Revocations, value string) outcome {
	err := r.Add(ctx, store.Revocation{Kind: store.RevokedToken, Value: value, End: time.Now().Add(30 * time.Minute)})
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.acked = append(f.acked, value)
	}
	return outcomeOf(err)
}

// follow reads on from its cursor until ctx ends.
func (f *feed) follow(ctx context.Context, r store.Revocations) {
	for ctx.Err() == nil {
		_ = f.poll(ctx, r, 2*time.Second) // the next one reads what this one could not
		select {
		case <-ctx.Done():
		case <-time.After(15 * time.Millisecond):
		}
	}
}

func (f *feed) poll(ctx context.Context, r store.Revocations, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	added, next, err := r.Since(ctx, f.cursor)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	for _, one := range added {
		f.seen[one.Value] = true
	}
	f.cursor = next
	return nil
}

// missed is what was acknowledged and not seen after one last look. That one may
// take long: the first a follower ever took reads all that lives.
func (f *feed) missed(ctx context.Context, r store.Revocations) (missed []string, err error) {
	for err = f.poll(ctx, r, 20*time.Second); err != nil && ctx.Err() == nil; err = f.poll(ctx, r, 20*time.Second) {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, value := range f.acked {
		if !f.seen[value] {
			missed = append(missed, value)
		}
	}
	return missed, nil
}
