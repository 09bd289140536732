package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

// reopen opens e's store once more and returns the error.
func reopen(t *testing.T, e *Engine) error {
	t.Helper()
	again, err := Open(t.Context(), e.cfg)
	if err == nil {
		again.Close()
	}
	return err
}

func TestASchemaThatIsNotOursIsNamed(t *testing.T) {
	tests := []struct {
		name, sql string
		says      []string
	}{
		{"of a newer version", "UPDATE meta SET version = 99", []string{"version 99", "version 1"}},
		{"a table is missing", "DROP TABLE documents", []string{"no table documents"}},
		{"a column is missing", "ALTER TABLE sessions DROP COLUMN subject", []string{"missing is sessions: subject bytea not null"}},
		{"a column is of another type", "ALTER TABLE registry ALTER version TYPE integer", []string{"registry: version bigint", "registry: version integer"}},
		{"a column more", "ALTER TABLE marks ADD note text", []string{"unexpected is marks: note text"}},
		{"no primary key", "ALTER TABLE marks DROP CONSTRAINT marks_pkey", []string{"missing is marks: primary key"}},
		{"an index that rotations would have to write", "CREATE INDEX ON sessions (subject)", []string{"unexpected is sessions: index btree (subject)"}},
		{"a default partition", "CREATE TABLE rest PARTITION OF sessions DEFAULT", []string{"unexpected is sessions: default partition rest"}},
		{
			"a trigger", "CREATE TRIGGER theirs BEFORE UPDATE ON registry FOR EACH ROW EXECUTE FUNCTION refuse_write()",
			[]string{"unexpected is registry: trigger theirs"},
		},
		{"a table that a crash empties", "ALTER TABLE registry SET UNLOGGED", []string{"unexpected is registry: unlogged, a crash empties it"}},
		{
			"a partition that a crash empties",
			`DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE ' || inhrelid::regclass || ' SET UNLOGGED' FROM pg_inherits WHERE inhparent = 'marks'::regclass LIMIT 1); END $$`,
			[]string{"unexpected is marks: unlogged, a crash empties it: partition marks_"},
		},
		{"the row of meta is missing", "DELETE FROM meta", []string{"meta is empty"}},
		{"everything is missing but meta", "DROP TABLE sessions, documents, marks, revocations, registry", []string{"no table sessions", "no table registry"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := fresh(t)
			execute(t, e.cfg.URL, tt.sql)
			err := reopen(t, e)
			if !errors.Is(err, store.ErrSchema) {
				t.Fatalf("Open = %v, want ErrSchema", err)
			}
			for _, says := range tt.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("Open = %q, want it to say %q", err, says)
				}
			}
		})
	}
}

// TestSomebodyElsesTablesStay is a schema in use by another program.
func TestSomebodyElsesTablesStay(t *testing.T) {
	url := newSchema(t, server)
	name := url[strings.LastIndex(url, "=")+1:]
	execute(t, url, fmt.Sprintf("CREATE SCHEMA %[1]s; CREATE TABLE %[1]s.sessions (theirs text)", name))
	_, err := Open(t.Context(), Config{URL: url, Log: quiet()})
	if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), `"sessions" already exists`) {
		t.Errorf("Open = %v, want ErrSchema that names sessions", err)
	}
	execute(t, url, "SELECT theirs FROM sessions")
}

func TestNothingIsMadeWhereAStoreIsToBe(t *testing.T) {
	url := newSchema(t, server)
	existing := Config{URL: url, Existing: true, Log: quiet()}
	for range 2 { // the first has made nothing
		if _, err := Open(t.Context(), existing); !errors.Is(err, store.ErrNoStore) {
			t.Errorf("Open = %v, want ErrNoStore", err)
		}
	}
	open(t, Config{URL: url, Log: quiet()})
	open(t, existing)
}

func TestNodesStartTogether(t *testing.T) {
	url := newSchema(t, server)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			e, err := Open(context.Background(), Config{URL: url, Longest: 6 * time.Hour, Log: quiet()})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(e.Sessions().Create(t.Context(), session(time.Now(), time.Hour)), e.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestAnOpenThatIsCutShortMayBeTriedAgain ends the backend that makes the tables.
// What it has done is not known and need not be: it is looked for each time.
func TestAnOpenThatIsCutShortMayBeTriedAgain(t *testing.T) {
	url := newSchema(t, server)
	c := dial(t, url)
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, lockKey(url[strings.LastIndex(url, "=")+1:])); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		e, err := Open(t.Context(), Config{URL: url, Longest: time.Hour, Log: quiet()})
		if err == nil {
			e.Close()
		}
		opened <- err
	}()
	const end = `SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`
	for n := 0; n == 0; time.Sleep(5 * time.Millisecond) {
		if err := c.QueryRow(t.Context(), end).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-opened; !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Open = %v, want ErrUnavailable", err)
	}
}

// TestTheOwnerOfTheSchemaMayDoAllThatIsNeeded runs as a role that has no other
// right, and as one that has none.
func TestTheOwnerOfTheSchemaMayDoAllThatIsNeeded(t *testing.T) {
	url := newSchema(t, server)
	name := url[strings.LastIndex(url, "=")+1:]
	owner, other := name+"_owner", name+"_other"
	execute(t, url, fmt.Sprintf("CREATE ROLE %[1]s LOGIN; CREATE ROLE %[2]s LOGIN; CREATE SCHEMA %[3]s AUTHORIZATION %[1]s", owner, other, name))
	t.Cleanup(func() {
		execute(t, server.URL("postgres"), fmt.Sprintf("DROP SCHEMA %s CASCADE; DROP ROLE %s; DROP ROLE %s", name, owner, other))
	})
	clock := handAt(begin)
	e := open(t, Config{URL: strings.Replace(url, "longcase@", owner+"@", 1), Longest: time.Hour, Now: clock.now})
	writeAll(t, e, begin, time.Hour, 0)
	errFar := e.Sessions().Create(t.Context(), session(begin, 60*day))
	_, _, errSince := e.Revocations().Since(t.Context(), "")
	_, errClock := e.Clock(t.Context())
	_, errStats := e.Stats(t.Context())
	clock.advance(3 * time.Hour)
	n, errRetire := e.Retire(t.Context(), clock.now())
	err := errors.Join(errFar, errSince, errClock, errStats, errRetire, e.SetReadOnly(t.Context(), "moving"), e.SetReadOnly(t.Context(), ""))
	if err != nil || n == 0 {
		t.Errorf("Retire = %d; the owner may not: %v", n, err)
	}
	_, err = Open(t.Context(), Config{URL: strings.Replace(url, "longcase@", other+"@", 1), Log: quiet()})
	if !errors.Is(err, store.ErrSchema) {
		t.Errorf("Open by a stranger = %v, want ErrSchema", err)
	}
}

func TestStatsTellWhatATableHolds(t *testing.T) {
	e := fresh(t)
	for range 50 {
		if err := e.Sessions().Create(t.Context(), session(time.Now(), time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	e.pool.Reset() // a connection that ends reports what it did
	var got Size
	for end := time.Now().Add(20 * time.Second); got.Rows != 50 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		all, err := e.Stats(t.Context())
		if err != nil || len(all) != 6 {
			t.Fatalf("Stats = %v, %v; want six tables", all, err)
		}
		got = all[5]
	}
	if got.Table != "sessions" || got.Partitions < 3 || got.Rows != 50 || got.Bytes < 50*200 {
		t.Errorf("Stats of sessions = %+v, want 50 rows", got)
	}
}
