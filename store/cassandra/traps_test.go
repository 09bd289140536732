package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

// traps are what Cassandra does that would leave rows for ever or tell a lie,
// each shown on a table of ours, and that the engine does not walk into.
func (h *house) traps(t *testing.T) {
	for _, trap := range []struct {
		name  string
		check func(*testing.T, *Engine)
	}{
		{"an update without a TTL leaves half a row, which is no session", h.halfRow},
		{"a condition on a null makes a row where one has ended; ours do not", h.endedRow},
		{"a TTL of more than 20 years is an error, and refused before", h.longTTL},
		{"a TTL of 0 is for ever", h.zeroTTL},
		{"every column of a row ends with it, whoever wrote last", h.sameTTL},
		{"what is empty is no null, which would be a tombstone", h.noNulls},
		{"an unknown outcome is resolved by the number in the row", h.resolves},
		{"a lost race with another process is judged by what the winner left", h.staleCaller},
		{"a store that lost the row of its state takes no writes", h.lostState},
		{"a newer program's store takes no writes of this one", h.newerVersion},
	} {
		t.Run(trap.name, func(t *testing.T) { trap.check(t, h.open(t, nil)) })
	}
}

// brief writes a session whose row ends after a second, long before the session.
func (h *house) brief(t *testing.T, e *Engine) store.Session {
	t.Helper()
	one := newSession(time.Now(), time.Hour)
	h.cql(t, "INSERT INTO sessions (id, gen, ended, proposal, about, data) VALUES (?, 1, false, 1, ?, ?) USING TTL 1", e.key(one.ID[:]), aboutSession(one), one.Data)
	return one
}

const briefly = 2100 * time.Millisecond // until a TTL of 1 has passed for certain

func (h *house) halfRow(t *testing.T, e *Engine) {
	one := h.brief(t, e)
	h.cql(t, "UPDATE sessions SET gen = 2, ended = false WHERE id = ?", e.key(one.ID[:]))
	time.Sleep(briefly)
	if stay := forever(t, e); len(stay) != 2 {
		t.Fatalf("what stays is %q; want gen and ended: is the trap gone?", stay)
	}
	_, err := e.Sessions().Load(t.Context(), one.ID)
	wantErr(t, "Load of half a row", err, store.ErrNotFound)
	wantErr(t, "Replace of half a row", e.Sessions().Replace(t.Context(), rotated(one, 2), 2), store.ErrConflict)
	wantErr(t, "Revoke of half a row", e.Sessions().Revoke(t.Context(), one.ID), store.ErrNotFound)
	if all, err := e.Sessions().List(t.Context(), store.ID{}, 10); err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v; want none", all, err)
	}
}

func wantErr(tb testing.TB, what string, got, want error) {
	tb.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		tb.Errorf("%s = %v, want %v", what, got, want)
	}
}

func (h *house) endedRow(t *testing.T, e *Engine) {
	one := h.brief(t, e)
	time.Sleep(briefly)
	wantErr(t, "Replace where the row has ended", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), store.ErrConflict)
	wantErr(t, "Revoke where the row has ended", e.Sessions().Revoke(t.Context(), one.ID), store.ErrNotFound)
	var id []byte
	q := e.session.Query("SELECT id FROM sessions WHERE id = ?", e.key(one.ID[:]))
	if found, err := e.get(t.Context(), "look", q, &id); found || err != nil {
		t.Errorf("there is a row again: %v, %v", found, err)
	}
	q = e.session.Query("UPDATE sessions USING TTL 60 SET gen = 2 WHERE id = ? IF data = null", e.key(one.ID[:]))
	if applied, err := q.MapScanCASContext(t.Context(), map[string]any{}); !applied || err != nil {
		t.Errorf("a condition on a null applies: %v, %v; is the trap gone?", applied, err)
	}
}

func (h *house) longTTL(t *testing.T, e *Engine) {
	const insert = "INSERT INTO marks (id, proposal) VALUES (?, 1) USING TTL ?"
	err := h.link.session.Query(insert, e.key([]byte("m")), maxTTL+1).ExecContext(t.Context())
	if !refused(err) {
		t.Errorf("a TTL of %d: %v, want a refusal", maxTTL+1, err)
	}
	h.cql(t, insert, e.key([]byte("m")), maxTTL)
	one := newSession(time.Now(), (maxTTL-lateSeconds+60)*time.Second)
	wantErr(t, "Create of a session for longer", e.Sessions().Create(t.Context(), one), store.ErrTooLate)
	one = newSession(time.Now(), (maxTTL-lateSeconds-60)*time.Second)
	wantErr(t, "Create of a session for so long", e.Sessions().Create(t.Context(), one), nil)
}

func (h *house) zeroTTL(t *testing.T, e *Engine) {
	h.cql(t, "INSERT INTO marks (id, proposal) VALUES (?, 1) USING TTL 0", e.key([]byte("m")))
	if stay := forever(t, e); len(stay) != 1 {
		t.Errorf("what stays is %q, want the mark: is the trap gone?", stay)
	}
}

// sameTTL moves the clock to the last second, so that a TTL which does not count
// from the end would show.
func (h *house) sameTTL(t *testing.T, _ *Engine) {
	now := time.Now()
	e := h.open(t, func() time.Time { return now })
	one := created(t, e, time.Hour)
	other := created(t, e, time.Hour)
	began := now
	for g, at := range []time.Duration{20 * time.Minute, 40 * time.Minute, time.Hour - 2*time.Second} {
		now = began.Add(at)
		wantErr(t, "Replace", e.Sessions().Replace(t.Context(), rotated(one, store.Generation(g+1)), store.Generation(g+1)), nil)
	}
	wantErr(t, "Revoke", e.Sessions().Revoke(t.Context(), other.ID), nil)
	for name, id := range map[string]store.ID{"rotated": one.ID, "revoked": other.ID} {
		left := make([]int, 5)
		q := e.session.Query("SELECT TTL(gen), TTL(ended), TTL(proposal), TTL(about), TTL(data) FROM sessions WHERE id = ?", e.key(id[:]))
		if _, err := e.get(t.Context(), "look", q, &left[0], &left[1], &left[2], &left[3], &left[4]); err != nil {
			t.Fatal(err)
		}
		if slices.Max(left) != slices.Min(left) || left[0] > lateSeconds+3 || left[0] < lateSeconds-60 {
			t.Errorf("the columns of a session that was %s in its last seconds live %v s more, want about %d", name, left, lateSeconds)
		}
	}
}

// noNulls asks for the time at which each column was written: a null has none.
func (h *house) noNulls(t *testing.T, e *Engine) {
	one := newSession(time.Now(), time.Hour)
	one.Client, one.Subject, one.Data = "", "", nil
	doc := store.Document{Kind: store.Code, ID: one.ID, End: one.End}
	r := store.Revocation{Kind: store.RevokedKey, End: one.End}
	for what, err := range map[string]error{
		"Create": e.Sessions().Create(t.Context(), one), "Put": e.Documents().Put(t.Context(), doc), "Add": e.Revocations().Add(t.Context(), r),
		"Put of an entry": e.Registry().Put(t.Context(), "k", []byte{}, 0), "removal": e.Registry().Put(t.Context(), "k", nil, 1),
	} {
		wantErr(t, what, err, nil)
	}
	wantErr(t, "Revoke", e.Sessions().Revoke(t.Context(), one.ID), nil)
	for _, table := range schema() {
		for _, column := range table.ofKind("regular") {
			q := e.session.Query(fmt.Sprintf("SELECT %s, WRITETIME(%s) FROM %s", table.ofKind("partition_key")[0], column, table.name))
			err := e.each(t.Context(), "look for nulls", q, func(scan func(...any) error) error {
				var key []byte
				var at *int64
				err := scan(&key, &at)
				if at == nil && err == nil && strings.HasPrefix(string(key), string(e.space)) {
					t.Errorf("%s of %q in %s is null", column, key, table.name)
				}
				return err
			})
			wantErr(t, "look at "+table.name, err, nil)
		}
	}
}

// resolves says what became of transactions whose answer was lost, by the rows
// that they and others left.
func (h *house) resolves(t *testing.T, e *Engine) {
	cause := errors.New("the answer was lost")
	one := created(t, e, time.Hour)
	wantErr(t, "Replace", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), nil)
	found, err := sessions{e}.load(t.Context(), one.ID, time.Now())
	wantErr(t, "Load", err, nil)
	missing := newSession(time.Now(), time.Hour)
	tests := []struct {
		name    string
		id      store.ID
		old     uint64
		mine    bool
		applied bool
		want    error
	}{
		{"it was applied", one.ID, 1, true, true, nil},
		{"another was applied", one.ID, 1, false, false, nil},
		{"none was applied yet", one.ID, 2, false, false, store.ErrUnknown},
		{"others were applied since", one.ID, 0, false, false, store.ErrUnknown},
		{"there is no row", missing.ID, 0, false, false, store.ErrUnknown},
	}
	for _, tt := range tests {
		w := sessions{e}.swap(tt.id, tt.old)
		if tt.mine {
			w.proposal = found.proposal
		}
		applied, _, err := e.resolve(t.Context(), w, cause)
		if applied != tt.applied {
			t.Errorf("%s: applied %v", tt.name, applied)
		}
		wantErr(t, tt.name, err, tt.want)
		if err != nil && !errors.Is(err, cause) {
			t.Errorf("%s: %v does not say why", tt.name, err)
		}
	}
	wantErr(t, "Revoke", e.Sessions().Revoke(t.Context(), one.ID), nil)
	w := sessions{e}.swap(one.ID, 1)
	w.proposal = found.proposal
	if applied, _, err := e.resolve(t.Context(), w, cause); !applied || err != nil {
		t.Errorf("it was applied and the session revoked since: %v, %v", applied, err)
	}
	if applied, r, err := e.resolve(t.Context(), sessions{e}.swap(one.ID, 2), cause); applied || !r.ended || err != nil {
		t.Errorf("the session was revoked before: %v, %v", applied, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = e.resolve(ctx, sessions{e}.swap(one.ID, 0), cause)
	wantErr(t, "the caller gave up", err, context.Canceled)
	wantErr(t, "the caller gave up", err, store.ErrUnknown)
}

// staleCaller takes the session for what it is not: the stored end, client and
// subject stay, and count.
func (h *house) staleCaller(t *testing.T, e *Engine) {
	one := created(t, e, time.Hour)
	other := h.openIn(t, nil, e.space)
	wantErr(t, "Replace elsewhere", other.Sessions().Replace(t.Context(), rotated(one, 1), 1), nil)
	next := rotated(one, 2)
	next.Client, next.End = "mallory", one.End.Add(-50*time.Minute)
	wantErr(t, "Replace with another end", e.Sessions().Replace(t.Context(), next, 2), nil)
	want := rotated(one, 2)
	if got, err := other.Sessions().Load(t.Context(), one.ID); err != nil || !got.Equal(want) {
		t.Errorf("Load = %+v, %v; want %+v", got, err, want)
	}
	var left int
	q := e.session.Query("SELECT TTL(data) FROM sessions WHERE id = ?", e.key(one.ID[:]))
	if _, err := e.get(t.Context(), "look", q, &left); err != nil || left < 3600 {
		t.Errorf("the row lives %d s more, %v; want over an hour", left, err)
	}
}

// halves lists sessions among so many that have ended that the server refuses
// to read past them at once (see tombstones).
func (h *house) halves(t *testing.T) {
	e := h.open(t, nil)
	about := aboutSession(newSession(time.Now(), time.Hour))
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range tombstones / 8 {
				h.cql(t, "INSERT INTO sessions (id, gen, ended, proposal, about, data) VALUES (?, 1, false, 1, ?, ?) USING TTL 1", e.key(fmt.Appendf(nil, "%d.%d", w, i)), about, about)
			}
		})
	}
	writers.Wait()
	var want []store.ID
	for range scanRows + 20 {
		want = append(want, created(t, e, time.Hour).ID)
	}
	time.Sleep(briefly)
	q := e.session.Query("SELECT count(*) FROM sessions")
	if err := q.ScanContext(t.Context(), new(int64)); !tooMuch(err) {
		t.Errorf("the whole table is read at once: %v", err)
	}
	slices.SortFunc(want, func(a, b store.ID) int { return bytes.Compare(a[:], b[:]) })
	all, err := e.Sessions().List(t.Context(), store.ID{}, len(want)+10)
	var got []store.ID
	for _, one := range all {
		got = append(got, one.ID)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("List = %d sessions, %v; want the %d that live", len(got), err, len(want))
	}
}

func (h *house) lostState(t *testing.T, e *Engine) {
	one := created(t, e, time.Hour)
	h.cql(t, "DELETE FROM state WHERE name = ?", e.stateName())
	time.Sleep(testPace().stale)
	wantErr(t, "Replace", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), store.ErrSchema)
	wantErr(t, "SetReadOnly", e.SetReadOnly(t.Context(), "moving"), store.ErrSchema)
	_, err := e.Sessions().Load(t.Context(), one.ID)
	wantErr(t, "Load", err, nil)
}

func (h *house) newerVersion(t *testing.T, e *Engine) {
	one := created(t, e, time.Hour)
	h.cql(t, "UPDATE state SET version = ? WHERE name = ? IF EXISTS", schemaVersion+1, e.stateName())
	time.Sleep(testPace().stale)
	wantErr(t, "Replace", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), store.ErrSchema)
	_, err := newEngine(t.Context(), e.cfg, h.link, testPace(), e.space)
	wantErr(t, "Open", err, store.ErrSchema)
	if err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("Open = %v, does not say what to do", err)
	}
}
