package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/cassandra"
)

// The layout in which Apigee Edge keeps OAuth tokens, with the settings that
// incident 4's document warns of: the indexes by their names, compaction by
// size, ten days of grace.
const apigeeTables = `
CREATE KEYSPACE kms WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE kms.oauth_20_access_tokens (key text PRIMARY KEY, organization_name text, status text, app_id text, client_id text,
	refresh_token text, refresh_token_status text, scope text, issued_at bigint, expires_at bigint, attributes map<text, text>)
	WITH compaction = {'class': 'SizeTieredCompactionStrategy'} AND gc_grace_seconds = 864000;
CREATE INDEX oauth_20_access_tokens_organization_name_idx ON kms.oauth_20_access_tokens (organization_name);
CREATE INDEX oauth_20_access_tokens_status_idx ON kms.oauth_20_access_tokens (status);
CREATE INDEX oauth_20_access_tokens_client_id_idx ON kms.oauth_20_access_tokens (client_id);
CREATE TABLE kms.api_products (key text PRIMARY KEY, name text) WITH compaction = {'class': 'SizeTieredCompactionStrategy'};
CREATE KEYSPACE full_of_dead WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE full_of_dead.refresh_tokens (id text PRIMARY KEY, a text, b text) WITH compaction = {'class': 'LeveledCompactionStrategy'} AND gc_grace_seconds = 259200;
CREATE ROLE looker WITH PASSWORD = 'looker-secret' AND LOGIN = true;
GRANT SELECT ON KEYSPACE kms TO looker`

// lookerVariable holds looker's password, for all of this process: tests that run
// at once cannot have variables of their own.
const lookerVariable = "LONGCASE_E2E_LOOKER"

// clinic is a cluster with passwords and what the tests keep in it.
type clinic struct {
	*testing.T
	server  *servertest.Cassandra
	session *gocql.Session
}

func openClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{T: t, server: servertest.StartCassandra(t, 1, "authenticator: PasswordAuthenticator", "authorizer: CassandraAuthorizer", "role_manager: CassandraRoleManager")}
	cfg := gocql.NewCluster(c.server.Hosts...)
	cfg.Authenticator = gocql.PasswordAuthenticator{Username: "cassandra", Password: "cassandra"}
	cfg.Consistency, cfg.Timeout = gocql.One, time.Minute
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) { // the first superuser is made a moment after the start
		if c.session, err = cfg.CreateSession(); err == nil {
			t.Cleanup(c.session.Close)
			return c
		}
	}
	t.Fatal(err)
	return nil
}

// cql runs statements as they are.
func (c *clinic) cql(statements string) {
	c.Helper()
	for _, s := range strings.Split(strings.TrimSpace(statements), ";\n") {
		if err := c.session.Query(strings.TrimSuffix(s, ";")).ExecContext(context.Background()); err != nil {
			c.Fatalf("%s: %v", s, err)
		}
	}
}

// many runs one statement so many times, a few at once.
func (c *clinic) many(n int, statement string, values func(i int) []any) {
	c.Helper()
	var (
		done sync.WaitGroup
		mu   sync.Mutex
		last error
	)
	for w := range 16 {
		done.Go(func() {
			for i := w; i < n; i += 16 {
				if err := c.session.Query(statement, values(i)...).ExecContext(context.Background()); err != nil {
					mu.Lock()
					last = err
					mu.Unlock()
				}
			}
		})
	}
	done.Wait()
	if last != nil {
		c.Fatal(last)
	}
}

func (c *clinic) url(user, keyspace string) string {
	return fmt.Sprintf("cassandra://%s:%s@%s/%s", user, map[string]string{"cassandra": "cassandra", "looker": "looker-secret"}[user], c.server.Hosts[0], keyspace)
}

// diagnosis is what doctor says in JSON.
type diagnosis struct {
	Targets []struct {
		Error  string
		Report struct {
			Layout   string
			Commands []string
			Findings []struct {
				ID, Severity, Table, Says, Why string
				Repair                         struct{ Commands []string }
			}
			Keyspace struct {
				Tables []struct {
					Name   string
					Sample *struct {
						Rows, Endless, Mixed int
						Total                float64 `json:"total_rows"`
						PerDay               float64 `json:"endless_per_day"`
						PerSecond            float64 `json:"ending_per_s"`
					}
				}
				Gaps []struct{ What, Why, Do string }
			}
		}
	}
}

// examine runs doctor in both forms, which must agree, and returns one.
func (c *clinic) examine(code int, args ...string) (diagnosis, string) {
	c.Helper()
	r := longcase(c.T, "", append([]string{"doctor"}, args...)...)
	j := longcase(c.T, "", append([]string{"doctor", "--json"}, args...)...)
	for _, out := range []string{r.stdout, r.stderr, j.stdout, j.stderr} {
		if strings.Contains(out, "secret") || strings.Contains(out, "cassandra:cassandra") {
			c.Errorf("a password is printed:\n%s", out)
		}
	}
	if r.code != code || j.code != code {
		c.Fatalf("doctor %v exits %d and %d, want %d:\n%s%s", args, r.code, j.code, code, r.stdout, r.stderr)
	}
	var d diagnosis
	if err := json.Unmarshal([]byte(j.stdout), &d); err != nil {
		c.Fatalf("%v in %s", err, j.stdout)
	}
	return d, r.stdout
}

// found lists the findings of the first target: "CAS001 error".
func (d diagnosis) found() []string {
	var all []string
	for _, f := range d.Targets[0].Report.Findings {
		all = append(all, f.ID+" "+f.Severity)
	}
	slices.Sort(all)
	return all
}

// printed are the commands of a report, as a person copies them.
func printed(report string) string {
	_, block, _ := strings.Cut(report, "\nCommands, ")
	var lines []string
	for line := range strings.Lines(block) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimSpace(command))
		}
	}
	return strings.Join(lines, "\n")
}

func (c *clinic) want(d diagnosis, want ...string) {
	c.Helper()
	if got := d.found(); !slices.Equal(got, want) {
		c.Errorf("found %q, want %q: %+v", got, want, d.Targets[0].Report.Findings)
	}
}

// TestDoctorExaminesCassandra examines live keyspaces: a spoilt one of Apigee's
// layout, whose printed commands are run as they are until nothing is found.
func TestDoctorExaminesCassandra(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	c.cql(apigeeTables)
	c.fillApigee()
	for _, step := range []struct {
		name string
		run  func(*clinic)
	}{
		{"a user who may only look is told what is missing", (*clinic).lookerSees},
		{"each fault is found, and its commands repair it", (*clinic).apigeeIsRepaired},
		{"rows that have ended are in the way of reads", (*clinic).deadAreSeen},
		{"a keyspace of Longcase is well, and a drifted one is named", (*clinic).longcaseDrifts},
		{"a wrong password and a keyspace that is not there", (*clinic).strangers},
		{"a cluster that is gone", (*clinic).gone},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(&clinic{t, c.server, c.session}) }) {
			return
		}
	}
}

// apigeeRows of each kind: with an end, without, and half.
const apigeeRows = 1500

func (c *clinic) fillApigee() {
	c.Helper()
	columns := "(key, organization_name, status, app_id, client_id, refresh_token, scope, issued_at, attributes) VALUES (?, 'acme', 'approved', 'app', ?, ?, 'it''s all', ?, {'a': 'b'})"
	values := func(prefix string) func(int) []any {
		return func(i int) []any { return []any{fmt.Sprint(prefix, i), "client", "refresh", int64(i)} }
	}
	c.many(apigeeRows, "INSERT INTO kms.oauth_20_access_tokens "+columns+" USING TTL 3600", values("ends-"))
	now := time.Now()
	c.many(apigeeRows, "INSERT INTO kms.oauth_20_access_tokens "+columns+" USING TIMESTAMP ?", func(i int) []any {
		return append(values("endless-")(i), now.Add(-time.Duration(rand.IntN(5*24*3600))*time.Second).UnixMicro())
	})
	c.many(50, "UPDATE kms.oauth_20_access_tokens SET status = 'revoked' WHERE key = ?", func(i int) []any { return []any{fmt.Sprint("ends-", i)} })
	c.many(10, "INSERT INTO kms.api_products (key, name) VALUES (?, 'lasts')", func(i int) []any { return []any{fmt.Sprint(i)} })
}

// lookerSees is also the proof that nothing is written: this user cannot.
func (c *clinic) lookerSees() {
	d, out := c.examine(1, c.url("looker", "kms"))
	c.want(d, "CAS001 error", "CAS002 error", "CAS002 error", "CAS002 note", "CAS003 warning", "CAS004 error")
	if !strings.Contains(out, "Not read:") || !strings.Contains(out, `GRANT SELECT ON KEYSPACE system_views TO "looker";`) {
		c.Errorf("what is missing is not said:\n%s", out)
	}
	for _, g := range d.Targets[0].Report.Keyspace.Gaps {
		if g.Do == "" || g.Why != "this user has no right to read it" {
			c.Errorf("%+v", g)
			continue
		}
		c.cql(g.Do)
	}
	if d, out = c.examine(1, c.url("looker", "kms")); len(d.Targets[0].Report.Keyspace.Gaps) != 0 {
		c.Errorf("after the grants that were printed:\n%s", out)
	}
}

func (c *clinic) apigeeIsRepaired() {
	url := fmt.Sprintf("cassandra://looker:${%s}@%s/kms", lookerVariable, c.server.Hosts[0])
	d, out := c.examine(1, url)
	c.figures(d)
	c.cql(printed(out))
	d, _ = c.examine(1, url)
	c.want(d, "CAS002 note", "CAS003 note", "CAS004 error") // three days are the document's, and cost what they cost
	c.backfill(url)
	d, out = c.examine(0, url)
	c.want(d, "CAS002 note", "CAS003 note")
	if !strings.HasPrefix(out, "cassandra://looker@"+c.server.Hosts[0]+"/kms: well, 2 notes\n") {
		c.Errorf("it begins with\n%.300s", out)
	}
}

// figures compares what was estimated with what was written.
func (c *clinic) figures(d diagnosis) {
	c.Helper()
	for _, t := range d.Targets[0].Report.Keyspace.Tables {
		if t.Name == "api_products" {
			if t.Sample != nil {
				c.Error("a table that is not judged was sampled")
			}
			continue
		}
		share := float64(t.Sample.Endless) / float64(t.Sample.Rows)
		switch s := t.Sample; {
		case s.Rows < 1500, share < 0.4, share > 0.65: // 1,550 of 3,000: 52 %
			c.Errorf("%d of %d rows have no end, want about half", s.Endless, s.Rows)
		case s.Total < 2000 || s.Total > 4500:
			c.Errorf("%g rows are estimated, 3,000 are there", s.Total)
		case s.Mixed == 0:
			c.Error("no half row was seen")
		case s.PerDay < 150 || s.PerDay > 700: // 1,500 in five days, and 50 half rows just now
			c.Errorf("%g rows a day without an end, want about 350", s.PerDay)
		case s.PerSecond < 0.2 || s.PerSecond > 0.7: // 1,450 that live an hour
			c.Errorf("%g rows a second with an end, want about 0.4", s.PerSecond)
		}
	}
}

// backfill runs the statements that doctor prints, some at a time: the first time
// ends a few rows before the table does. A write that comes between the
// printing and the running must win.
func (c *clinic) backfill(url string) {
	c.Helper()
	from, total := []string(nil), 0
	for round := 0; ; round++ {
		r := longcase(c.T, "", append([]string{"doctor", "--backfill", "oauth_20_access_tokens", "--life", "30d", "--most", fmt.Sprint(apigeeRows), url}, from...)...)
		if r.code != 0 || round > 10 {
			c.Fatalf("exit %d in round %d: %s", r.code, round, r.stderr)
		}
		if round == 0 {
			c.cql("UPDATE kms.oauth_20_access_tokens USING TTL 1000 SET status = 'revoked meanwhile' WHERE key = '" + firstKey(c.T, r.stdout) + "'")
		}
		total += strings.Count(r.stdout, "\n")
		c.cql(r.stdout)
		if strings.Contains(r.stderr, "at its end") {
			break
		}
		_, next, _ := strings.Cut(strings.TrimSpace(r.stderr), "--from=")
		from = []string{"--from=" + next}
	}
	if total != apigeeRows+50 {
		c.Errorf("%d rows were given an end, %d had none", total, apigeeRows+50)
	}
	c.kept()
}

func firstKey(t *testing.T, statements string) string {
	t.Helper()
	_, rest, ok := strings.Cut(statements, `fromJson('"endless-`)
	n, _, _ := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no row without an end in %.300s", statements)
	}
	return "endless-" + n
}

// kept holds that rows are as they were, but for their end.
func (c *clinic) kept() {
	c.Helper()
	iter := c.session.Query("SELECT key, organization_name, status, scope, attributes, TTL(status), TTL(scope) FROM kms.oauth_20_access_tokens").IterContext(context.Background())
	var (
		key, organization, status, scope string
		attributes                       map[string]string
		statusLeft, scopeLeft            int
		rows, meanwhile                  int
	)
	for iter.Scan(&key, &organization, &status, &scope, &attributes, &statusLeft, &scopeLeft) {
		rows++
		if status == "revoked meanwhile" {
			meanwhile++
		}
		if organization != "acme" || scope != "it's all" || attributes["a"] != "b" || statusLeft == 0 || scopeLeft == 0 {
			c.Fatalf("%s: %s %q %v, ends in %d and %d s", key, organization, scope, attributes, statusLeft, scopeLeft)
		}
		if strings.HasPrefix(key, "ends-") && statusLeft > 3600 {
			c.Fatalf("%s lives longer than it did: %d s", key, statusLeft)
		}
	}
	if err := iter.Close(); err != nil || rows != 2*apigeeRows || meanwhile != 1 {
		c.Errorf("%d rows, %d revoked meanwhile: %v", rows, meanwhile, err)
	}
}

func (c *clinic) deadAreSeen() {
	c.many(3000, "INSERT INTO full_of_dead.refresh_tokens (id, a, b) VALUES (?, 'a', 'b') USING TTL 1", func(i int) []any { return []any{fmt.Sprint(i)} })
	time.Sleep(2 * time.Second)
	var n int
	for range 3 {
		if err := c.session.Query("SELECT count(*) FROM full_of_dead.refresh_tokens").ScanContext(context.Background(), &n); err != nil || n != 0 {
			c.Fatalf("%d live: %v", n, err)
		}
	}
	d, _ := c.examine(1, c.url("cassandra", "full_of_dead"))
	c.want(d, "CAS003 note", "CAS009 warning")
}

// longcaseDrifts spoils a keyspace that the engine made, and runs what doctor
// prints until the engine takes it again.
func (c *clinic) longcaseDrifts() {
	open := func() (*cassandra.Engine, error) {
		return cassandra.Open(c.Context(), cassandra.Config{Hosts: c.server.Hosts, Keyspace: "longcase", LocalDC: "datacenter1", User: "cassandra", Password: "cassandra",
			Log: slog.New(slog.DiscardHandler)})
	}
	e, err := open()
	if err != nil {
		c.Fatal(err)
	}
	for range 200 {
		now := time.Now()
		s := store.Session{ID: store.NewID(now, now.Add(12*time.Hour)), End: now.Add(12 * time.Hour), Client: "web-app"}
		if err := e.Sessions().Create(c.Context(), s); err != nil {
			c.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		c.Fatal(err)
	}
	d, out := c.examine(0, c.url("cassandra", "longcase"))
	c.want(d)
	if !strings.Contains(out, "longcase: well\n") || !strings.Contains(out, "sessions     200   0 % of all") {
		c.Errorf("a keyspace that was just made:\n%s", out)
	}
	c.cql(`ALTER TABLE longcase.sessions WITH compaction = {'class': 'SizeTieredCompactionStrategy'} AND gc_grace_seconds = 864000;
ALTER TABLE longcase.marks WITH compaction = {'class': 'UnifiedCompactionStrategy'} AND gc_grace_seconds = 60;
ALTER TABLE longcase.registry WITH default_time_to_live = 86400;
CREATE INDEX by_state ON longcase.sessions (ended)`)
	d, out = c.examine(1, c.url("cassandra", "longcase"))
	c.want(d, "CAS001 error", "CAS001 error", "CAS002 error", "CAS003 warning", "CAS003 warning", "CAS012 error")
	if _, err := open(); !errors.Is(err, store.ErrSchema) {
		c.Errorf("the engine opens a drifted keyspace: %v", err)
	}
	c.cql(printed(out))
	d, _ = c.examine(0, c.url("cassandra", "longcase"))
	c.want(d)
	if e, err = open(); err != nil {
		c.Fatalf("after the repair: %v", err)
	}
	if err := e.Close(); err != nil {
		c.Error(err)
	}
}

func (c *clinic) strangers() {
	host := c.server.Hosts[0]
	for target, want := range map[string]string{
		"cassandra://cassandra:wrong-secret@" + host + "/kms": "refuses this user or password",
		"cassandra://" + host + "/kms":                        "refuses this user or password",
		c.url("cassandra", "not_there"):                       "there is no such keyspace",
	} {
		d, _ := c.examine(3, target)
		if !strings.Contains(d.Targets[0].Error, want) {
			c.Errorf("%q, want %q", d.Targets[0].Error, want)
		}
	}
	d, out := c.examine(3, c.url("looker", "kms"), "cassandra://"+host+"/kms") // what can be examined is
	if len(d.Targets) != 2 || d.Targets[1].Error == "" || !strings.Contains(out, "kms: well") {
		c.Errorf("two targets: %+v", d)
	}
	r := longcase(c.T, "", "doctor", "--backfill", "nothing_here", "--life", "1d", c.url("looker", "kms"))
	if r.code != 3 || !strings.Contains(r.stderr, `kms has no table "nothing_here"`) {
		c.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func (c *clinic) gone() {
	c.server.Pause(0) // it takes connections and says nothing
	cmd := exec.Command(binary, "doctor", c.url("looker", "kms"))
	r := command(c.T, "", cmd)
	c.server.Resume(0)
	if r.code != 3 || !strings.Contains(r.stderr, "cannot be reached") {
		c.Errorf("a node that hangs: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	c.server.Kill(0)
	if _, err := net.DialTimeout("tcp", net.JoinHostPort(c.server.Hosts[0], "9042"), time.Second); err == nil {
		c.Fatal("it was killed and answers")
	}
	c.examine(3, c.url("looker", "kms"))
}
