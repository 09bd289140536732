package cassandra

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
)

// client rotates one session again and again, and uses one mark after another.
type client struct {
	e       *Engine
	session store.Session
	last    store.Generation // the newest that was acknowledged
	doubt   bool             // the one behind it may have been written
	unknown int              // how often nobody could tell
	patient time.Duration    // how long one write may take
	marks   []store.Mark     // acknowledged
	odd     []error          // what no outage explains
}

func (w *client) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.patient)
	defer cancel()
	err := w.e.Sessions().Replace(ctx, rotated(w.session, w.last), w.last)
	switch {
	case err == nil:
		w.last, w.doubt = w.last+1, false
	case errors.Is(err, store.ErrUnknown):
		w.doubt = true
		w.unknown++
	case errors.Is(err, store.ErrConflict) && w.doubt:
		w.last, w.doubt = w.last+1, false // it was written
	default:
		w.strange(err)
	}
	m := store.Mark{Kind: "assertion", Scope: string(w.session.ID[:]), Value: time.Now().String(), End: w.session.End}
	first, err := w.e.Marks().First(ctx, m)
	switch {
	case err == nil && first:
		w.marks = append(w.marks, m)
	case err == nil:
		w.odd = append(w.odd, errors.New("a fresh mark was not first"))
	default:
		w.strange(err)
	}
}

func (w *client) strange(err error) {
	if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) && !errors.Is(err, context.DeadlineExceeded) {
		w.odd = append(w.odd, err)
	}
	time.Sleep(10 * time.Millisecond)
}

// check wants all that was acknowledged.
func (w *client) check(t *testing.T) {
	t.Helper()
	for _, err := range w.odd {
		t.Errorf("an outage showed as %v", err)
	}
	one, err := w.e.Sessions().Load(t.Context(), w.session.ID)
	if err != nil || one.Generation < w.last || one.Generation > w.last+1 || one.Generation > w.last && !w.doubt {
		t.Errorf("generation %d, %v; %d was acknowledged, the next in doubt: %v", one.Generation, err, w.last, w.doubt)
	}
	for _, m := range w.marks {
		if first, err := w.e.Marks().First(t.Context(), m); first || err != nil {
			t.Errorf("an acknowledged mark is first again: %v, %v", first, err)
		}
	}
}

// writers write until stop is called, which waits for them.
func (h *house) writers(t *testing.T, e *Engine, patient time.Duration) (all []*client, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 8 {
		w := &client{e: e, session: created(t, e, time.Hour), last: 1, patient: patient}
		all = append(all, w)
		running.Go(func() {
			for ctx.Err() == nil {
				w.write(context.WithoutCancel(ctx))
			}
		})
	}
	return all, func() {
		cancel()
		running.Wait()
	}
}

// killed kills the only node while writers write, and starts it again as one
// that asks for a password and offers TLS: the engine goes on by itself with all that it
// acknowledged.
func (h *house) killed(t *testing.T) {
	e := h.open(t, nil)
	writers, stop := h.writers(t, e, time.Minute)
	time.Sleep(2 * time.Second)
	h.Kill(0)
	_, err := e.Clock(t.Context())
	wantErr(t, "Clock while it is down", err, store.ErrUnavailable)
	_, err = Open(t.Context(), h.cfg)
	wantErr(t, "Open while it is down", err, store.ErrUnavailable)
	wantErr(t, "Create while it is down", e.Sessions().Create(t.Context(), newSession(time.Now(), time.Hour)), store.ErrUnavailable)
	stop()
	h.ask(t)
	h.Start(0)
	h.recovers(t, e)
	acknowledged := 0
	for _, w := range writers {
		acknowledged += int(w.last) + len(w.marks)
		w.write(t.Context()) // odd, if the generation it goes on from is not there
		w.check(t)
	}
	t.Logf("%d writes were acknowledged before", acknowledged)
}

// ask has the node ask for passwords, and offer TLS, from its next start on.
func (h *house) ask(t *testing.T) {
	t.Helper()
	path := filepath.Join(h.Dir, "extra.yaml")
	lines, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(lines, "authenticator: PasswordAuthenticator\n"+h.encrypt(t)...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// recovers waits until the engine writes again.
func (h *house) recovers(t *testing.T, e *Engine) {
	t.Helper()
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(100 * time.Millisecond) {
		if err = e.Sessions().Create(t.Context(), newSession(time.Now(), time.Hour)); err == nil {
			t.Logf("the engine writes again after %v", time.Since(began).Round(time.Millisecond))
			return
		}
	}
	t.Fatalf("%v after the node came back: %v", patience, err)
}

// password is asked for since killed.
func (h *house) password(t *testing.T) {
	for name, user := range map[string][2]string{"no user": {}, "a wrong password": {"cassandra", "tell-nobody"}} {
		cfg := h.cfg
		cfg.User, cfg.Password = user[0], user[1]
		_, err := patiently(t.Context(), cfg)
		if !errors.Is(err, errLogin) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Open with %s = %v, want a refusal for good", name, err)
		}
	}
	h.mustOpen(t, h.cfg)
}

// paused stops the node while writers write: nobody knows then what became of
// their last transactions, until it goes on.
func (h *house) paused(t *testing.T) {
	e := h.open(t, nil)
	writers, stop := h.writers(t, e, 700*time.Millisecond)
	time.Sleep(time.Second)
	h.Pause(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	one := writers[0].session
	_, err := e.Sessions().Load(ctx, one.ID)
	wantErr(t, "Load of a node that is silent", err, context.DeadlineExceeded)
	time.Sleep(time.Second)
	h.Resume(0)
	h.recovers(t, e)
	time.Sleep(time.Second)
	stop()
	unknown := 0
	for _, w := range writers {
		w.check(t)
		unknown += w.unknown
	}
	if unknown == 0 {
		t.Error("no outcome was unknown while the node was silent")
	}
}

// TestThreeNodes keeps the contract while one of three nodes is dead. The large
// counts are for one node: three share two cores.
func TestThreeNodes(t *testing.T) {
	if os.Getenv("LONGCASE_LONG") != "1" {
		return
	}
	t.Setenv("LONGCASE_LONG", "")
	h := newHouse(t, servertest.StartCassandra(t, 3))
	if h.link.serial != gocql.LocalSerial {
		t.Errorf("transactions at %v", h.link.serial)
	}
	t.Run("schema", h.startTogether)
	h.opens = func(n int64) {
		if n == 20 {
			h.Kill(2)
		}
	}
	t.Run("keeps the contract while a node dies", h.suite)
	h.opens = nil
	t.Run("one node after the other dies and comes back", h.rolling)
}

// rolling takes one node after the other away; a quorum is always there but for
// the moments in which nodes learn of each other.
func (h *house) rolling(t *testing.T) {
	e := h.open(t, nil)
	writers, stop := h.writers(t, e, time.Minute)
	for i := range 3 {
		h.Start((i + 2) % 3)
		time.Sleep(10 * time.Second)
		h.Kill(i)
		time.Sleep(5 * time.Second)
	}
	stop()
	h.recovers(t, e)
	for _, w := range writers {
		w.check(t)
	}
}
