package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

// TestRotationsDoNotBloat rotates sessions many times over: the rows are
// rewritten in their pages, and neither table nor index grows.
func TestRotationsDoNotBloat(t *testing.T) {
	e := open(t, Config{URL: newSchema(t, server), Longest: 12 * time.Hour})
	const sessions, rotations, clients = 2000, 10_000, 8
	end := time.Now().Add(12 * time.Hour)
	all := make([]store.Session, sessions)
	together(clients, func(c int) {
		for i := c; i < sessions; i += clients {
			all[i] = session(time.Now(), time.Until(end))
			all[i].Data = []byte(strings.Repeat("x", 300))
			if err := e.Sessions().Create(t.Context(), all[i]); err != nil {
				t.Error(err)
			}
		}
	})
	was := sizeOf(t, e)
	together(clients, func(c int) {
		for range rotations / clients {
			one := &all[rand.IntN(sessions/clients)*clients+c]
			if err := e.Sessions().Replace(t.Context(), rotated(*one), one.Generation); err != nil {
				t.Error(err)
			}
			one.Generation++
		}
	})
	if is := sizeOf(t, e); float64(is) > 1.05*float64(was) {
		t.Errorf("%d bytes after the rotations, %d before: want the same, or little more", is, was)
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

func together(n int, f func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
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
