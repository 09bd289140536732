package e2e

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/clock"
	"github.com/longcase/longcase/verify/skew"
)

// chronyd starts Debian's chronyd, which leaves this host's clock alone (-x) and
// lives by one that is ahead, and returns the directory of its command socket.
func chronyd(t *testing.T, ahead time.Duration, lines ...string) string {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/chronyd")
	if err != nil {
		t.Fatal("chronyd is not installed: run e2e/setup")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "longcase-chrony-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o770); err != nil { // chronyd insists
		t.Fatal(err)
	}
	file := filepath.Join(dir, "chrony.conf")
	lines = append(lines, "pidfile "+filepath.Join(dir, "pid"), "bindcmdaddress "+filepath.Join(dir, "chronyd.sock"))
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-x", "-U", "-u", me.Username, "-d", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	shift(t, cmd, ahead)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("chronyd:\n%s", &log)
		}
	})
	return dir
}

// udp is an address of this host at which nobody listens yet.
func udp(t *testing.T) (address, port string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, port, _ = net.SplitHostPort(conn.LocalAddr().String())
	return conn.LocalAddr().String(), port
}

// timeServer is a chronyd that serves its time, ahead of this host's.
func timeServer(t *testing.T, ahead time.Duration) (address string) {
	t.Helper()
	address, port := udp(t)
	chronyd(t, ahead, "port "+port, "cmdport 0", "bindaddress 127.0.0.1", "local stratum 8", "allow 127.0.0.1")
	return address
}

// readClock asks until what is known of this host's clock is as wanted.
func readClock(t *testing.T, cfg clock.Config, good func(*skew.Host) bool) skew.Host {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	watch, err := clock.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var got *skew.Host
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = watch.Read(t.Context()); got != nil && good(got) {
			return *got
		}
	}
	t.Fatalf("after %s this host's clock is %+v", patience, got)
	return skew.Host{}
}

func near(h skew.Host, ahead time.Duration) bool {
	return !h.Unsynchronised && (h.Offset-ahead).Abs() <= h.Bound+20*time.Millisecond && h.Bound < time.Second
}

func TestSNTPToARealServerNamesThisHostsClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 21 * time.Second, -300 * time.Second} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			t.Parallel()
			server := timeServer(t, ahead)
			nobody, _ := udp(t)
			from := func(h *skew.Host) bool { return h.Source == "ntp "+server }
			if got := readClock(t, clock.Config{NTP: []string{server}, Chrony: nobody}, from); !near(got, -ahead) {
				t.Errorf("a server that is %v ahead makes this host %+v", ahead, got)
			}
		})
	}
}

// One of three servers is 21 s fast: the other two are believed.
func TestTheMedianOfRealServersIsBelieved(t *testing.T) {
	t.Parallel()
	servers := []string{timeServer(t, 21*time.Second), timeServer(t, 0), timeServer(t, 0)}
	nobody, _ := udp(t)
	from := func(h *skew.Host) bool { return h.Source == "ntp "+servers[1] || h.Source == "ntp "+servers[2] }
	if got := readClock(t, clock.Config{NTP: servers, Chrony: nobody}, from); !near(got, 0) {
		t.Errorf("this host is %+v", got)
	}
}

// A chronyd that follows a server 21 s ahead, and may not set the clock, tells
// by its command protocol that this host is 21 s behind.
func TestChronydTellsThisHostsClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 21 * time.Second} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			t.Parallel()
			host, port, _ := net.SplitHostPort(timeServer(t, ahead))
			address, command := udp(t)
			dir := chronyd(t, 0, "port 0", "cmdport "+command, "bindcmdaddress 127.0.0.1",
				"server "+host+" port "+port+" iburst minpoll 0 maxpoll 0")
			for _, place := range []string{address, filepath.Join(dir, "chronyd.sock")} {
				synchronised := func(h *skew.Host) bool { // its bound shrinks with each answer of the server
					return h.Source == "chrony" && !h.Unsynchronised && h.Bound < time.Second
				}
				if got := readClock(t, clock.Config{Chrony: place}, synchronised); !near(got, -ahead) {
					t.Errorf("%s: a server that is %v ahead makes this host %+v", place, ahead, got)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "longcase.*")); len(left) > 0 {
				t.Errorf("left beside chronyd's socket: %v", left)
			}
		})
	}
}

func TestAChronydWithoutAServerIsNotSynchronised(t *testing.T) {
	t.Parallel()
	address, command := udp(t)
	chronyd(t, 0, "port 0", "cmdport "+command, "bindcmdaddress 127.0.0.1")
	told := func(h *skew.Host) bool { return h.Source == "chrony" }
	if got := readClock(t, clock.Config{Chrony: address}, told); !got.Unsynchronised {
		t.Errorf("this host is %+v", got)
	}
}

// What is measured here says which of two clocks is wrong: the issuer's Date
// agrees with true time, this host is 21 s behind.
func TestARealServerSaysThatTheFaultIsHere(t *testing.T) {
	t.Parallel()
	const issuer = "https://tokens.example.com"
	server := timeServer(t, 21*time.Second)
	host := readClock(t, clock.Config{NTP: []string{server}}, func(h *skew.Host) bool { return h.Source == "ntp "+server })
	book, now := skew.New(), time.Now()
	book.SetHost(&host, now)
	book.Date(issuer, now, now, now.Add(21*time.Second).Truncate(time.Second))
	said := book.Sentence(issuer, now)
	if !strings.Contains(said, "this host's own clock is 21 s behind NTP (ntp "+server+"): check NTP here") || strings.Contains(said, "there") {
		t.Errorf("%s", said)
	}
}
