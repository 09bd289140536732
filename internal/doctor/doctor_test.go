package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/store/cassandra/survey"
)

const hour = time.Hour

// node is one that is as it should be.
func node(address string) survey.Node {
	return survey.Node{Address: address, DataCentre: "dc1", Version: "5.0.5", Reached: true, Within: 2 * time.Millisecond}
}

// well is a keyspace of Apigee's layout on three nodes in which nothing is wrong.
func well() *survey.Keyspace {
	return &survey.Keyspace{
		Name: "kms", Cluster: "c", Strategy: "NetworkTopologyStrategy", Replicas: map[string]int{"dc1": 3}, HintWindow: 3 * hour,
		Nodes: []survey.Node{node("10.0.0.1:9042"), node("10.0.0.2:9042"), node("10.0.0.3:9042")},
		Tables: []survey.Table{
			{Name: apigeeTokens, Compaction: leveled, GCGrace: 3 * hour, Sample: &survey.Sample{Rows: 2000, Total: 1e6, EndingPerSec: 10}},
			{Name: "api_products", Compaction: "SizeTieredCompactionStrategy", GCGrace: 240 * hour}, // lasts, and is not judged
		},
	}
}

// own is a keyspace of Longcase's layout in which nothing is wrong.
func own() *survey.Keyspace {
	k := well()
	k.Name, k.Tables = "longcase", nil
	for _, name := range ownTables {
		t := survey.Table{Name: name, Compaction: unified, GCGrace: 3 * hour}
		if appended(name) {
			t.Compaction, t.Options = windowed, map[string]string{"compaction_window_unit": "MINUTES", "compaction_window_size": "10"}
		}
		k.Tables = append(k.Tables, t)
	}
	return k
}

func TestEachFaultIsNamedOnceWithWhatRepairsIt(t *testing.T) {
	tests := []struct {
		name    string
		layout  func() *survey.Keyspace
		spoil   func(*survey.Keyspace)
		id      string
		how     Severity
		says    string
		command string
	}{
		{"compaction by size", well, func(k *survey.Keyspace) { k.Tables[0].Compaction = "SizeTieredCompactionStrategy" },
			Compaction, Error, "SizeTieredCompactionStrategy", "ALTER TABLE kms.oauth_20_access_tokens WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'L10'};"},
		{"compaction by size before 5.0", well, func(k *survey.Keyspace) {
			k.Tables[0].Compaction, k.Nodes[1].Version = "SizeTieredCompactionStrategy", "3.11.16"
		}, Compaction, Error, "SizeTieredCompactionStrategy", "ALTER TABLE kms.oauth_20_access_tokens WITH compaction = {'class': 'LeveledCompactionStrategy'};"},
		{"the index on the organization", well, func(k *survey.Keyspace) {
			k.Tables[0].Indexes = []survey.Index{{Name: "oauth_20_access_tokens_organization_name_idx", Target: "organization_name"}}
		}, Indexes, Error, "on organization_name", "DROP INDEX kms.oauth_20_access_tokens_organization_name_idx;"},
		{"an index under another name on the status", well, func(k *survey.Keyspace) { k.Tables[0].Indexes = []survey.Index{{Name: "Mine", Target: "status"}} },
			Indexes, Error, "Mine on status", `DROP INDEX kms."Mine";`},
		{"an index that somebody may need", well, func(k *survey.Keyspace) {
			k.Tables[0].Indexes = []survey.Index{{Name: "by_client", Target: "client_id"}}
		},
			Indexes, Note, "by_client", ""},
		{"gc_grace as Cassandra comes", well, func(k *survey.Keyspace) { k.Tables[0].GCGrace = 240 * hour },
			Grace, Warning, "at the 10 rows a second seen here ended rows take about 734 MB in each replica, and 220 MB at 3d", "ALTER TABLE kms.oauth_20_access_tokens WITH gc_grace_seconds = 259200;"},
		{"gc_grace as the document wants it", well, func(k *survey.Keyspace) { k.Tables[0].GCGrace = 72 * hour },
			Grace, Note, "about 220 MB in each replica, and 9.2 MB at 3h", ""},
		{"gc_grace below the hint window", well, func(k *survey.Keyspace) { k.Tables[0].GCGrace = hour },
			Grace, Warning, "below max_hint_window of 3h", "ALTER TABLE kms.oauth_20_access_tokens WITH gc_grace_seconds = 10800;"},
		{"a hint window that was raised", well, func(k *survey.Keyspace) { k.HintWindow = 24 * hour },
			Grace, Warning, "below max_hint_window of 1d", "ALTER TABLE kms.oauth_20_access_tokens WITH gc_grace_seconds = 86400;"},
		{"a hint window that is not known", well, func(k *survey.Keyspace) { k.HintWindow, k.Tables[0].GCGrace = 0, hour },
			Grace, Warning, "below the usual hint window of 3h", "ALTER TABLE kms.oauth_20_access_tokens WITH gc_grace_seconds = 10800;"},
		{"rows without an end", well, func(k *survey.Keyspace) {
			k.Tables[0].Sample = &survey.Sample{Rows: 2000, Endless: 500, Total: 1e6, EndlessPerDay: 864_000, Oldest: time.Unix(1, 0)}
		}, Endless, Error, "25 % of its rows have no end: 500 of 2,000 rows looked at (23 % to 27 % of all", "ALTER TABLE kms.oauth_20_access_tokens WITH default_time_to_live = 2592000;"},
		{"half a row without an end", well, func(k *survey.Keyspace) {
			k.Tables[0].Sample = &survey.Sample{Rows: 10, Endless: 1, Mixed: 1, All: true, Total: 10, EndlessPerDay: -1}
		}, Endless, Error, "1 of 10 rows looked at, all there are; in 1 of them other columns do end", "ALTER TABLE kms.oauth_20_access_tokens WITH default_time_to_live = 2592000;"},
		{"transactions on a version that loses them", well, func(k *survey.Keyspace) { k.Nodes[2].Version, k.Tables[0].PaxosRows = "4.1.5", 7 },
			Version, Error, "a node runs Cassandra 4.1.5", ""},
		{"one clock ten minutes ahead", well, func(k *survey.Keyspace) {
			for i := range k.Nodes {
				k.Nodes[i].Ahead = 10 * time.Minute
			}
		}, Clocks, Warning, "10.0.0.1:9042 is 10m ahead of this host, of 10.0.0.2:9042", ""},
		{"clocks two seconds apart", well, func(k *survey.Keyspace) { k.Nodes[0].Ahead = 2 * time.Second },
			Clocks, Warning, "2s apart", ""},
		{"one copy on three nodes", well, func(k *survey.Keyspace) { k.Replicas["dc1"] = 1 },
			Replication, Error, "one copy of each row", "ALTER KEYSPACE kms WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2};"},
		{"no copies but in a data centre without nodes", well, func(k *survey.Keyspace) { k.Replicas = map[string]int{"dc2": 3} },
			Replication, Error, `"dc2" has copies but no node`, "ALTER KEYSPACE kms WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3};"},
		{"copies in a data centre without nodes", well, func(k *survey.Keyspace) { k.Replicas["dc2"] = 3 },
			Replication, Error, `"dc2" has copies but no node`, "ALTER KEYSPACE kms WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3};"},
		{"SimpleStrategy over two data centres", well, func(k *survey.Keyspace) {
			k.Strategy, k.Replicas, k.Nodes[2].DataCentre = "SimpleStrategy", map[string]int{"": 3}, "dc2"
		}, Replication, Error, "does not know data centres", "ALTER KEYSPACE kms WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2, 'dc2': 1};"},
		{"a node that is down", well, func(k *survey.Keyspace) { k.Nodes[1].Reached = false },
			Nodes, Warning, "1 of 3 nodes did not answer: 10.0.0.2:9042", ""},
		{"reads that walk over tombstones", well, func(k *survey.Keyspace) { k.Tables[0].TombstoneMax, k.Tables[0].Partitions = 4768, 50_000_000 },
			Tombstones, Warning, "4,770 tombstones (99th percentile of the worst node); of about 50,000,000 partitions on disk 98 % have ended", ""},
		{"a read that the cluster gave up", well, func(k *survey.Keyspace) { k.Tables[0].Sample = &survey.Sample{Stopped: "too many tombstones"} },
			Tombstones, Warning, "cannot be read in ranges", ""},
		{"transactions that outweigh the data", well, func(k *survey.Keyspace) { k.Nodes[0].PaxosBytes, k.Tables[0].Disk = 200<<20, 300<<20 },
			Paxos, Warning, "system.paxos takes 210 MB on a node, more than this keyspace (105 MB)", ""},
		{"a partition without a bound", well, func(k *survey.Keyspace) { k.Tables[0].MaxPartition = 200 << 20 },
			Partitions, Warning, "210 MB", ""},

		{"our sessions under another strategy", own, func(k *survey.Keyspace) { table(k, "sessions").Compaction = windowed },
			Compaction, Error, "TimeWindow", "ALTER TABLE longcase.sessions WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'L10'};"},
		{"our marks under another strategy", own, func(k *survey.Keyspace) {
			table(k, "marks").Compaction, table(k, "marks").Options = unified, map[string]string{}
		}, Compaction, Error, "UnifiedCompactionStrategy; rows that end want TimeWindow", "ALTER TABLE longcase.marks WITH compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS', 'compaction_window_size': '1', 'unchecked_tombstone_compaction': 'true', 'tombstone_compaction_interval': '10800'};"},
		{"gc_grace of ours", own, func(k *survey.Keyspace) { table(k, "sessions").GCGrace = 240 * hour },
			Grace, Warning, "864000 (10d), more than 3d", "ALTER TABLE longcase.sessions WITH gc_grace_seconds = 10800;"},
		{"the operator's three days", own, func(k *survey.Keyspace) { table(k, "sessions").GCGrace = 72 * hour },
			Grace, Note, "259200 (3d)", "ALTER TABLE longcase.sessions WITH gc_grace_seconds = 10800;"},
		{"any index of ours", own, func(k *survey.Keyspace) {
			table(k, "sessions").Indexes = []survey.Index{{Name: "by_client", Target: "client"}}
		}, Indexes, Error, "by_client on client", "DROP INDEX longcase.by_client;"},
		{"a view of ours", own, func(k *survey.Keyspace) { table(k, "registry").Views = []string{"v"} },
			Indexes, Error, "materialized view v", "DROP MATERIALIZED VIEW longcase.v;"},
		{"a second end of ours", own, func(k *survey.Keyspace) { table(k, "marks").DefaultTTL = hour },
			DefaultTTL, Error, "3600, want 0", "ALTER TABLE longcase.marks WITH default_time_to_live = 0;"},
		{"our rows without an end, which only their writer can explain", own, func(k *survey.Keyspace) {
			table(k, "sessions").Sample = &survey.Sample{Rows: 3, Endless: 1, All: true, EndlessPerDay: -1}
		}, Endless, Error, "33 % of its rows have no end", ""},
		{"two copies of ours on three nodes", own, func(k *survey.Keyspace) { k.Replicas["dc1"] = 2 },
			Replication, Error, "2 copies of each row: without one node there is no quorum", "ALTER KEYSPACE longcase WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3};"},
		{"one copy of ours, and a data centre that shall have none", own, func(k *survey.Keyspace) {
			k.Replicas["dc1"], k.Nodes[2].DataCentre = 1, "dc2"
		}, Replication, Error, `in data centre "dc1" there is one copy of each row`, "ALTER KEYSPACE longcase WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2};"},
		{"our version", own, func(k *survey.Keyspace) { k.Nodes[0].Version = "5.0-rc1" }, Version, Error, "5.0-rc1", ""},
		{"our clock", own, func(k *survey.Keyspace) {
			for i := range k.Nodes {
				k.Nodes[i].Ahead = -6 * time.Second
			}
		}, Clocks, Error, "6s behind", ""},
		{"clients and keys that would end", own, func(k *survey.Keyspace) { table(k, "registry").DefaultTTL = hour },
			DefaultTTL, Error, "3600, want 0", "ALTER TABLE longcase.registry WITH default_time_to_live = 0;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := tt.layout()
			if f := Cassandra(k, Ask{}); len(f) != 0 {
				t.Fatalf("before it was spoilt: %+v", f)
			}
			tt.spoil(k)
			found := Cassandra(k, Ask{})
			if len(found) != 1 {
				t.Fatalf("found %+v, want one", found)
			}
			f := found[0]
			if f.ID != tt.id || f.Severity != tt.how || !strings.Contains(f.Says, tt.says) {
				t.Errorf("%s %s: %s; want %s %s: …%s…", f.ID, f.Severity, f.Says, tt.id, tt.how, tt.says)
			}
			if got := strings.Join(f.Repair.Commands, "\n"); got != tt.command {
				t.Errorf("repair:\n%s\nwant\n%s", got, tt.command)
			}
			if f.Why == "" || f.Source == "" {
				t.Errorf("no why or no source: %+v", f)
			}
			if Fails(found) != (tt.how != Note) {
				t.Errorf("Fails is %t for a %s", Fails(found), tt.how)
			}
		})
	}
}

func table(k *survey.Keyspace, name string) *survey.Table {
	for i := range k.Tables {
		if k.Tables[i].Name == name {
			return &k.Tables[i]
		}
	}
	return nil
}

func TestVersionsThatLoseTransactions(t *testing.T) {
	for v, loses := range map[string]bool{
		"3.11.17": true, "4.0.13": true, "4.1.5": true, "4.1.6": false, "4.1.10": false, "5.0-alpha2": true, "5.0-beta1": true, "5.0.0": false, "5.0.5": false, "5.1-alpha1": false, "6.0.0": false,
	} {
		k := own()
		k.Nodes[0].Version = v
		found := slices.ContainsFunc(Cassandra(k, Ask{}), func(f Finding) bool { return f.ID == Version })
		if found != loses {
			t.Errorf("%s: found %t, want %t", v, found, loses)
		}
	}
}

// Incident 4 in figures: what 864,000 rows a day without an end come to.
func TestGrowthIsSaidInDays(t *testing.T) {
	k := well()
	k.Tables[0].Sample = &survey.Sample{Rows: 2000, Endless: 2000, Total: 1e6, EndlessPerDay: 864_000, Oldest: time.Unix(1, 0)}
	why := Cassandra(k, Ask{Disk: 100e9})[0].Why
	for _, want := range []string{"about 864,000 more are written each day, 123 MB in each replica", "45 GB in a year", "fills a node's disk in 812 days"} {
		if !strings.Contains(why, want) {
			t.Errorf("%q lacks %q", why, want)
		}
	}
	k.Tables[0].Disk = 3 * 40e9 // 40 GB on each of three nodes: 60 GB are left, and rows are 40 kB
	if why = Cassandra(k, Ask{Disk: 100e9})[0].Why; !strings.Contains(why, "40,000 bytes a row, as on disk here") || !strings.Contains(why, "in 1.7 days") {
		t.Error(why)
	}
	k.Tables[0].Sample.EndlessPerDay = 0
	if why = Cassandra(k, Ask{})[0].Why; !strings.Contains(why, "they do not grow any more") {
		t.Error(why)
	}
}

func TestCommandsStopTheGrowthBeforeTheyRewrite(t *testing.T) {
	k := well()
	k.Replicas["dc1"] = 1
	k.Tables[0].Compaction, k.Tables[0].GCGrace = "SizeTieredCompactionStrategy", 240*hour
	k.Tables[0].Indexes = []survey.Index{{Name: "oauth_20_access_tokens_status_idx", Target: "status"}}
	k.Tables[0].Sample = &survey.Sample{Rows: 1, Endless: 1, EndlessPerDay: -1}
	var words []string
	for _, c := range Commands(Cassandra(k, Ask{})) {
		for _, w := range []string{"default_time_to_live", "DROP INDEX", "gc_grace", "compaction", "KEYSPACE"} {
			if strings.Contains(c, w) {
				words = append(words, w)
			}
		}
	}
	if got := strings.Join(words, " "); got != "default_time_to_live DROP INDEX gc_grace compaction KEYSPACE" {
		t.Error(got)
	}
}

func TestTablesOfTokens(t *testing.T) {
	apigee := []string{"apps", "oauth_20_access_tokens", "oauth_20_authorization_codes", "token_settings"}
	for _, tt := range []struct {
		name          string
		tables, asked []string
		want          string
	}{
		{"Apigee's begin with oauth_", apigee, nil, "oauth_20_access_tokens oauth_20_authorization_codes"},
		{"ours but for the registry", ownTables, nil, "sessions documents marks revocations"},
		{"others by their names", []string{"users", "RefreshTokens", "hydra_session", "orders"}, nil, "RefreshTokens hydra_session"},
		{"those that are asked for", apigee, []string{"apps"}, "apps"},
	} {
		if got := Tokens(tt.tables, tt.asked); strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}

// The interval holds the share that was seen, within 0 and 1, and narrows with
// more rows.
func TestInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5000).Draw(t, "n")
		k := rapid.IntRange(0, n).Draw(t, "k")
		low, high := Interval(k, n)
		p := float64(k) / float64(n)
		if low < 0 || high > 1 || low > p+1e-9 || high < p-1e-9 {
			t.Fatalf("%d of %d: %g to %g", k, n, low, high)
		}
		if (k == 0) != (low == 0) || (k == n) != (high == 1) {
			t.Fatalf("%d of %d: %g to %g; none and all are known exactly on one side", k, n, low, high)
		}
		low10, high10 := Interval(10*k, 10*n)
		if high10-low10 > high-low {
			t.Fatalf("%d of %d is surer than ten times as many", k, n)
		}
	})
	if low, high := Interval(0, 0); low != 0 || high != 1 {
		t.Error("nothing seen is nothing known")
	}
}

// ownTables is read only.
var ownTables = []string{"sessions", "documents", "marks", "revocations", "registry", "state"}

// A version compares with itself as equal, and its text, whatever a server
// says, never stops the program.
func FuzzVersion(f *testing.F) {
	for _, s := range []string{"5.0.5", "5.0-beta1", "4.1.6-SNAPSHOT", "", "4..", "999999999999999999999.1", "3.11.16.1"} {
		f.Add(s, "5.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, w := parseVersion(a), parseVersion(b)
		if v.compare(v) != 0 || v.compare(w) != -w.compare(v) {
			t.Errorf("%q and %q: %d and %d", a, b, v.compare(w), w.compare(v))
		}
	})
}
