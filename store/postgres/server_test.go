package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// TestAServerThatDiesComesBackWithEveryAcknowledgedWrite kills the server under
// load, again and again. The engine is not opened anew.
func TestAServerThatDiesComesBackWithEveryAcknowledgedWrite(t *testing.T) {
	s := servertest.StartPostgres(t, "")
	e := open(t, Config{URL: s.URL("postgres"), Longest: time.Hour})
	var clients []*client
	var load sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 12 {
		c := &client{e: e, one: created(t, e)}
		clients = append(clients, c)
		load.Go(func() { c.rotate(ctx, t) })
	}
	for range storetest.Count(40) {
		awaitAcks(t, clients)
		s.Kill()
		if _, err := e.Clock(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Clock of a server that is down = %v, want ErrUnavailable", err)
		}
		s.Start()
	}
	awaitAcks(t, clients)
	stop()
	load.Wait()
	for _, c := range clients {
		found, err := e.Sessions().Load(t.Context(), c.one.ID)
		if err != nil || found.Generation != c.one.Generation {
			t.Errorf("generation %d, %v; the client knows of %d", found.Generation, err, c.one.Generation)
		}
	}
}

// client rotates one session as an issuer does: an unknown outcome is looked up.
type client struct {
	e    *Engine
	one  store.Session
	acks atomic.Int64
}

func (c *client) rotate(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		switch err := c.e.Sessions().Replace(t.Context(), rotated(c.one), c.one.Generation); {
		case err == nil:
			c.one = rotated(c.one)
			c.acks.Add(1)
		case errors.Is(err, store.ErrUnknown):
			c.look(t)
		case errors.Is(err, store.ErrUnavailable):
			time.Sleep(10 * time.Millisecond)
		default:
			t.Errorf("Replace = %v", err)
			return
		}
	}
}

// look finds out what became of a rotation: it is written or not, nothing else.
func (c *client) look(t *testing.T) {
	for {
		found, err := c.e.Sessions().Load(t.Context(), c.one.ID)
		switch {
		case errors.Is(err, store.ErrUnavailable):
			time.Sleep(10 * time.Millisecond)
			continue
		case err != nil || found.Generation != c.one.Generation && found.Generation != c.one.Generation+1:
			t.Errorf("Load = generation %d, %v; the client knows of %d", found.Generation, err, c.one.Generation)
		default:
			c.one.Generation = found.Generation
		}
		return
	}
}

// awaitAcks waits until every client has had some more writes acknowledged.
func awaitAcks(t *testing.T, clients []*client) {
	t.Helper()
	for _, c := range clients {
		was := c.acks.Load()
		for end := time.Now().Add(time.Minute); c.acks.Load() < was+3; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("no write is acknowledged")
			}
		}
	}
}

// TestWhatAServerMayDoToANode is one server that is down, stands still, is no
// longer the primary, shows a certificate and refuses passwords.
func TestWhatAServerMayDoToANode(t *testing.T) {
	s := servertest.StartPostgres(t, "")
	s.Stop()
	if _, err := Open(t.Context(), Config{URL: s.URL("postgres")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open of a server that is down = %v, want ErrUnavailable", err)
	}
	s.Start()
	e := open(t, Config{URL: s.URL("postgres"), Longest: time.Hour})
	t.Run("it stands still", func(t *testing.T) { standsStill(t, s, e) })
	t.Run("it is a standby now", func(t *testing.T) { standby(t, s, e) })
	t.Run("it is a standby and is promoted", func(t *testing.T) { hotStandby(t, s, e) })
	t.Run("it speaks TLS", func(t *testing.T) { speaksTLS(t, s) })
	t.Run("it refuses", func(t *testing.T) { refuses(t, s) })
}

func standsStill(t *testing.T, s *servertest.Postgres, e *Engine) {
	one := created(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	stopped := signalAll(t, s, syscall.SIGSTOP)
	defer resume(stopped)
	var both sync.WaitGroup
	var wrote, read error
	both.Go(func() { wrote = e.Sessions().Replace(ctx, rotated(one), 1) })
	both.Go(func() { _, read = e.Sessions().Load(ctx, one.ID) })
	both.Wait()
	resume(stopped)
	if !errors.Is(wrote, context.DeadlineExceeded) {
		t.Errorf("Replace = %v, want DeadlineExceeded", wrote)
	}
	if !errors.Is(read, context.DeadlineExceeded) || errors.Is(read, store.ErrUnknown) {
		t.Errorf("Load = %v, want DeadlineExceeded", read)
	}
	if _, err := e.Sessions().Load(t.Context(), one.ID); err != nil {
		t.Errorf("Load when it goes on = %v", err)
	}
}

// signalAll signals every process of the server and returns their ids. Each has
// a group of its own.
func signalAll(t *testing.T, s *servertest.Postgres, sig syscall.Signal) (pids []int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	children, err := exec.Command("ps", "-o", "pid=", "--ppid", first).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range append([]string{first}, strings.Fields(string(children))...) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, sig); err == nil { // else it has just ended
			pids = append(pids, pid)
		}
	}
	return pids
}

func resume(pids []int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// TestTheHostThatAnswersIsFound gives two hosts, of which the first takes
// connections and says nothing.
func TestTheHostThatAnswersIsFound(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	both := silent.Addr().String() + "," + server.Address()
	url := strings.Replace(newSchema(t, server), server.Address(), both, 1) + "&connect_timeout=1&sslmode=disable"
	created(t, open(t, Config{URL: url, Longest: time.Hour}))
}

func standby(t *testing.T, s *servertest.Postgres, e *Engine) {
	one := created(t, e)
	setServer(t, s, "default_transaction_read_only = on")
	next := one
	var err error
	for end := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(end); { // until the reload has come round
		if err = e.Sessions().Replace(t.Context(), rotated(next), next.Generation); err == nil {
			next = rotated(next)
		}
	}
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Replace on a standby = %v, want ErrUnavailable", err)
	}
	if _, err := Open(t.Context(), e.cfg); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open of a standby = %v, want ErrUnavailable", err)
	}
	setServer(t, s, "default_transaction_read_only = off")
	for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); {
		err = e.Sessions().Replace(t.Context(), rotated(next), next.Generation)
	}
	if err != nil {
		t.Errorf("Replace on a primary again = %v", err)
	}
}

func refuses(t *testing.T, s *servertest.Postgres) {
	execute(t, s.URL("postgres"), "CREATE ROLE guest LOGIN PASSWORD 'right'")
	hba := filepath.Join(s.Dir, "data", "pg_hba.conf")
	lines := "host all guest 127.0.0.1/32 scram-sha-256\nhost all longcase 127.0.0.1/32 trust\n"
	if err := os.WriteFile(hba, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, s.URL("postgres"), "SELECT pg_reload_conf()")
	wrong := strings.Replace(s.URL("postgres"), "longcase@", "guest:hunter2@", 1)
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err = Open(t.Context(), Config{URL: wrong}); err != nil && strings.Contains(err.Error(), "password") {
			break
		}
	}
	if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), `"guest"`) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Open with a wrong password = %v, want a refusal that names the user and not the password", err)
	}
	if _, err := Open(t.Context(), Config{URL: s.URL("nowhere")}); err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("Open of no database = %v, want a refusal that names it", err)
	}
}

// TestAFullDisk puts the tables on a small file system and fills it.
func TestAFullDisk(t *testing.T) {
	execute(t, server.URL("postgres"), fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", smallDisk(t, 24)))
	clock := handAt(begin)
	execute(t, server.CreateDatabase("small"), "ALTER DATABASE small SET default_tablespace = small")
	t.Cleanup(func() {
		execute(t, server.URL("postgres"), "DROP DATABASE small WITH (FORCE)")
		execute(t, server.URL("postgres"), "DROP TABLESPACE small")
	})
	e := open(t, Config{URL: server.URL("small"), Longest: time.Hour, Now: clock.now})
	one, m := session(begin, time.Hour), store.Mark{Kind: "dpop", Value: "m", End: begin.Add(time.Hour)}
	first, err := e.Marks().First(t.Context(), m)
	if err := errors.Join(err, e.Sessions().Create(t.Context(), one)); err != nil || !first {
		t.Fatal(first, err)
	}
	fill(t, e)
	wantMarksFull(t, e, clock)
	if err := e.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("Ready on a full disk = %v, want ErrUnavailable and why", err)
	}
	if first, err := e.Marks().First(t.Context(), m); first || err != nil && !errors.Is(err, store.ErrFull) {
		t.Errorf("First of a live mark = %v, %v; want no", first, err)
	}
	if found, err := e.Sessions().Load(t.Context(), one.ID); err != nil || found.Generation != 1 {
		t.Errorf("Load = %+v, %v", found, err)
	}
	clock.advance(2*time.Hour + store.RetireDelay)
	if _, err := e.Retire(t.Context(), clock.now()); err != nil {
		t.Errorf("Retire on a full disk = %v", err)
	}
	if err := e.Ready(t.Context()); err != nil {
		t.Errorf("Ready when there is room again = %v", err)
	}
	m.End = clock.now().Add(time.Minute)
	if first, err := e.Marks().First(t.Context(), m); !first || err != nil {
		t.Errorf("First when there is room again = %v, %v", first, err)
	}
}

// fill writes sessions, large ones first, until none finds room.
func fill(t *testing.T, e *Engine) {
	t.Helper()
	for _, size := range []int{60 << 10, 4 << 10, 100} {
		var err error
		for n := 0; err == nil && n < 5000; n++ {
			one := session(begin, 59*time.Minute)
			one.Data = make([]byte, size)
			rand.Read(one.Data)
			err = e.Sessions().Create(t.Context(), one)
		}
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "disk is full") {
			t.Fatalf("Create of %d bytes on a full disk = %v, want ErrUnavailable and why", size, err)
		}
	}
}

func wantMarksFull(t *testing.T, e *Engine, clock *hand) {
	t.Helper()
	var err error
	for n := 0; err == nil && n < 20_000; n++ {
		_, err = e.Marks().First(t.Context(), store.Mark{Kind: "dpop", Value: fmt.Sprint("fill", n), End: clock.now().Add(time.Hour)})
	}
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("First on a full disk = %v, want ErrFull", err)
	}
}

// smallDisk mounts a file system of so many MiB that the server owns.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "longcase-small-")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := exec.Command("stat", "-c", "uid=%u,gid=%g", filepath.Join(server.Dir, "data")).Output()
	if err != nil {
		t.Fatal(err)
	}
	asRoot(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=700,%s", mib, strings.TrimSpace(string(owner))), "tmpfs", dir)
	t.Cleanup(func() {
		asRoot(t, "umount", dir)
		_ = os.Remove(dir)
	})
	return dir
}

// asRoot runs a command with the rights that mounting needs.
func asRoot(t *testing.T, command ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		command = append([]string{"sudo", "-n"}, command...)
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}
