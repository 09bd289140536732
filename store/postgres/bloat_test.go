package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

// TestRotationsDoNotBloat rotates sessions many times over: the rows are
// rewritten in their pages, and neither table nor index grows. (A little they
// do: an ANALYZE of the server may hold a snapshot, and a small table has little
// room. Five rotations without reuse would be six times the size.)
func TestRotationsDoNotBloat(t *testing.T) {
	e := fresh(t)
	all := make([]store.Session, 1000)
	for i := range all {
		all[i] = session(time.Now(), 2*time.Hour)
		all[i].Data = []byte(strings.Repeat("x", 200))
		if err := e.Sessions().Create(t.Context(), all[i]); err != nil {
			t.Fatal(err)
		}
	}
	was := sizeOf(t, e)
	for range 5 * len(all) {
		one := &all[rand.IntN(len(all))]
		if err := e.Sessions().Replace(t.Context(), rotated(*one), one.Generation); err != nil {
			t.Fatal(err)
		}
		one.Generation++
	}
	if is := sizeOf(t, e); float64(is) > 1.5*float64(was) {
		t.Errorf("%d bytes after the rotations, %d before: want at most half as much again", is, was)
	}
}

func sizeOf(t *testing.T, e *Engine) int64 {
	t.Helper()
	all, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all[5].Bytes
}

// TestReadOnlyHoldsForPartitionsMadeLater looks where the trigger might not be,
// and that none is left.
func TestReadOnlyHoldsForPartitionsMadeLater(t *testing.T) {
	clock := handAt(begin)
	e := open(t, Config{URL: newSchema(t, server), Longest: time.Hour, Now: clock.now})
	if err := e.SetReadOnly(t.Context(), "moving to db2"); err != nil {
		t.Fatal(err)
	}
	clock.advance(3 * time.Hour)
	if _, err := e.Retire(t.Context(), clock.now()); err != nil {
		t.Fatal(err)
	}
	other := open(t, e.cfg)
	_, err := other.Marks().First(t.Context(), store.Mark{Kind: "dpop", End: clock.now().Add(time.Minute)})
	none := session(clock.now(), time.Hour)
	for name, err := range map[string]error{
		"Create in a partition made later":     e.Sessions().Create(t.Context(), session(clock.now(), time.Hour)),
		"Create in a partition not made yet":   e.Sessions().Create(t.Context(), session(clock.now(), 90*day)),
		"First at a node that came later":      err,
		"Replace of none":                      e.Sessions().Replace(t.Context(), rotated(none), 1),
		"Revoke of none":                       e.Sessions().Revoke(t.Context(), none.ID),
		"Put of an entry that is elsewhere":    e.Registry().Put(t.Context(), "k", nil, 7),
		"Replace of a document that is not so": e.Documents().Replace(t.Context(), store.Document{Kind: store.Code, ID: none.ID, End: none.End}, 1),
	} {
		if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "moving to db2") {
			t.Errorf("%s = %v, want ErrReadOnly and why", name, err)
		}
	}
	if err := other.SetReadOnly(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	c := dial(t, e.cfg.URL)
	defer c.Close(context.Background())
	var triggers int
	const count = `SELECT count(*) FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid WHERE t.relnamespace = current_schema()::regnamespace`
	if err := c.QueryRow(t.Context(), count).Scan(&triggers); err != nil || triggers != 0 {
		t.Errorf("%d triggers are left, %v", triggers, err)
	}
	if err := e.Sessions().Create(t.Context(), none); err != nil {
		t.Errorf("Create when it is writable again = %v", err)
	}
}
