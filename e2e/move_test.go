package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/cassandra"
	"github.com/longcase/longcase/store/embedded"
	"github.com/longcase/longcase/store/postgres"
)

// engines are a PostgreSQL and a Cassandra that the moves of one test share.
type engines struct {
	pg   *servertest.Postgres
	cass *servertest.Cassandra
	made atomic.Int32

	making sync.Mutex
}

func startEngines(t *testing.T) *engines {
	t.Helper()
	return &engines{pg: servertest.StartPostgres(t, ""), cass: servertest.StartCassandra(t, 1)}
}

// fresh is an empty place on an engine, as data: names it.
func (e *engines) fresh(w *world, engine string) string {
	name := fmt.Sprintf("move%d", e.made.Add(1))
	switch engine {
	case "PostgreSQL":
		return e.pg.CreateDatabase(name)
	case "Cassandra":
		return e.keyspace(w.t, name)
	default:
		return filepath.Join(w.dir, name)
	}
}

// keyspace makes one, one after another: a small Cassandra is slow at that.
func (e *engines) keyspace(t *testing.T, name string) string {
	t.Helper()
	e.making.Lock()
	defer e.making.Unlock()
	for end := time.Now().Add(5 * patience); ; time.Sleep(time.Second) {
		s, err := cassandra.Open(t.Context(), cassandra.Config{Hosts: e.cass.Hosts, Keyspace: name, LocalDC: "datacenter1"})
		switch {
		case err == nil:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return e.cass.URL(name)
		case !errors.Is(err, store.ErrUnavailable) || time.Now().After(end):
			t.Fatal(err)
		}
	}
}

// keepIn makes data the data of the world's file, under a key that stays the
// same.
func (w *world) keepIn(data string) {
	w.t.Helper()
	text := "data: \"" + data + "\"\nkeys: {encrypt_with: {file: kek}}\n"
	w.write("longcase.yaml", strings.Replace(w.fill(worldFile), "data: longcase-data\n", text, 1))
}

// prepareIn is prepare with its data in a place of one's own.
func prepareIn(t *testing.T, p plan) *world {
	t.Helper()
	w := prepare(t, p)
	w.write("kek", strings.Repeat("k", 32))
	return w
}

func TestStoresMoveAndComeBack(t *testing.T) {
	e := startEngines(t)
	busy := make(chan struct{}, 2) // one small Cassandra makes no more tables at once
	run := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			if strings.Contains(name, "Cassandra") {
				busy <- struct{}{}
				defer func() { <-busy }()
			}
			test(t)
		})
	}
	for _, from := range every() {
		for _, to := range every() {
			if from != to {
				run(from+" moves to "+to, func(t *testing.T) { moves(t, e, from, to) })
			}
		}
	}
	for _, engine := range every() {
		run("a copy to "+engine+" goes on wherever it was killed", func(t *testing.T) { goesOnAfterKills(t, e, engine) })
		run(engine+" is read only and writable again", func(t *testing.T) { readOnlyAndBack(t, e, engine) })
	}
	run("embedded comes back from its backup", func(t *testing.T) { comesBack(t, e, "embedded", embeddedBackup) })
	run("PostgreSQL comes back from a dump", func(t *testing.T) { comesBack(t, e, "PostgreSQL", postgresDump) })
	run("Cassandra comes back from a snapshot", func(t *testing.T) { comesBack(t, e, "Cassandra", cassandraSnapshot) })
}

func every() []string { return []string{"embedded", "PostgreSQL", "Cassandra"} }

func moves(t *testing.T, e *engines, from, to string) {
	w := prepareIn(t, plan{Code: "10m"})
	source, target := e.fresh(w, from), e.fresh(w, to)
	w.keepIn(source)
	w.start()
	h := w.live()
	if from == "embedded" {
		r := storeCommand(t, "copy", source, target)
		if r.code != 3 || !strings.Contains(r.stderr, "stop the server on it first") {
			t.Errorf("a copy beside a server exits %d: %s", r.code, r.stderr)
		}
		w.stop()
	}
	c := copyStore(t, source, target)
	if c.Records.Sessions < 5 || c.Records.Documents < 2 || c.Records.Marks < 1 || c.Records.Revocations < 1 || c.Records.Entries < 3 || c.Compared == nil || *c.Compared != c.Records {
		t.Errorf("copied %+v", c)
	}
	if from != "embedded" {
		w.refresh("web", h.late).expect(t, http.StatusServiceUnavailable, "temporarily_unavailable")
		w.stop()
	}
	if again := copyStore(t, source, target); !again.Already || again.ID != c.ID {
		t.Errorf("a second copy says %+v", again)
	}
	w.keepIn(target)
	w.start()
	h.goesOn(w)
	w.stop()
	w.keepIn(source)
	h.isRefused(w)
}

// copied is what store copy --json says.
type copied struct {
	ID               string
	Records          counts
	Compared         *counts
	Resumed, Already bool
}

type counts struct{ Sessions, Documents, Marks, Revocations, Entries int }

func copyStore(t *testing.T, from, to string) (c copied) {
	t.Helper()
	r := storeCommand(t, "copy", "--json", from, to)
	if err := json.Unmarshal([]byte(r.stdout), &c); r.code != 0 || err != nil {
		t.Fatalf("store copy exits %d, %v: %s%s", r.code, err, r.stdout, r.stderr)
	}
	return c
}

// storeCommand takes as long as it takes.
func storeCommand(t *testing.T, args ...string) run {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"store"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return run{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// held is what clients hold of a world that is moved.
type held struct {
	fresh, late  string   // refresh tokens of two sessions, unused
	access       string   // of fresh
	rotated      []string // all generations of a session
	revoked      answer
	used, unused login
	assertion    string
	keys         []key
}

// live gives a world clients of every standing.
func (w *world) live() held {
	t := w.t
	t.Helper()
	first := w.session("web")
	h := held{fresh: first.text("refresh_token"), access: first.text("access_token"), late: w.session("web").text("refresh_token")}
	h.rotated = []string{w.session("web").text("refresh_token")}
	for range 2 {
		a := w.refresh("web", h.rotated[len(h.rotated)-1])
		a.expect(t, http.StatusOK, "")
		h.rotated = append(h.rotated, a.text("refresh_token"))
	}
	h.revoked = w.session("public")
	send(t, form(w.Issuer+"/revoke", "client_id", "public", "token", h.revoked.text("refresh_token"))).expect(t, http.StatusOK, "")
	h.used, h.unused = w.signIn("web"), w.signIn("web")
	w.redeem(h.used).expect(t, http.StatusOK, "")
	h.assertion = assertion(t, w, keyedKid, false, nil)
	w.hideAll(send(t, w.asserted(h.assertion))).expect(t, http.StatusOK, "")
	var added secret
	must(t, "", &added, "client", "add", "--id", "added", "--grant", "client_credentials", "--audience", audience, "--json", "-c", w.file)
	w.Secret["added"] = added
	must(t, "", nil, "keys", "rotate", "-c", w.file)
	h.keys = w.keys(t)
	return h
}

func (w *world) asserted(assertion string) *http.Request {
	return form(w.Issuer+"/token", "grant_type", "client_credentials", "client_assertion_type", jwtBearer, "client_assertion", assertion)
}

// goesOn asserts that a server on the copy knows all that the first one knew.
func (h held) goesOn(w *world) {
	t := w.t
	t.Helper()
	w.call("GET", "/orders/1", h.access).expect(t, http.StatusOK, "")
	w.call("GET", "/orders/1", h.revoked.text("access_token")).expect(t, http.StatusUnauthorized, "revoked")
	w.refresh("public", h.revoked.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")

	next := w.refresh("web", h.fresh)
	next.expect(t, http.StatusOK, "")
	if again := w.refresh("web", h.fresh); again.text("refresh_token") != next.text("refresh_token") {
		t.Errorf("a lost answer is repeated with %d %s", again.status, again.body)
	}
	w.refresh("web", next.text("refresh_token")).expect(t, http.StatusOK, "")
	w.refresh("web", h.fresh).expect(t, http.StatusBadRequest, "invalid_grant")

	w.refresh("web", h.rotated[0]).expect(t, http.StatusBadRequest, "invalid_grant")
	w.refresh("web", h.rotated[2]).expect(t, http.StatusBadRequest, "invalid_grant") // reuse has ended it

	w.redeem(h.used).expect(t, http.StatusBadRequest, "invalid_grant")
	w.redeem(h.unused).expect(t, http.StatusOK, "")
	send(t, w.asserted(h.assertion)).expect(t, http.StatusUnauthorized, "invalid_client")
	w.hideAll(send(t, w.asserted(assertion(t, w, keyedKid, false, nil)))).expect(t, http.StatusOK, "")
	w.hideAll(send(t, w.as("added", form(w.Issuer+"/token", "grant_type", "client_credentials")))).expect(t, http.StatusOK, "")
	if got := fmt.Sprint(w.keys(t)); got != fmt.Sprint(h.keys) {
		t.Errorf("the keys are %v, were %v", got, h.keys)
	}
}

// isRefused asserts that a server on the source writes nothing.
func (h held) isRefused(w *world) {
	t := w.t
	t.Helper()
	w.process = serve(t, w.dir, "-c", w.file)
	if status(w.Issuer+"/.longcase/readyz") == http.StatusOK {
		t.Error("a server on a store that was moved says that it is ready")
	}
	w.refresh("web", h.late).expect(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	w.refresh("web", h.fresh).expect(t, http.StatusServiceUnavailable, "temporarily_unavailable")
}

func readOnlyAndBack(t *testing.T, e *engines, engine string) {
	w := prepareIn(t, plan{})
	data := e.fresh(w, engine)
	w.keepIn(data)
	w.start()
	s := w.session("web")
	set := func(args ...string) run {
		if engine == "embedded" { // one process at a time
			w.stop()
			defer func() { w.process = serve(t, w.dir, "-c", w.file) }()
		}
		return storeCommand(t, args...)
	}
	if r := set("read-only", data, "--reason", "a drill"); r.code != 0 {
		t.Fatalf("read-only exits %d: %s", r.code, r.stderr)
	}
	w.refresh("web", s.text("refresh_token")).expect(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if r := set("writable", data); r.code != 0 || !strings.Contains(r.stdout, "it was read only: a drill") {
		t.Errorf("writable exits %d: %s%s", r.code, r.stdout, r.stderr)
	}
	eventually(t, patience, "the session goes on", func() bool {
		return w.refresh("web", s.text("refresh_token")).status == http.StatusOK
	})
}

// goesOnAfterKills copies a store that is large enough to be interrupted.
func goesOnAfterKills(t *testing.T, e *engines, to string) {
	w := prepareIn(t, plan{})
	source, target := e.fresh(w, "embedded"), e.fresh(w, to)
	if to == "Cassandra" { // killed while it makes the tables, too
		target = e.cass.URL("killed")
	}
	want := stock(t, source, long(1000))
	for kills, after := 0, 20*time.Millisecond; ; kills, after = kills+1, after*3/2 {
		code, said := interrupted(t, kills%4 == 0, after+rand.N(after), source, target)
		if code == 0 {
			if t.Logf("%d interruptions", kills); kills == 0 {
				t.Error("the copy was never interrupted")
			}
			break
		}
		if kills%4 == 0 && code != -1 && (code != 130 || !strings.Contains(said, "run the same command again")) {
			t.Fatalf("an interrupted copy exits %d: %s", code, said)
		}
	}
	c := copyStore(t, source, target)
	if !c.Already || c.Compared == nil || c.Compared.Sessions != len(want) {
		t.Errorf("in the end: %+v, want %d sessions", c, len(want))
	}
	got := opened(t, target)
	for id, g := range want {
		if s, err := got.Sessions().Load(t.Context(), id); err != nil || s.Generation != g {
			t.Fatalf("session %s: generation %d, %v; want %d", id, s.Generation, err, g)
		}
	}
}

// interrupted starts a copy and ends it after a while, as Ctrl-C does or as a
// crash, unless it is done by then; it returns its exit code, -1 for a kill.
func interrupted(t *testing.T, gently bool, after time.Duration, source, target string) (int, string) {
	t.Helper()
	var said notes
	cmd := exec.Command(binary, "store", "copy", source, target)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ending := syscall.SIGKILL
	if gently {
		ending = syscall.SIGINT
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Signal(ending) })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() > 0 && !gently {
		t.Fatalf("the copy exits %d: %s", cmd.ProcessState.ExitCode(), said.String())
	}
	return cmd.ProcessState.ExitCode(), said.String()
}

// stock fills an embedded store and says what sessions it holds.
func stock(t *testing.T, data string, sessions int) map[store.ID]store.Generation {
	t.Helper()
	s := opened(t, data)
	now := time.Now()
	all := map[store.ID]store.Generation{}
	for i := range sessions {
		end := now.Add(time.Hour + time.Duration(i)*time.Second).Truncate(time.Second)
		one := store.Session{ID: store.NewID(now, end), End: end, Generation: store.Generation(1 + i%5), Client: "web", Subject: "alice", Data: []byte("{}")}
		all[one.ID] = one.Generation
		if err := s.Import(t.Context(), store.Record{Session: &one}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// opened is a store that data: names.
func opened(t *testing.T, data string) store.Movable {
	t.Helper()
	var s store.Movable
	var err error
	switch at, parseErr := url.Parse(data); {
	case parseErr != nil:
		t.Fatal(parseErr)
	case at.Scheme == "postgres":
		s, err = postgres.Open(t.Context(), postgres.Config{URL: data})
	case at.Scheme == "cassandra":
		s, err = cassandra.Open(t.Context(), cassandra.Config{Hosts: []string{at.Host}, Keyspace: strings.Trim(at.Path, "/"), LocalDC: "datacenter1"})
	default:
		s, err = embedded.Open(embedded.Config{Dir: filepath.Join(data, "store")})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
