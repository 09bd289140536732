package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// backup copies the data of a world that serves, and returns how to put them
// back when it has stopped.
type backup func(t *testing.T, e *engines, w *world, data string) (restore func())

// comesBack is a disaster: what was done since the backup is gone, and what was
// undone since then is there again, until `session revoke --before` is run.
func comesBack(t *testing.T, e *engines, engine string, save backup) {
	w := prepareIn(t, plan{})
	data := e.fresh(w, engine)
	w.keepIn(data)
	w.start()
	stolen, loggedOut, idle := w.session("web"), w.session("web"), w.session("web")
	b := newBrowser(t)
	b.signIn(w.authorizeURL(login{client: "web", verifier: "v"}))
	load := startRotating(t, w, 8)
	restore := save(t, e, w, data)
	load.stop(t)
	since := w.session("web")
	rotated := w.refresh("web", stolen.text("refresh_token"))
	send(t, w.as("web", form(w.Issuer+"/revoke", "token", loggedOut.text("refresh_token")))).expect(t, http.StatusOK, "")
	w.stop()
	restore()
	w.start()

	w.refresh("web", since.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
	w.refresh("web", rotated.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
	revived := w.refresh("web", stolen.text("refresh_token"))
	revived.expect(t, http.StatusOK, "") // this is why the next command is needed
	must(t, "", nil, "session", "revoke", "--before", time.Now().UTC().Add(time.Second).Format(time.RFC3339), "-c", w.file)
	for name, token := range map[string]string{"rotated since": revived.text("refresh_token"), "ended since": loggedOut.text("refresh_token"), "idle": idle.text("refresh_token")} {
		if a := w.refresh("web", token); a.code() != "invalid_grant" {
			t.Errorf("a session %s: %d %s", name, a.status, a.body)
		}
	}
	w.call("GET", "/orders/1", revived.text("access_token")).expect(t, http.StatusUnauthorized, "revoked")
	if to := b.signIn(w.authorizeURL(login{client: "web", verifier: "v"}, "prompt", "none")); to.Get("error") != "login_required" {
		t.Errorf("the browser is still signed in: %v", to)
	}
	w.refresh("web", w.session("web").text("refresh_token")).expect(t, http.StatusOK, "")
}

// rotating is clients that refresh as fast as it goes.
type rotating struct {
	halt chan struct{}
	all  sync.WaitGroup
}

func startRotating(t *testing.T, w *world, sessions int) *rotating {
	t.Helper()
	r := &rotating{halt: make(chan struct{})}
	for range sessions {
		token := w.session("web").text("refresh_token")
		r.all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-r.halt:
					return
				default:
				}
				a, err := try(w.refreshRequest("web", token))
				if err != nil || a.status != http.StatusOK {
					t.Errorf("a refresh during the backup: %v %d %s", err, a.status, a.body)
					return
				}
				token = a.text("refresh_token")
			}
		})
	}
	return r
}

func (r *rotating) stop(t *testing.T) {
	t.Helper()
	close(r.halt)
	r.all.Wait()
}

func embeddedBackup(t *testing.T, _ *engines, w *world, data string) func() {
	t.Helper()
	to := filepath.Join(t.TempDir(), "backup")
	backUp(t, w, to)
	if r := storeCommand(t, "backup", to, "-c", w.file); r.code != 2 {
		t.Errorf("a second backup into it exits %d: %s", r.code, r.stderr)
	}
	return func() {
		cold := filepath.Join(t.TempDir(), "cold")
		backUp(t, w, cold) // of the stopped one
		shell(t, "rm", "-r", filepath.Join(data, "store"))
		shell(t, "cp", "-a", filepath.Join(to, "store"), filepath.Join(data, "store"))
	}
}

func backUp(t *testing.T, w *world, to string) {
	t.Helper()
	if r := storeCommand(t, "backup", to, "-c", w.file); r.code != 0 {
		t.Fatalf("store backup exits %d: %s", r.code, r.stderr)
	}
}

func postgresDump(t *testing.T, e *engines, _ *world, data string) func() {
	t.Helper()
	file := filepath.Join(t.TempDir(), "longcase.dump")
	shell(t, "pg_dump", "--format=custom", "--file="+file, data)
	name := data[strings.LastIndex(data, "/")+1:]
	return func() {
		shell(t, "psql", "-qX", e.pg.URL("postgres"), "-c", "drop database "+name, "-c", "create database "+name)
		shell(t, "pg_restore", "--exit-on-error", "--dbname="+data, file)
	}
}

// cassandraSnapshot is a snapshot of the one node; of several, each would do the
// same with its own.
func cassandraSnapshot(t *testing.T, e *engines, _ *world, data string) func() {
	t.Helper()
	at, err := url.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	keyspace := strings.Trim(at.Path, "/")
	e.cass.Nodetool(0, "snapshot", "-t", "backup", keyspace)
	return func() {
		saved, err := filepath.Glob(filepath.Join(e.cass.Dir, "1", "data", keyspace, "*", "snapshots", "backup"))
		if err != nil || len(saved) == 0 {
			t.Fatalf("no snapshot of %s below %s: %v", keyspace, e.cass.Dir, err)
		}
		cluster := gocql.NewCluster(at.Host)
		cluster.Keyspace, cluster.Timeout = keyspace, patience
		session, err := cluster.CreateSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		for _, dir := range saved {
			table, _, _ := strings.Cut(filepath.Base(filepath.Dir(filepath.Dir(dir))), "-")
			if err := session.Query("TRUNCATE " + table).Exec(); err != nil {
				t.Fatal(err)
			}
			e.cass.Nodetool(0, "import", "--copy-data", keyspace, table, dir)
		}
	}
}

func shell(t *testing.T, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Env = os.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", command, args, err, out)
	}
	return string(out)
}
