package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store"
)

// hand is a clock that a test moves.
type hand struct{ at atomic.Int64 }

func handAt(t time.Time) *hand {
	h := &hand{}
	h.at.Store(t.UnixNano())
	return h
}

func (h *hand) now() time.Time          { return time.Unix(0, h.at.Load()).UTC() }
func (h *hand) advance(d time.Duration) { h.at.Add(int64(d)) }

// journal is a log to look into.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) log() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

var begin = time.Date(2026, 3, 1, 10, 1, 7, 0, time.UTC)

// TestTwoDaysWithPartitionsMadeAheadAndDropped lives through two days of
// records of every kind: no write finds its partition missing, what is over is
// dropped whole, and no row is deleted.
func TestTwoDaysWithPartitionsMadeAheadAndDropped(t *testing.T) {
	clock, log := handAt(begin), &journal{}
	e := open(t, Config{URL: newSchema(t, server), Longest: 12 * time.Hour, Now: clock.now, Log: log.log()})
	most := 0
	for range 2 * 24 {
		for i, life := range []time.Duration{time.Minute, time.Hour, 6 * time.Hour, 12 * time.Hour} {
			writeAll(t, e, clock.now(), life, i)
		}
		clock.advance(time.Hour)
		if _, err := e.Retire(t.Context(), clock.now().Add(-store.RetireDelay)); err != nil {
			t.Fatal(err)
		}
		all := e.shape.get()
		most = max(most, len(all[kindSession]))
		for k, these := range all {
			if oldest := at(these[0].last); clock.now().Sub(oldest) >= store.RetireDelay {
				t.Fatalf("a partition of %s that ended at %s is there at %s", kind(k).table(), oldest, clock.now())
			}
		}
	}
	if strings.Contains(log.String(), "no partition was there") {
		t.Errorf("the log warns: %.300s", log)
	}
	if most > 15 {
		t.Errorf("up to %d partitions of sessions, want at most 15", most)
	}
	wantNothingDeleted(t, e)
}

// writeAll writes one record of each kind that lives for life, and rotates.
func writeAll(t *testing.T, e *Engine, now time.Time, life time.Duration, i int) {
	t.Helper()
	one := session(now, life)
	end := one.End
	doc := store.Document{Kind: store.Code, ID: one.ID, End: end}
	_, errMark := e.Marks().First(t.Context(), store.Mark{Kind: "dpop", Value: fmt.Sprint(now, i), End: end})
	err := errors.Join(e.Sessions().Create(t.Context(), one), e.Sessions().Replace(t.Context(), rotated(one), 1),
		e.Documents().Put(t.Context(), doc), e.Documents().Replace(t.Context(), doc, 1), errMark,
		e.Revocations().Add(t.Context(), store.Revocation{Kind: store.RevokedSession, Value: one.ID.String(), End: end}))
	if err != nil {
		t.Fatal(err)
	}
}

// wantNothingDeleted asks the server's statistics, those of TOAST included.
func wantNothingDeleted(t *testing.T, e *Engine) {
	t.Helper()
	for _, c := range e.pool.AcquireAllIdle(t.Context()) { // each tells what it counted once a second, or when told to
		if _, err := c.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
			t.Error(err)
		}
		c.Release()
	}
	c := dial(t, e.cfg.URL)
	defer c.Close(t.Context())
	var inserted, deleted int64
	err := c.QueryRow(t.Context(), `SELECT sum(n_tup_ins)::bigint, sum(n_tup_del)::bigint
FROM pg_stat_user_tables WHERE schemaname = $1`, e.schema).Scan(&inserted, &deleted)
	if err != nil {
		t.Fatal(err)
	}
	if inserted == 0 || deleted != 0 {
		t.Errorf("%d rows were inserted and %d deleted, want some and none", inserted, deleted)
	}
}

// TestNodesRetireTogetherUnderLoad lets three nodes retire, make partitions and
// rotate at once, over a day that passes in seconds.
func TestNodesRetireTogetherUnderLoad(t *testing.T) {
	clock := handAt(begin)
	cfg := Config{URL: newSchema(t, server), Longest: 6 * time.Hour, Now: clock.now}
	var nodes []*Engine
	for range 3 {
		nodes = append(nodes, open(t, cfg))
	}
	long := session(begin, 40*time.Hour) // beyond Longest: made when it is written
	if err := nodes[0].Sessions().Create(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var rotations atomic.Int64
	for i := range 6 {
		load.Go(func() { rotations.Add(rotateWhile(ctx, t, nodes[i%3], long.ID, clock)) })
	}
	for range 24 {
		clock.advance(time.Hour)
		retireAll(t, nodes, clock.now())
	}
	stop()
	load.Wait()
	got, err := nodes[1].Sessions().Load(t.Context(), long.ID)
	if err != nil || int64(got.Generation) != rotations.Load()+1 {
		t.Errorf("generation %d, %v after %d rotations", got.Generation, err, rotations.Load())
	}
	wantOnly(t, nodes[2], clock.now())
	wantNothingDeleted(t, nodes[0])
}

// retireAll lets every node retire at once.
func retireAll(t *testing.T, nodes []*Engine, now time.Time) {
	var all sync.WaitGroup
	for _, e := range nodes {
		all.Go(func() {
			if _, err := e.Retire(t.Context(), now.Add(-store.RetireDelay)); err != nil {
				t.Errorf("Retire = %v", err)
			}
		})
	}
	all.Wait()
}

// rotateWhile rotates the session, and creates short ones, until ctx ends. It
// returns how many rotations were its own.
func rotateWhile(ctx context.Context, t *testing.T, e *Engine, id store.ID, clock *hand) (won int64) {
	for ctx.Err() == nil {
		found, err := e.Sessions().Load(t.Context(), id)
		if err != nil {
			t.Errorf("Load = %v", err)
			return won
		}
		switch err := e.Sessions().Replace(t.Context(), rotated(found), found.Generation); {
		case err == nil:
			won++
		case !errors.Is(err, store.ErrConflict):
			t.Errorf("Replace = %v", err)
		}
		err = e.Sessions().Create(t.Context(), session(clock.now(), 50*time.Minute))
		if err != nil && !errors.Is(err, store.ErrEnded) { // the clock leapt meanwhile
			t.Errorf("Create = %v", err)
		}
	}
	return won
}

// wantOnly wants no partition that is over, in the catalog itself.
func wantOnly(t *testing.T, e *Engine, now time.Time) {
	t.Helper()
	c := dial(t, e.cfg.URL)
	defer c.Close(t.Context())
	all, err := readShape(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for k, these := range all {
		for _, p := range these {
			if p.last <= now.Add(-store.RetireDelay).Unix() {
				t.Errorf("partition %s of %s is over and there", p.name, kind(k).table())
			}
		}
	}
}

// TestALateWriteMeetsNoPartition is a node whose clock is hours behind: what
// others dropped is not made again.
func TestALateWriteMeetsNoPartition(t *testing.T) {
	now, late := handAt(begin), handAt(begin)
	cfg := Config{URL: newSchema(t, server), Longest: time.Hour}
	cfg.Now = now.now
	a := open(t, cfg)
	cfg.Now = late.now
	b := open(t, cfg)
	one, m := session(begin, time.Hour), store.Mark{Kind: "dpop", Value: "v", End: begin.Add(time.Hour)}
	other := session(begin, time.Hour)
	if err := a.Sessions().Create(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	now.advance(3 * time.Hour)
	if n, err := a.Retire(t.Context(), now.now()); n != 1 || err != nil {
		t.Fatalf("Retire = %d, %v; want the bucket of the one session", n, err)
	}
	_, errMark := b.Marks().First(t.Context(), m)
	_, errLoad := b.Sessions().Load(t.Context(), one.ID)
	for name, tt := range map[string]struct{ got, want error }{
		"Create":  {b.Sessions().Create(t.Context(), other), store.ErrEnded},
		"First":   {errMark, store.ErrEnded},
		"Load":    {errLoad, store.ErrNotFound},
		"Replace": {b.Sessions().Replace(t.Context(), rotated(one), 1), store.ErrEnded},
		"Add":     {b.Revocations().Add(t.Context(), store.Revocation{Kind: store.RevokedToken, End: one.End}), store.ErrEnded},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s = %v, want %v", name, tt.got, tt.want)
		}
	}
	wantOnly(t, a, now.now())
}

// TestAMissingPartitionIsMadeAndTold is a life that nobody configured, met by
// many writers at once.
func TestAMissingPartitionIsMadeAndTold(t *testing.T) {
	log := &journal{}
	e := open(t, Config{URL: newSchema(t, server), Longest: time.Hour, Log: log.log()})
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if err := e.Sessions().Create(t.Context(), session(time.Now(), 60*day)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(log.String(), "no partition was there for a write"); n < 1 || n > 2 { // two, across midnight
		t.Errorf("the log tells %d times of a partition that was made, want once", n)
	}
}

// TestABackupHoldsUpNobody holds what a dump holds, a lock on every table, while
// a node retires and rotates.
func TestABackupHoldsUpNobody(t *testing.T) {
	clock, log := handAt(begin), &journal{}
	e := open(t, Config{URL: newSchema(t, server), Longest: 3 * time.Hour, Now: clock.now, Log: log.log()})
	short, long := session(begin, time.Hour), session(begin, 3*time.Hour)
	if err := errors.Join(e.Sessions().Create(t.Context(), short), e.Sessions().Create(t.Context(), long)); err != nil {
		t.Fatal(err)
	}
	backup := dial(t, e.cfg.URL)
	defer backup.Close(context.Background())
	tx, err := backup.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT count(*) FROM sessions`); err != nil {
		t.Fatal(err)
	}
	clock.advance(2*time.Hour + 30*time.Minute)
	if n, err := e.Retire(t.Context(), clock.now()); n != 1 || err != nil {
		t.Errorf("Retire during a backup = %d, %v; want the bucket of the short session", n, err)
	}
	if !strings.Contains(log.String(), "is in use, by a backup") {
		t.Errorf("the log does not tell what stands in the way: %q", log)
	}
	if err := e.Sessions().Replace(t.Context(), rotated(long), 1); err != nil {
		t.Errorf("Replace during a backup = %v", err)
	}
	if _, err := e.Sessions().Load(t.Context(), short.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Load of what is over and not dropped = %v, want ErrNotFound", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Retire(t.Context(), clock.now()); err != nil {
		t.Error(err)
	}
	wantOnly(t, e, clock.now().Add(store.RetireDelay))
}
