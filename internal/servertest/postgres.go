package servertest

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Postgres is one PostgreSQL on loopback with a directory of its own.
type Postgres struct {
	Dir  string
	Port int

	tb     testing.TB
	script string
	p      *process
}

// StartPostgres starts one that ends with the test. Options are added to the
// server's command line ("-c name=value").
func StartPostgres(tb testing.TB, options string) *Postgres {
	tb.Helper()
	path, err := script("postgres")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Postgres{Dir: tempDir(tb), Port: freePort(tb), tb: tb, script: path}
	s.p = &process{
		args: []string{path, "run", s.Dir, strconv.Itoa(s.Port)}, env: []string{"LONGCASE_PG_OPTIONS=" + options},
		log: filepath.Join(s.Dir, "server.log"),
	}
	tb.Cleanup(func() { s.Kill() })
	s.Start()
	return s
}

// URL is that of database name, which CreateDatabase made; "postgres" is always
// there.
func (s *Postgres) URL(name string) string {
	return fmt.Sprintf("postgres://longcase@%s/%s", s.Address(), name)
}

// Address is host and port.
func (s *Postgres) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// CreateDatabase makes a database and returns its URL.
func (s *Postgres) CreateDatabase(name string) string {
	s.tb.Helper()
	s.psql("create database " + strconv.Quote(name))
	return s.URL(name)
}

// psql returns what it prints.
func (s *Postgres) psql(sql string) string {
	s.tb.Helper()
	out, err := exec.Command("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", s.URL("postgres"), "-c", sql).CombinedOutput()
	if err != nil {
		s.tb.Fatalf("psql %s: %v: %s", sql, err, out)
	}
	return string(out)
}

// Start starts it again after Stop or Kill, and waits until it answers.
func (s *Postgres) Start() {
	s.tb.Helper()
	if err := s.p.start(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.p.wait("PostgreSQL", time.Minute, s.answers); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *Postgres) answers() bool {
	return exec.Command("psql", "-qAtX", s.URL("postgres"), "-c", "select 1").Run() == nil
}

// Stop ends it as an operator does (fast shutdown).
func (s *Postgres) Stop() { s.p.stop(syscall.SIGINT, 30*time.Second) }

// Kill ends every process of it at once (SIGKILL).
func (s *Postgres) Kill() { s.p.stop(syscall.SIGKILL, 0) }

// Pause stops every process of it (SIGSTOP) until Resume.
func (s *Postgres) Pause() { s.p.pause(s.tb) }

// Resume lets it go on.
func (s *Postgres) Resume() { s.p.signal(syscall.SIGCONT) }

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
