package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longcase/longcase/store"
)

// holdRow locks a session as a writer in the middle of its transaction does.
func holdRow(t *testing.T, e *Engine, id store.ID) pgx.Tx {
	t.Helper()
	c := dial(t, e.cfg.URL)
	t.Cleanup(func() { c.Close(context.Background()) })
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, name := parts(id)
	if _, err := tx.Exec(t.Context(), `SELECT FROM sessions WHERE id = $1 FOR UPDATE`, name); err != nil {
		t.Fatal(err)
	}
	return tx
}

func created(t *testing.T, e *Engine) store.Session {
	t.Helper()
	one := session(time.Now(), time.Hour)
	if err := e.Sessions().Create(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	return one
}

// waiting returns when a backend of e waits for a lock.
func waiting(t *testing.T, e *Engine) (pid int32) {
	t.Helper()
	c := dial(t, e.cfg.URL)
	defer c.Close(context.Background())
	const look = `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE%' || $1 || '%' AND application_name = 'longcase'`
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c.QueryRow(t.Context(), look, "sessions_").Scan(&pid) == nil {
			return pid
		}
	}
	t.Fatal("nobody waits for the row")
	return 0
}

// TestACallerThatLeavesIsToldNoWrongThing cancels a rotation that waits for its
// row. Whether it takes effect is known if the row is free soon, else not.
func TestACallerThatLeavesIsToldNoWrongThing(t *testing.T) {
	e := fresh(t)
	one := created(t, e)
	row := holdRow(t, e, one.ID)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { got <- e.Sessions().Replace(ctx, rotated(one), 1) }()
	waiting(t, e)
	cancel()
	if err := row.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("Replace whose row was free soon = %v, want none: it is written", err)
	}
	row = holdRow(t, e, one.ID)
	ctx, cancel = context.WithCancel(t.Context())
	go func() { got <- e.Sessions().Replace(ctx, rotated(rotated(one)), 2) }()
	waiting(t, e)
	cancel()
	if err := <-got; !errors.Is(err, store.ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("Replace whose row was not = %v, want ErrUnknown and Canceled", err)
	}
	if err := row.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := e.Sessions().Load(t.Context(), one.ID); err != nil || found.Generation < 2 {
		t.Errorf("Load = generation %d, %v", found.Generation, err)
	}
}

// TestALostConnectionIsUnknown ends the backend of a rotation in the middle.
func TestALostConnectionIsUnknown(t *testing.T) {
	e := fresh(t)
	one := created(t, e)
	row := holdRow(t, e, one.ID)
	got := make(chan error, 1)
	go func() { got <- e.Sessions().Replace(t.Context(), rotated(one), 1) }()
	if _, err := row.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, waiting(t, e)); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Replace = %v, want ErrUnknown", err)
	}
	if err := row.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Sessions().Replace(t.Context(), rotated(one), 1); err != nil {
		t.Errorf("Replace behind it = %v: it had not been written", err)
	}
}

// TestALockThatIsHeldIsUnavailable is a lock that nobody lets go of: the server
// gives up before the node does, so it is certain that nothing was written.
func TestALockThatIsHeldIsUnavailable(t *testing.T) {
	schema := newSchema(t, server)
	e := open(t, Config{URL: schema + "&lock_timeout=100", Longest: time.Hour})
	one := created(t, e)
	row := holdRow(t, e, one.ID)
	if err := e.Sessions().Replace(t.Context(), rotated(one), 1); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Replace = %v, want ErrUnavailable", err)
	}
	if err := row.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Sessions().Replace(t.Context(), rotated(one), 1); err != nil {
		t.Error(err)
	}
}

// TestAPoolThatIsUsedUpIsUnavailable has the one connection wait for a row. A
// call behind it waits no longer than its patience, and no connection is lost.
func TestAPoolThatIsUsedUpIsUnavailable(t *testing.T) {
	schema := newSchema(t, server)
	e := open(t, Config{URL: schema + "&pool_max_conns=1&connect_timeout=1&sslmode=disable", Longest: time.Hour})
	e.cfg.URL = schema // of those who stand in its way
	one := created(t, e)
	row := holdRow(t, e, one.ID)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { got <- e.Sessions().Replace(ctx, rotated(one), 1) }()
	waiting(t, e)
	if _, err := e.Clock(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Clock while the only connection is in use = %v, want ErrUnavailable", err)
	}
	cancel()
	if err := <-got; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Replace = %v, want ErrUnknown", err)
	}
	if err := row.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Clock(t.Context()); err != nil {
		t.Errorf("Clock behind it = %v", err)
	}
}

// TestSerializationIsTriedAgain makes the server undo writes for the sake of
// others, twice and then each time.
func TestSerializationIsTriedAgain(t *testing.T) {
	e := fresh(t)
	one := created(t, e)
	execute(t, e.cfg.URL, `CREATE SEQUENCE tries; CREATE TABLE undo AS SELECT 2 AS times;
CREATE FUNCTION flaky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF nextval('tries') <= (SELECT times FROM undo) THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF; RETURN NEW;
END $$;
CREATE TRIGGER flaky BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION flaky()`)
	if err := e.Sessions().Replace(t.Context(), rotated(one), 1); err != nil {
		t.Errorf("Replace that was undone twice = %v, want none", err)
	}
	execute(t, e.cfg.URL, `UPDATE undo SET times = 1000; SELECT setval('tries', 1)`)
	err := e.Sessions().Replace(t.Context(), rotated(rotated(one)), 2)
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Replace that is always undone = %v, want ErrUnavailable", err)
	}
	var tries int64
	c := dial(t, e.cfg.URL)
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), `SELECT last_value FROM tries`).Scan(&tries); err != nil || tries != 1+maxTries {
		t.Errorf("%d tries, %v; want %d", tries-1, err, maxTries)
	}
}

// TestASettingOfTheServerWeakensNothing finds synchronous_commit=off and
// serializable transactions as the role's defaults.
func TestASettingOfTheServerWeakensNothing(t *testing.T) {
	e := open(t, Config{URL: newSchema(t, server) + "&options=-csynchronous_commit%3Doff%20-cdefault_transaction_isolation%3Dserializable"})
	var commit, isolation, seqscan string
	c, err := e.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	err = c.QueryRow(t.Context(), `SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation'), current_setting('enable_seqscan')`).
		Scan(&commit, &isolation, &seqscan)
	if err != nil || commit != "on" || isolation != "read committed" || seqscan != "off" {
		t.Errorf("synchronous_commit %s, isolation %s, enable_seqscan %s, %v", commit, isolation, seqscan, err)
	}
}

func TestAURLThatCannotBeReadKeepsItsPassword(t *testing.T) {
	const secret = "hunter2"
	for _, url := range []string{
		"postgres://u:hunter2@h:port/d",
		"postgres://u:hunter2/x?y=z@h/d",
		"postgres://u:hunter2@h/d?sslmode=nonsense",
		"postgres://u@h/d?password=hunter2&sslmode=nonsense",
		"postgres://u:hunter2@h/d?sslrootcert=/nowhere&sslmode=verify-full",
		"postgres://u:hunter2@h/d?pool_max_conns=none",
		"postgres://u:hunter2@h/d?search_path=a,b",
		"postgres://u:hunter2@h/d?statement_cache_capacity=0",
		"postgres://u:hunter2@h/d?description_cache_capacity=0",
		"postgres://u:hunter2@h/%zz",
		"host=h password=hunter2",
		"mysql://u:hunter2@h/d",
		"",
	} {
		_, err := Open(t.Context(), Config{URL: url})
		switch {
		case err == nil || errors.Is(err, store.ErrUnavailable):
			t.Errorf("Open(%q) = %v, want a refusal", url, err)
		case strings.Contains(err.Error(), secret):
			t.Errorf("Open(%q) = %q tells the password", url, err)
		}
	}
}
