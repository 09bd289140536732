package survey

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/longcase/longcase/store/cassandra"
)

// A window lies on the ring, behind its beginning, and is as wide as was asked
// for unless the ring ends.
func TestWindowsLieOnTheRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64().Draw(t, "from")
		share := rapid.Float64Range(narrow, 1).Draw(t, "share")
		to := past(from, share)
		if to < from {
			t.Fatalf("past(%d, %g) = %d", from, share, to)
		}
		if want := share * math.Exp2(64); to < math.MaxInt64 && math.Abs(span(from, to)/want-1) > 1e-6 {
			t.Fatalf("past(%d, %g) spans %g, want %g", from, share, span(from, to), want)
		}
	})
}

// What rows say, in the words of the sample. The estimates scale by the part of
// the ring that was looked at.
func TestRowsAreCountedByTheirEnds(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMicro() }
	m := &sampler{s: &Sample{EndlessPerDay: -1}, t: &Table{}, now: now}
	m.take([]row{
		{cells: 2, written: ago(600 * time.Second), left: 1200},        // lives 1800 s
		{cells: 2, written: ago(0), left: 1800},                        // likewise
		{cells: 2, endless: 2, written: ago(time.Hour)},                // of today
		{cells: 2, endless: 1, left: 60, written: ago(30 * time.Hour)}, // half, of yesterday
		{cells: 2, endless: 2, written: ago(48 * time.Hour)},           // the oldest
		{}, // only a key
	}, math.Exp2(64)/100)
	m.finish()
	s := *m.s
	if s.Rows != 5 || s.Endless != 3 || s.Mixed != 1 || s.Bare != 1 || s.Total != 600 {
		t.Errorf("%+v", s)
	}
	if s.EndlessPerDay != 100 || math.Abs(s.EndingPerSec-200.0/1800) > 1e-9 || s.Longest != 30*time.Minute || !s.Oldest.Equal(now.Add(-48*time.Hour)) {
		t.Errorf("%+v", s)
	}
}

func TestATableTooYoungTellsNoGrowth(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := &sampler{s: &Sample{EndlessPerDay: -1}, t: &Table{}, now: now}
	m.take([]row{{cells: 1, endless: 1, written: now.Add(-time.Minute).UnixMicro()}}, 1)
	if m.finish(); m.s.EndlessPerDay != -1 {
		t.Errorf("%g a day from one row of a minute ago", m.s.EndlessPerDay)
	}
}

func TestTypesWhoseTTLCanBeAskedFor(t *testing.T) {
	for cql, want := range map[string]bool{"text": true, "frozen<list<text>>": true, "vector<float, 3>": true, "list<text>": false, "map<text, text>": false, "counter": false, "my_type": false} {
		if timed(cql) != want {
			t.Errorf("%s: %t", cql, !want)
		}
	}
}

func TestReplicationOfBothStrategies(t *testing.T) {
	s, per := replicas(map[string]string{"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "3", "dc2": "3/1"})
	if s != "NetworkTopologyStrategy" || len(per) != 2 || per["dc1"] != 3 || per["dc2"] != 3 {
		t.Error(s, per)
	}
	s, per = replicas(map[string]string{"class": "SimpleStrategy", "replication_factor": "2"})
	if s != "SimpleStrategy" || len(per) != 1 || per[""] != 2 {
		t.Error(s, per)
	}
}

// Nobody there, and somebody who never answers: an error in time, and nothing
// left behind.
func TestNoClusterIsAnErrorInTime(t *testing.T) {
	defer goleak.VerifyNone(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	read := func(ctx context.Context) error {
		_, err := Read(ctx, Config{Cluster: cassandra.Config{Hosts: []string{mute.Addr().String()}, Keyspace: "kms"}, Patience: 200 * time.Millisecond})
		return err
	}
	if err := read(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a mute server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was given up: %v", err)
	}
	if err := mute.Close(); err != nil {
		t.Fatal(err)
	}
	if err := read(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody: %v", err)
	}
	time.Sleep(step/2 + time.Second) // the driver is that patient with the mute one
}
