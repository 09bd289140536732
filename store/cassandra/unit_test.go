package cassandra

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"pgregory.net/rapid"

	"github.com/longcase/longcase/store"
)

func TestARowLivesTenMinutesLongerThanItsEnd(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		left time.Duration
		want int
		err  error
	}{
		{"an hour", time.Hour, 4200, nil},
		{"a second", time.Second, 601, nil},
		{"a part of a second counts whole", time.Millisecond, 601, nil},
		{"at its end", 0, 0, store.ErrEnded},
		{"behind its end", -time.Hour, 0, store.ErrEnded},
		{"the longest", (maxTTL - lateSeconds) * time.Second, maxTTL, nil},
		{"longer than Cassandra takes", (maxTTL-lateSeconds)*time.Second + 1, 0, store.ErrTooLate},
		{"nearly as long as Go counts", math.MaxInt64 - 1, 0, store.ErrTooLate},
		{"longer than Go counts", math.MaxInt64, 0, store.ErrTooLate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ttl(now.Add(tt.left), now)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("ttl(%v) = %d, %v; want %d, %v", tt.left, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestATransactionIsJudgedByItsRow(t *testing.T) {
	const mine, other = 1, 2
	rotation, ending := swap{old: 4, proposal: mine}, swap{old: 4, proposal: mine, ends: true}
	tests := []struct {
		name string
		swap swap
		row  row
		want outcome
	}{
		{"its number stands at the next generation", rotation, row{true, 5, false, mine, nil}, applies},
		{"and the session was revoked since", rotation, row{true, 5, true, mine, nil}, applies},
		{"another's number stands there", rotation, row{true, 5, false, other, nil}, lost},
		{"nothing has changed", rotation, row{true, 4, false, other, nil}, unsure},
		{"the session was ended before", rotation, row{true, 4, true, other, nil}, lost},
		{"others went on since", rotation, row{true, 6, false, other, nil}, unsure},
		{"the row is gone", rotation, row{}, unsure},
		{"the row is older than what was replaced", rotation, row{true, 3, false, other, nil}, unsure},
		{"a revocation finds the session ended", ending, row{true, 4, true, other, nil}, lost},
		{"a revocation finds it rotated", ending, row{true, 5, false, mine, nil}, lost},
		{"a revocation finds nothing changed", ending, row{true, 4, false, other, nil}, unsure},
		{"a mark is ours", swap{proposal: mine}, row{true, 1, false, mine, nil}, applies},
		{"a mark is another's", swap{proposal: mine}, row{true, 1, false, other, nil}, lost},
		{"a mark is not there", swap{proposal: mine}, row{}, unsure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.swap.became(tt.row); got != tt.want {
				t.Errorf("became(%+v) = %d, want %d", tt.row, got, tt.want)
			}
		})
	}
}

func TestReleases(t *testing.T) {
	tests := []struct {
		text  string
		want  release
		ok    bool
		taken bool
	}{
		{"5.0.5", release{5, 0, 5}, true, true},
		{"4.1.6", release{4, 1, 6}, true, true},
		{"4.1.6-SNAPSHOT", release{4, 1, 6}, true, true},
		{"5.1-alpha1-SNAPSHOT", release{5, 1, 0}, true, true},
		{"4.1.5", release{4, 1, 5}, true, false},
		{"4.0.20", release{4, 0, 20}, true, false},
		{"3.11.19", release{3, 11, 19}, true, false},
		{"3.0.8", release{3, 0, 8}, true, false}, // what ScyllaDB calls itself
		{"4.0.0.6816", release{4, 0, 0}, true, false},
		{"", release{}, false, false},
		{"five", release{}, false, false},
		{"5", release{}, false, false},
		{"5.0.5 ; x", release{}, false, false},
		{"99999.0.0", release{}, false, false},
	}
	for _, tt := range tests {
		got, ok := parseRelease(tt.text)
		if got != tt.want || ok != tt.ok {
			t.Errorf("parseRelease(%q) = %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
		c := cluster{centres: map[string]int{}}
		if err := c.add("dc1", tt.text); (err == nil) != tt.taken || err != nil && !errors.Is(err, errTooOld) {
			t.Errorf("a node of release %q: %v, want taken %v", tt.text, err, tt.taken)
		}
	}
}

func TestTheOldestNodeDecidesTheCompaction(t *testing.T) {
	for want, versions := range map[string][]string{
		"UnifiedCompactionStrategy": {"5.0.5", "5.1.0"},
		"LeveledCompactionStrategy": {"5.0.5", "4.1.9", "5.0.2"},
	} {
		c := cluster{centres: map[string]int{}, hintWindow: 3600}
		for _, v := range versions {
			if err := c.add("dc1", v); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range schema() {
			made := table.cql("k", c)
			fits := strings.Contains(made, "'class': '"+want+"'") || table.compaction == appended
			if !fits || !strings.Contains(made, "gc_grace_seconds = 10800") {
				t.Errorf("nodes of %v make %s", versions, made)
			}
		}
	}
	slow := cluster{hintWindow: 6 * 3600}
	if made := schema()[0].cql("k", slow); !strings.Contains(made, "gc_grace_seconds = 21600") {
		t.Errorf("with a hint window of 6 h: %s", made)
	}
}

func TestLevels(t *testing.T) {
	const network = "org.apache.cassandra.locator.NetworkTopologyStrategy"
	tests := []struct {
		name        string
		replication map[string]string
		serial      gocql.Consistency
		wrong       bool
	}{
		{"one data centre, ours", map[string]string{"class": network, "dc1": "3"}, gocql.LocalSerial, false},
		{"one data centre, short class", map[string]string{"class": "NetworkTopologyStrategy", "dc1": "3"}, gocql.LocalSerial, false},
		{"another has none", map[string]string{"class": network, "dc1": "3", "dc2": "0"}, gocql.LocalSerial, false},
		{"two data centres", map[string]string{"class": network, "dc1": "3", "dc2": "3"}, gocql.Serial, false},
		{"one, not ours", map[string]string{"class": network, "dc2": "3"}, gocql.Serial, false},
		{"it knows no data centres", map[string]string{"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "3"}, gocql.Serial, false},
		{"transient copies", map[string]string{"class": network, "dc1": "3/1"}, 0, true},
		{"another strategy", map[string]string{"class": "org.apache.cassandra.locator.EverywhereStrategy"}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			copies, err := replicas(tt.replication)
			if (err != nil) != tt.wrong {
				t.Fatalf("replicas = %v, %v", copies, err)
			}
			if _, serial := levels(copies, "dc1"); err == nil && serial != tt.serial {
				t.Errorf("transactions at %v, want %v", serial, tt.serial)
			}
		})
	}
}

func TestTheKeyspaceHasNoMoreCopiesThanNodes(t *testing.T) {
	c := cluster{centres: map[string]int{"dc1": 5, "dc2": 2}}
	want := `CREATE KEYSPACE IF NOT EXISTS "k" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3', 'dc2': '2'}`
	if got := keyspaceCQL("k", 3, c); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAKeyspaceWaitsForTheHostsThatAreNamed(t *testing.T) {
	tests := []struct {
		name         string
		named, nodes int
		replication  int
		waits        bool
	}{
		{"one of three is there", 3, 1, 3, true},
		{"two of three are there", 3, 2, 3, true},
		{"all are there", 3, 3, 3, false},
		{"more are there than named", 1, 3, 3, false},
		{"one node, named once", 1, 1, 3, false},
		{"one node under two names", 2, 1, 3, true},
		{"one node under two names, and one copy asked for", 2, 1, 1, false},
		{"five are named, three copies", 5, 3, 3, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Config{Keyspace: "k", Hosts: make([]string, tt.named), Replication: tt.replication}.enough(cluster{nodes: make([]string, tt.nodes)})
			if errors.Is(err, store.ErrUnavailable) != tt.waits || (err != nil) != tt.waits {
				t.Errorf("%d nodes: %v, want to wait %v", tt.nodes, err, tt.waits)
			}
		})
	}
}

func TestCopiesAreRaisedByOneAtATime(t *testing.T) {
	const network, simple = "NetworkTopologyStrategy", "SimpleStrategy"
	c := cluster{nodes: make([]string, 6), centres: map[string]int{"dc1": 4, "dc2": 2}}
	for name, tt := range map[string]struct{ replication, want map[string]string }{
		"one copy":                           {map[string]string{"class": network, "dc1": "1"}, map[string]string{"class": network, "dc1": "2"}},
		"two data centres":                   {map[string]string{"class": network, "dc1": "2", "dc2": "1"}, map[string]string{"class": network, "dc1": "3", "dc2": "2"}},
		"one of them has as many as it can":  {map[string]string{"class": network, "dc1": "1", "dc2": "2"}, map[string]string{"class": network, "dc1": "2", "dc2": "2"}},
		"a cluster without data centres":     {map[string]string{"class": simple, "replication_factor": "1"}, map[string]string{"class": simple, "replication_factor": "2"}},
		"a data centre that shall have none": {map[string]string{"class": network, "dc1": "2", "dc2": "0"}, map[string]string{"class": network, "dc1": "3", "dc2": "0"}},
	} {
		copies, err := replicas(tt.replication)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := raised("k", tt.replication, copies, c), `ALTER KEYSPACE "k" WITH replication = `+options(tt.want); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestTheDataCentreIsNamedOrTheOnlyOne(t *testing.T) {
	one, two := cluster{centres: map[string]int{"dc1": 3}}, cluster{centres: map[string]int{"dc1": 3, "dc2": 3}}
	tests := []struct {
		name  string
		c     cluster
		named string
		want  string
		says  string
	}{
		{"the only one", one, "", "dc1", ""},
		{"named", two, "dc2", "dc2", ""},
		{"not named", two, "", "", "dc1, dc2"},
		{"misspelt", one, "DC1", "", `no data centre "DC1"; it has dc1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.c.local(tt.named)
			if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("local(%q) = %q, %v; want %q, %q", tt.named, got, err, tt.want, tt.says)
			}
		})
	}
}

func TestAFollowerLooksWhereverSomethingLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := spans()[rapid.IntRange(0, 2).Draw(t, "class")]
		now := time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "now"), 0)
		ago := time.Duration(rapid.Int64Range(-int64(feedSkew), int64(s.life-lateSeconds)).Draw(t, "added"))
		from := now.Add(-time.Duration(rapid.Int64Range(int64(max(ago, 0)), int64(100*24*time.Hour)).Draw(t, "from")))
		added := now.Add(-ago)
		found := false
		for _, p := range s.periods(from, now) {
			found = found || p == s.period(added)
		}
		if !found {
			t.Errorf("from %v at %v: %v does not have period %d of what was added at %v", from, now, s.periods(from, now), s.period(added), added)
		}
		if n := len(s.periods(time.Unix(0, 0), now)); n > 12 {
			t.Errorf("the whole feed of a class lies in %d partitions", n)
		}
	})
}

func TestAPageKeepsTheLowestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.Uint16(), 0, 600, rapid.ID[uint16]).Draw(t, "ids")
		id := func(n uint16) store.ID { return store.ID{byte(n >> 8), byte(n)} }
		p := page{after: id(rapid.Uint16().Draw(t, "after")), limit: rapid.IntRange(0, 50).Draw(t, "limit")}
		var want []store.ID
		for _, n := range ids {
			p.add(store.Session{ID: id(n)})
			if one := id(n); bytes.Compare(one[:], p.after[:]) > 0 {
				want = append(want, one)
			}
		}
		p.cut()
		slices.SortFunc(want, func(a, b store.ID) int { return bytes.Compare(a[:], b[:]) })
		want = want[:min(len(want), p.limit)]
		var got []store.ID
		for _, s := range p.all {
			got = append(got, s.ID)
		}
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("page = %v, want %v", got, want)
		}
	})
}

func TestStretchesCoverTheRing(t *testing.T) {
	if m := middle(math.MinInt64, math.MaxInt64); m != -1 {
		t.Errorf("middle of the ring = %d, want -1", m)
	}
	tests := []struct{ from, to, want int64 }{
		{math.MinInt64, math.MaxInt64, math.MaxInt64},
		{math.MinInt64, -1, math.MaxInt64},
		{0, 100, 500},
		{math.MaxInt64 - 10, math.MaxInt64 - 1, math.MaxInt64},
	}
	for _, tt := range tests {
		if got := wider(tt.from, tt.to); got != tt.want {
			t.Errorf("wider(%d, %d) = %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestAPageEndsBetweenTokens(t *testing.T) {
	rows := []swept{{token: 1}, {token: 2}, {token: 3}, {token: 3}}
	got, err := whole(rows)
	if err != nil || len(got) != 2 {
		t.Errorf("whole = %v, %v; want the rows of tokens 1 and 2", got, err)
	}
	if _, err := whole(rows[2:]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a page of one token: %v, want ErrCorrupt", err)
	}
}

func TestAWriteHasItsTimeWithItsPreparation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mute := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		err := within(t.Context(), mute)
		if took := time.Since(began); took != requestTimeout || !errors.Is(err, gocql.ErrTimeoutNoResponse) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a write without an answer: %v after %v; want %v after %v, and not the caller's deadline", err, took, gocql.ErrTimeoutNoResponse, requestTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := within(ctx, mute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller's deadline: %v", err)
		}
	})
}

// answer is a refusal as the cluster words it.
type answer struct {
	code int
	text string
}

func (a answer) Code() int       { return a.code }
func (a answer) Message() string { return a.text }
func (a answer) Error() string   { return a.text }

func TestWhatARefusalMeans(t *testing.T) {
	tests := []struct {
		name string
		err  answer
		want error
	}{
		{"a table that is not there", answer{gocql.ErrCodeInvalid, "unconfigured table sessions"}, store.ErrSchema},
		{"an end that Cassandra cannot write down", answer{gocql.ErrCodeInvalid,
			"Request on table longcase.sessions with ttl of 600000000 seconds exceeds maximum supported expiration date of 2038-01-19T03:14:06+00:00."}, store.ErrTooLate},
		{"a right that is missing", answer{gocql.ErrCodeUnauthorized, "User longcase has no MODIFY permission"}, errRefused},
		{"a node that is overloaded may have written", answer{gocql.ErrCodeOverloaded, "too much"}, nil},
		{"replicas that were missing, maybe when it was to be committed", answer{gocql.ErrCodeUnavailable, "too few"}, nil},
		{"a timeout of a transaction", answer{gocql.ErrCodeWriteTimeout, "CAS"}, nil},
		{"a transaction of which the cluster says that it does not know", answer{gocql.ErrCodeCASWriteUnknown, "CAS"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := writeError("session", tt.err); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestWritersOfOneKeyFollowOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		first, err := l.wait(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.wait(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp, second := make(chan error), make(chan row)
		go func() {
			_, err := l.wait(ctx, "k")
			gaveUp <- err
		}()
		go func() {
			turn, _ := l.wait(t.Context(), "k")
			second <- turn.seen
			l.done("k", turn)
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		first.saw(row{found: true, version: 7})
		first.saw(row{found: true, version: 6}) // older
		first.saw(row{})                        // none
		l.done("k", first)
		if seen := <-second; seen.version != 7 {
			t.Errorf("the next in line saw %+v, want version 7", seen)
		}
		synctest.Wait()
		if len(l.all) != 1 {
			t.Errorf("%d lines are kept, want only the other", len(l.all))
		}
	})
}

func TestAnEngineNamesEverythingThatIsWrongWithItsConfig(t *testing.T) {
	_, err := Open(t.Context(), Config{Keyspace: "a-b", Replication: -1})
	for _, field := range []string{"Hosts", "Keyspace", "Replication"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("Open = %v; %s is not named", err, field)
		}
	}
	if errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open = %v is not worth another try", err)
	}
}

// TestNobodyThere has a port on which nothing listens, and one that never
// answers.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tests := []struct {
		name, host string
		tls        *tls.Config
	}{
		{"nobody listens", closed.Addr().String(), nil},
		{"nobody answers", mute.Addr().String(), nil},
		{"nobody shakes hands", mute.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS12}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Hosts: []string{tt.host}, Keyspace: "longcase", User: "u", Password: "tell-nobody", TLS: tt.tls, Log: slog.New(slog.DiscardHandler)}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := Open(ctx, cfg)
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), tt.host) || strings.Contains(err.Error(), "tell-nobody") {
				t.Errorf("Open = %v, want ErrUnavailable that names %s", err, tt.host)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Config{Hosts: []string{mute.Addr().String()}, Keyspace: "longcase"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a context that is over = %v", err)
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add("5.0.5")
	f.Add("4.1-rc1")
	f.Fuzz(func(t *testing.T, text string) {
		if r, ok := parseRelease(text); ok {
			if again, ok := parseRelease(r.String()); !ok || again != r {
				t.Errorf("%q is %v, which is %v", text, r, again)
			}
		}
	})
}

func FuzzParseSpan(f *testing.F) {
	f.Add("3h")
	f.Add("10800000ms")
	f.Add("999999999999d")
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := parseSpan(text); ok && d < 0 {
			t.Errorf("%q is %v", text, d)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add("s.-12.00ff")
	f.Add("e.0.")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlace(store.Place(text))
		if err == nil && text != "" && p.String() != text {
			t.Errorf("%q is a place, which is spelt %q", text, p)
		}
	})
}

func FuzzDecodeAbout(f *testing.F) {
	f.Add(about{end: time.Unix(1_900_000_000, 0).UTC(), client: "web", subject: "alice"}.encode())
	f.Add([]byte{1, 0x81, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAbout(b)
		if err == nil {
			if again, err := decodeAbout(a.encode()); err != nil || again != a {
				t.Errorf("%x is %+v, encoded anew %+v, %v", b, a, again, err)
			}
		}
	})
}

func FuzzDecodeRevocation(f *testing.F) {
	end := time.Unix(1_900_000_000, 0).UTC()
	f.Add(encodeRevocation(store.Revocation{Kind: store.RevokedToken, Value: "jti", End: end}))
	f.Add(encodeRevocation(store.Revocation{Kind: store.RevokedSubject, Value: "alice", Before: end.Add(-time.Millisecond), End: end}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRevocation(b)
		if err == nil {
			if again, err := decodeRevocation(encodeRevocation(r)); err != nil || !again.Equal(r) {
				t.Errorf("%x is %+v, encoded anew %+v, %v", b, r, again, err)
			}
		}
	})
}
