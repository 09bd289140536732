package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/move"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
)

const kekText = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"

var errRefused = fmt.Errorf("%w: connection refused", store.ErrUnavailable)

// database is a store on another machine, which may be away.
type database struct {
	away   atomic.Pointer[error] // nil: it is there
	engine *memory.Engine
	opened atomic.Int64
	ahead  atomic.Int64 // of its clock, nanoseconds
}

func newDatabase() *database { return &database{engine: memory.New(memory.Config{})} }

func (d *database) fail(err error) {
	d.away.Store(&err)
	if err == nil {
		d.away.Store(nil)
	}
}

func (d *database) open(context.Context, config.Data, StoreOptions) (store.Movable, error) {
	d.opened.Add(1)
	if err := d.away.Load(); err != nil {
		return nil, *err
	}
	return remoteNode{d.engine.Again(nil), d}, nil
}

// remoteNode is one node's way to the database.
type remoteNode struct {
	store.Movable
	d *database
}

func (n remoteNode) Clock(ctx context.Context) (time.Time, error) {
	if err := n.d.away.Load(); err != nil {
		return time.Time{}, *err
	}
	now, err := n.Movable.Clock(ctx)
	return now.Add(time.Duration(n.d.ahead.Load())), err
}

func (n remoteNode) Registry() store.Registry { return remoteRegistry{n.Movable.Registry(), n.d} }

type remoteRegistry struct {
	store.Registry
	d *database
}

func (r remoteRegistry) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	if err := r.d.away.Load(); err != nil {
		return nil, *err
	}
	return r.Registry.List(ctx, prefix)
}

// remoteConfig is every room that listens, with the store in a database.
func remoteConfig(t *testing.T, secret string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "kek"), kekText, 0o600)
	file := filepath.Join(dir, "longcase.yaml")
	write(t, file, strings.Replace(configOf("a", secret, 5), "data: data", `data: "postgres://u:hunter2@127.0.0.1:1/longcase"`, 1)+`
keys: {encrypt_with: {file: kek}}
gate:
  listen: 127.0.0.1:0
  ext_authz: 127.0.0.1:0
  accept: [{issuer: "http://127.0.0.1:4600", audience: "https://b.example"}]
console: {listen: 127.0.0.1:0}
`, 0o600)
	return file
}

// launch starts a server whose store is in d.
func launch(t *testing.T, file string, d *database) *server {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{cancel: cancel, done: make(chan error, 1), log: &lockedBuffer{}}
	go func() {
		s.done <- Serve(ctx, Options{Config: cfg, Data: t.TempDir(), Admin: filepath.Join(filepath.Dir(file), admin.Socket), Stdout: io.Discard, Stderr: s.log, open: d.open})
	}()
	s.wait(t, "listening console")
	s.url = s.at(t, roomIssuer)
	return s
}

// at is where a room listens.
func (s *server) at(t *testing.T, room string) string {
	t.Helper()
	found := regexp.MustCompile(`listening ` + room + ` (\S+)`).FindStringSubmatch(s.log.String())
	if found == nil {
		t.Fatalf("%s does not listen:\n%s", room, s.log)
	}
	return found[1]
}

func fetch(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, readAll(t, resp)
}

func TestAServerWaitsForItsDatabase(t *testing.T) {
	defer goleak.VerifyNone(t)
	secret, d := password.NewSecret(), newDatabase()
	d.fail(errRefused)
	file := remoteConfig(t, secret)
	s := launch(t, file, d)
	defer s.stop(t)
	s.wait(t, "the store cannot be used yet")

	for _, tt := range []struct {
		name, url, holds string
		status           int
	}{
		{"the process lives", s.url + "/.longcase/healthz", `"status":"ok"`, 200},
		{"it is not ready, and says why", s.url + "/.longcase/readyz", `connection refused`, 503},
		{"the issuer, as its clients read it", s.url + "/token", `{"error":"temporarily_unavailable"`, 503},
		{"its key set too", s.url + "/jwks", `temporarily_unavailable`, 503},
		{"the gate, as a problem", s.at(t, roomGate) + "/verify", `"status":503`, 503},
		{"the gate is not ready", s.at(t, roomGate) + "/.longcase/readyz", `connection refused`, 503},
		{"the metrics tell of it", s.at(t, roomConsole) + "/metrics", `longcase_store_up{engine="postgres"} 0.0`, 200},
	} {
		status, header, body := fetch(t, tt.url)
		if status != tt.status || !strings.Contains(body, tt.holds) {
			t.Errorf("%s: %d %s", tt.name, status, body)
		}
		if again := header.Get("Retry-After"); (again == "") == (status == 503 && !strings.Contains(tt.url, "readyz")) {
			t.Errorf("%s: Retry-After %q", tt.name, again)
		}
	}
	if _, err := admin.Dial(filepath.Join(filepath.Dir(file), admin.Socket)).KeysList(t.Context()); err == nil || !strings.Contains(err.Error(), "waits for its store") {
		t.Errorf("administration says %v", err)
	}
	for d.opened.Load() < 4 {
		time.Sleep(10 * time.Millisecond)
	}
	if n := strings.Count(s.log.String(), "the store cannot be used yet"); n != 1 || strings.Contains(s.log.String(), "ready\n") {
		t.Errorf("told %d times after %d tries:\n%s", n, d.opened.Load(), s.log)
	}
	d.fail(nil)
	s.wait(t, "\nready\n")
	if got := s.ask(t, "a", secret); got != http.StatusOK {
		t.Errorf("then a token: %d", got)
	}
	if status, _, body := fetch(t, s.at(t, roomConsole)+"/metrics"); status != 200 || !strings.Contains(body, `longcase_store_up{engine="postgres"} 1.0`) {
		t.Errorf("the metrics: %d %s", status, body)
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("the log has the password:\n%s", s.log)
	}
}

func TestAServerWaitsForTheEndOfACopy(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := newDatabase()
	page := func(text string, old uint64) {
		t.Helper()
		if err := d.engine.Registry().Put(t.Context(), move.Key, []byte(text), old); err != nil {
			t.Fatal(err)
		}
	}
	page(`{"id":"a","from":"longcase-data","began":"2026-11-22T00:00:00Z"}`, 0)
	s := launch(t, remoteConfig(t, password.NewSecret()), d)
	defer s.stop(t)
	s.wait(t, "half-finished copy of longcase-data")
	if entries, err := d.engine.Registry().List(t.Context(), ""); err != nil || len(entries) != 1 {
		t.Errorf("the waiting server left %v, %v in the registry", entries, err)
	}
	page(`{"id":"a","from":"longcase-data","began":"2026-11-22T00:00:00Z","finished":"2026-11-22T00:01:00Z"}`, 1)
	s.wait(t, "\nready\n")
}

// The ring is changed by the clock: one that is wrong would publish and drop keys
// for every node.
func TestANodeWithAWrongClockChangesNoKeys(t *testing.T) {
	defer goleak.VerifyNone(t)
	secret, d := password.NewSecret(), newDatabase()
	d.ahead.Store(int64(10 * time.Minute))
	s := launch(t, remoteConfig(t, secret), d)
	defer s.stop(t)
	s.wait(t, "\nready\n")
	if status, _, body := fetch(t, s.url+"/.longcase/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "behind the store's") {
		t.Errorf("readyz: %d %s", status, body)
	}
	time.Sleep(1500 * time.Millisecond) // it tries again each second
	if entries, err := d.engine.Registry().List(t.Context(), ""); err != nil || len(entries) != 0 {
		t.Errorf("it left %v, %v in the registry", entries, err)
	}
	if n := strings.Count(s.log.String(), "timeline cannot be kept"); n > 1 {
		t.Errorf("told %d times:\n%s", n, s.log)
	}
	d.ahead.Store(0)
	for end := time.Now().Add(10 * time.Second); s.ask(t, "a", secret) != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no token when the clock is right:\n%s", s.log)
		}
	}
}

func TestADiskWithoutRoomIsWaitedFor(t *testing.T) {
	defer goleak.VerifyNone(t)
	secret, d := password.NewSecret(), newDatabase()
	d.fail(fmt.Errorf("the disk is full: %w", store.ErrUnavailable))
	file := remoteConfig(t, secret)
	write(t, file, strings.Replace(mustRead(t, file), `"postgres://u:hunter2@127.0.0.1:1/longcase"`, "data", 1), 0o600)
	s := launch(t, file, d)
	defer s.stop(t)
	s.wait(t, "the disk is full")
	if status, _, body := fetch(t, s.url+"/.longcase/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "the disk is full") {
		t.Errorf("readyz: %d %s", status, body)
	}
	d.fail(nil)
	s.wait(t, "\nready\n")
	if got := s.ask(t, "a", secret); got != http.StatusOK {
		t.Errorf("then a token: %d", got)
	}
}

func TestWaitingEndsWithTheServer(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := newDatabase()
	d.fail(errRefused)
	s := launch(t, remoteConfig(t, password.NewSecret()), d)
	s.wait(t, "the store cannot be used yet")
	s.stop(t)
}

func TestWhatDoesNotPassEndsTheWait(t *testing.T) {
	for name, says := range map[string]error{
		"a schema of a newer version": fmt.Errorf("%w: version 9", store.ErrSchema),
		"a password that is refused":  errors.New("postgres: password authentication failed"),
		"a file that is not there":    fmt.Errorf("%w: data: ca.pem is missing", ErrConfig),
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			d := newDatabase()
			d.fail(errRefused)
			s := launch(t, remoteConfig(t, password.NewSecret()), d)
			s.wait(t, "the store cannot be used yet")
			d.fail(says)
			err := <-s.done
			if !errors.Is(err, says) || errors.Is(err, ErrConfig) != errors.Is(says, ErrConfig) {
				t.Errorf("Serve = %v, want %v as it is", err, says)
			}
		})
	}
}

func TestReadyzFollowsTheStore(t *testing.T) {
	secret, d := password.NewSecret(), newDatabase()
	file := remoteConfig(t, secret)
	s := launch(t, file, d)
	defer s.stop(t)
	s.wait(t, "\nready\n")
	ready := func(status int, holds string) {
		t.Helper()
		got, _, body := fetch(t, s.url+"/.longcase/readyz")
		if got != status || !strings.Contains(body, holds) {
			t.Errorf("readyz: %d %s, want %d with %q", got, body, status, holds)
		}
	}
	ready(200, `"store":"ok"`)
	d.fail(errRefused)
	for range 3 {
		ready(503, "connection refused")
	}
	d.fail(fmt.Errorf("clock: %w", context.DeadlineExceeded))
	ready(503, "no answer within 5s")
	d.fail(nil)
	ready(200, `"store":"ok"`)
	if log := s.log.String(); strings.Count(log, "the store cannot be reached;") != 1 || strings.Count(log, "the store can be reached again") != 1 {
		t.Errorf("lost and found, each told once:\n%s", log)
	}
	if err := d.engine.SetReadOnly(t.Context(), "moving to cassandra"); err != nil {
		t.Fatal(err)
	}
	ready(503, "read only: moving to cassandra")
	if err := d.engine.SetReadOnly(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	ready(200, `"store":"ok"`)

	cfg := strings.Replace(mustRead(t, file), "127.0.0.1:1/longcase", "127.0.0.1:1/other", 1)
	write(t, file, cfg, 0o600)
	s.hangup(t, "not reloaded, nothing changed")
	if log := s.log.String(); !strings.Contains(log, "data changed: restart to use it") || strings.Contains(log, "hunter2") {
		t.Errorf("another database in the file:\n%s", log)
	}
}

func TestAClockThatIsFarFromTheStoresSaysByHowMuch(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name  string
		ahead time.Duration // of this host
		took  time.Duration // to ask
		says  string
	}{
		{"together", 0, 0, ""},
		{"5 s ahead", 5 * time.Second, 0, ""},
		{"a little more", 5*time.Second + time.Millisecond, 0, "5.001s ahead of the store's"},
		{"10 minutes behind", -10 * time.Minute, 0, "10m0s behind the store's"},
		{"a slow answer is no clock", -6 * time.Second, 3 * time.Second, ""},
		{"nor does it hide one", -9 * time.Second, 3 * time.Second, "6s behind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := start.Add(tt.ahead)
			err := clockError(asked, asked.Add(tt.took), start)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("clockError = %v, want %q", err, tt.says)
			}
		})
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
