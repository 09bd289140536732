package cassandra

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

func (h *house) schema(t *testing.T) {
	t.Run("a data centre that is not there is named", beside(h.wrongCentre))
	t.Run("nothing is made where a store is to be", beside(h.nowhere))
	t.Run("what an operator makes is taken, and what it costs is told", beside(h.operators))
	t.Run("transactions that would not exclude others are refused", beside(h.widened))
	t.Run("many nodes", beside(func(t *testing.T) {
		t.Run("that start at once make one store", h.startTogether)
		t.Run("are refused by what differs from ours, which is named", h.drift)
	}))
}

// in is the house's configuration for another keyspace.
func (h *house) in(keyspace string) Config {
	cfg := h.cfg
	cfg.Keyspace = keyspace
	return cfg
}

func (h *house) startTogether(t *testing.T) {
	engines, errs := make([]*Engine, 4), make([]error, 4)
	var starts sync.WaitGroup
	for i := range engines {
		starts.Go(func() { engines[i], errs[i] = patiently(t.Context(), h.in("together")) })
	}
	starts.Wait()
	for i, e := range engines {
		if errs[i] != nil {
			t.Errorf("node %d: %v", i, errs[i])
			continue
		}
		defer e.Close()
		if e.name != engines[0].name || e.name == "" {
			t.Errorf("node %d calls the store %q, node 0 %q", i, e.name, engines[0].name)
		}
		if e.serial != gocql.LocalSerial || e.read != gocql.LocalQuorum {
			t.Errorf("one data centre, and transactions at %v, reads at %v", e.serial, e.read)
		}
		created(t, e, time.Hour)
	}
}

// drift changes the schema of a store as people do.
func (h *house) drift(t *testing.T) {
	changes := []struct{ change, says string }{
		{"ALTER TABLE together.sessions WITH compaction = {'class': 'SizeTieredCompactionStrategy'}",
			"table sessions: compaction is SizeTieredCompactionStrategy, want UnifiedCompactionStrategy or LeveledCompactionStrategy"},
		{"ALTER TABLE together.documents WITH compaction = {'class': 'LeveledCompactionStrategy'}", ""}, // as before 5.0
		{"ALTER TABLE together.documents WITH gc_grace_seconds = 3600",
			"table documents: gc_grace_seconds is 3600, shorter than the hint window of 10800 s: hints would be lost, want 10800"},
		{"ALTER TABLE together.revocations WITH default_time_to_live = 60 AND compaction = {'class': 'UnifiedCompactionStrategy'}",
			"table revocations: default_time_to_live is 60, want 0: every row names its own end"},
		{"", "table revocations: compaction is UnifiedCompactionStrategy, want TimeWindowCompactionStrategy"},
		{"ALTER TABLE together.documents WITH read_repair = 'NONE'", "table documents: read_repair is NONE, want BLOCKING: a read could go back behind another"},
		{"CREATE INDEX who ON together.sessions (about)", "table sessions: index who is not ours: drop it"},
		{"ALTER TABLE together.registry ADD note text", "table registry: column note is not ours"},
		{"ALTER TABLE together.registry DROP value", "table registry: column value is missing"},
		{"DROP TABLE together.marks", "table marks is missing"},
	}
	var says []string
	for _, c := range changes {
		if c.change != "" {
			h.cql(t, c.change)
		}
		if c.says != "" {
			says = append(says, c.says)
		}
	}
	h.refuses(t, says)
	h.cql(t, "DROP TABLE together.state")
	h.refuses(t, append(says, "table state is missing"))
}

// refuses wants Open to name just these.
func (h *house) refuses(t *testing.T, says []string) {
	t.Helper()
	_, err := patiently(t.Context(), h.in("together"))
	if !errors.Is(err, store.ErrSchema) || errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Open = %v, want ErrSchema", err)
	}
	_, named, _ := strings.Cut(err.Error(), store.ErrSchema.Error()+": ")
	got := strings.Split(named, "; ")
	slices.Sort(got)
	slices.Sort(says)
	if !slices.Equal(got, says) {
		t.Errorf("Open names\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(says, "\n"))
	}
}

// operators make the keyspace and its tables by hand: without data centres, and
// with the gc_grace_seconds of Apigee's document.
func (h *house) operators(t *testing.T) {
	h.cql(t, "CREATE KEYSPACE byhand WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	for _, table := range schema() {
		h.cql(t, table.cql("byhand", cluster{hintWindow: 3 * 24 * 3600}))
	}
	cfg := h.in("byhand")
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	e := h.mustOpen(t, cfg)
	if !strings.Contains(log.String(), "table=sessions seconds=259200") {
		t.Errorf("nothing is said of 3 days: %s", log.String())
	}
	if e.serial != gocql.Serial || e.read != gocql.Quorum {
		t.Errorf("transactions at %v, reads at %v; want SERIAL and QUORUM", e.serial, e.read)
	}
	one := created(t, e, time.Hour)
	wantErr(t, "Replace", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), nil)
}

func (h *house) nowhere(t *testing.T) {
	cfg := h.in("nowhere")
	cfg.Existing = true
	for range 2 { // the first has made nothing
		if _, err := patiently(t.Context(), cfg); !errors.Is(err, store.ErrNoStore) {
			t.Errorf("Open of no keyspace = %v, want ErrNoStore", err)
		}
	}
	h.cql(t, "CREATE KEYSPACE nowhere WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	if _, err := patiently(t.Context(), cfg); !errors.Is(err, store.ErrNoStore) {
		t.Errorf("Open of an empty keyspace = %v, want ErrNoStore", err)
	}
	cfg = h.cfg
	cfg.Existing = true
	h.mustOpen(t, cfg)
}

func (h *house) wrongCentre(t *testing.T) {
	cfg := h.cfg
	cfg.LocalDC = "dc1"
	_, err := patiently(t.Context(), cfg)
	if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), `no data centre "dc1"; it has datacenter1`) {
		t.Errorf("Open = %v, want the names of the data centres", err)
	}
}

// widened has copies elsewhere since the engine began: SimpleStrategy knows no
// data centres.
func (h *house) widened(t *testing.T) {
	l := h.mustOpen(t, h.in("widened")).link
	cfg, err := h.in("widened").withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(t.Context(), cfg, l, testPace(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	one := created(t, e, time.Hour)
	alter := func(to string) {
		h.cql(t, "ALTER KEYSPACE widened WITH replication = {'class': "+to+"}")
		time.Sleep(2 * testPace().stale)
	}
	alter("'SimpleStrategy', 'replication_factor': 1")
	wantErr(t, "Replace with copies elsewhere", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), store.ErrSchema)
	alter("'NetworkTopologyStrategy', 'datacenter1': 1")
	wantErr(t, "Replace with none there any more", e.Sessions().Replace(t.Context(), rotated(one, 1), 1), nil)
}
