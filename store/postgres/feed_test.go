package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/longcase/longcase/store"
)

func add(t *testing.T, e *Engine, value string) {
	t.Helper()
	r := store.Revocation{Kind: store.RevokedToken, Value: value, End: time.Now().Add(time.Hour)}
	if err := e.Revocations().Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// follow returns the values behind c, in order.
func follow(t *testing.T, e *Engine, c store.Cursor) (values []string, next store.Cursor) {
	t.Helper()
	all, next, err := e.Revocations().Since(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		values = append(values, r.Value)
	}
	slices.Sort(values)
	return values, next
}

func wantFeed(t *testing.T, e *Engine, c store.Cursor, want ...string) store.Cursor {
	t.Helper()
	got, next := follow(t, e, c)
	if !slices.Equal(got, want) {
		t.Errorf("the feed brought %q, want %q", got, want)
	}
	return next
}

// addLate adds as another node does whose transaction stays open.
func addLate(t *testing.T, e *Engine, value string) pgx.Tx {
	t.Helper()
	c := dial(t, e.cfg.URL)
	t.Cleanup(func() { c.Close(context.Background()) })
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sql := `INSERT INTO revocations (bucket, id, kind, value, ends) VALUES ($1, gen_random_uuid(), 'token', $2, $1)`
	end := store.Short.Bucket(time.Now().Add(time.Hour)).Unix()
	if _, err := tx.Exec(t.Context(), sql, end, []byte(value)); err != nil {
		t.Fatal(err)
	}
	return tx
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestALateCommitIsNotSkipped holds transactions open while others commit. A
// number or a time given at the beginning would be passed by.
func TestALateCommitIsNotSkipped(t *testing.T) {
	e := fresh(t)
	add(t, e, "before")
	late := addLate(t, e, "late")
	c := wantFeed(t, e, "", "before")
	add(t, e, "meanwhile")
	later := addLate(t, e, "later")
	c = wantFeed(t, e, c, "meanwhile")
	c = wantFeed(t, e, c)
	commit(t, later)
	c = wantFeed(t, e, c, "later")
	commit(t, late)
	c = wantFeed(t, e, c, "late")
	wantFeed(t, e, c)
}

// TestForeignTransactionsCostNothing holds open more transactions than a cursor
// names, which write elsewhere: what is repeated is bounded by what came since
// the first that is not named, and nothing is skipped.
func TestForeignTransactionsCostNothing(t *testing.T) {
	e := fresh(t)
	var held []pgx.Tx
	for i := range maxRunning {
		add(t, e, fmt.Sprintf("a%02d", i))
		held = append(held, addLate(t, e, fmt.Sprintf("b%02d", i)))
	}
	_, c := follow(t, e, "")
	if c = wantFeed(t, e, c); len(c) > 512 {
		t.Errorf("a cursor of %d bytes", len(c))
	}
	held = append(held, addLate(t, e, "c"), addLate(t, e, "d"))
	add(t, e, "e")
	c = wantFeed(t, e, c, "e")
	c = wantFeed(t, e, c, "e") // behind "c", which it does not name
	for _, tx := range held {
		commit(t, tx)
	}
	if got, _ := follow(t, e, c); len(got) < maxRunning+3 || !slices.Contains(got, "b00") || !slices.Contains(got, "d") {
		t.Errorf("behind all commits the feed brought %q", got)
	}
}

// TestACursorOfAnotherDatabaseIsTheBeginning copies the database as a template
// and, as a dump would, with numbers of a server that counted further.
func TestACursorOfAnotherDatabaseIsTheBeginning(t *testing.T) {
	a := open(t, Config{URL: server.CreateDatabase("feed_a"), Longest: time.Hour})
	add(t, a, "v")
	_, c := follow(t, a, "")
	a.Close()
	execute(t, server.URL("postgres"), "CREATE DATABASE feed_b TEMPLATE feed_a")
	execute(t, server.URL("feed_b"), "SET search_path = longcase; UPDATE revocations SET xid = '999999999999'")
	b := open(t, Config{URL: server.URL("feed_b"), Longest: time.Hour})
	c = wantFeed(t, b, c, "v")
	wantFeed(t, b, c)
}

func TestAddingTwiceIsAddingOnce(t *testing.T) {
	e := fresh(t)
	end := time.Now().Add(time.Hour)
	r := store.Revocation{Kind: store.RevokedClient, Value: "c", Before: time.Now(), End: end}
	for range 2 {
		if err := e.Revocations().Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	wantFeed(t, e, "", "c")
	r.Before = r.Before.Add(time.Nanosecond)
	if err := e.Revocations().Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	wantFeed(t, e, "", "c", "c")
}

// TestABeforeFarAwayStaysThere: such a time does not fit into its column, and one
// that wrapped around would revoke nothing, or everything.
func TestABeforeFarAwayStaysThere(t *testing.T) {
	e := fresh(t)
	now := time.Now()
	for value, before := range map[string]time.Time{"future": now.AddDate(5000, 0, 0), "past": now.AddDate(-1500, 0, 0)} {
		r := store.Revocation{Kind: store.RevokedClient, Value: value, Before: before, End: now.Add(time.Hour)}
		if err := e.Revocations().Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := e.Revocations().Since(t.Context(), "")
	if err != nil || len(all) != 2 {
		t.Fatalf("Since = %v, %v; want two", all, err)
	}
	for _, r := range all {
		if r.Before.After(now) != (r.Value == "future") {
			t.Errorf("what is revoked from before the far %s is from before %s", r.Value, r.Before)
		}
	}
}

func TestAShorterSnapshotHasSeenLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		running := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 200), 0, 40, rapid.ID).Draw(t, "running")
		slices.Sort(running)
		whole := snapshot{most: rapid.Uint64Range(201, 300).Draw(t, "most"), running: running}
		short := whole.short()
		for x := range uint64(310) {
			if saw(short, x) && !saw(whole, x) {
				t.Fatalf("%s has seen %d, %s has not", short, x, whole)
			}
		}
		again, ok := parseSnapshot(short.String())
		if !ok || again.String() != short.String() {
			t.Fatalf("%s is read as %s, %v", short, again, ok)
		}
	})
}

func saw(s snapshot, x uint64) bool { return x < s.most && !slices.Contains(s.running, x) }

func FuzzParseSnapshot(f *testing.F) {
	for _, seed := range []string{"", "1:1:", "10:20:10,14,15", "5:5:", "3:9:3", "0:0:", "9:3:", "4:9:5", "01:2:", "1:2:1,1", "-1:2:", "1:18446744073709551615:1", "::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := parseSnapshot(text)
		if !ok {
			return
		}
		if s.String() != text {
			t.Errorf("%q is read as %q", text, s)
		}
		if s.least() > s.most || s.most == 0 {
			t.Errorf("%q begins at %d and ends at %d", text, s.least(), s.most)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	for _, seed := range []string{"", "sessions/1/00000000000000000000000000000000/", "registry/0/00000000000000000000000000000000/6b", "x/1//", strings.Repeat("/", 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parsePlace(store.Place(text)); err == nil && text != "" && p.String() != text {
			t.Errorf("%q is read as %q", text, p)
		}
	})
}
