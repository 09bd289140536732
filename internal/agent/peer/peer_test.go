package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const (
	child  = "LONGCASE_TEST_DIAL" // network and address that a child process connects to
	nobody = 65534
)

func TestMain(m *testing.M) {
	if where := os.Getenv(child); where != "" {
		os.Exit(dialAndWait(where))
	}
	goleak.VerifyTestMain(m)
}

// dialAndWait connects, sends a byte, and stays until its input ends.
func dialAndWait(where string) int {
	network, address, _ := strings.Cut(where, " ")
	c, err := net.Dial(network, address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	_, _ = c.Write([]byte("x"))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// as runs this test's binary as another uid; it dials where.
func as(t *testing.T, uid uint32, where string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts a process of another uid: run it as root, as CI does")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), child+"="+where)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// listen opens a listener; accept returns its next connection.
func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func accept(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ways are both ways to ask about a TCP connection.
var ways = map[string]func(pair) (uint32, error){
	"sock_diag": askKernel,
	"/proc/net": func(p pair) (uint32, error) { return scanTables("/proc/net", p) },
}

func TestTheUidOfAnotherProcessIsFound(t *testing.T) {
	for _, tt := range []struct{ name, network, address string }{
		{"IPv4", "tcp4", "127.0.0.1:0"},
		{"IPv6", "tcp6", "[::1]:0"},
	} {
		for _, uid := range []uint32{0, 1000, nobody} {
			t.Run(fmt.Sprintf("%s of uid %d", tt.name, uid), func(t *testing.T) {
				ln := listen(t, tt.network, tt.address)
				as(t, uid, tt.network+" "+ln.Addr().String())
				c := accept(t, ln)
				if got, err := UID(c); err != nil || got != uid {
					t.Errorf("UID = %d, %v", got, err)
				}
				theirs, err := swapped(c.(*net.TCPConn))
				if err != nil {
					t.Fatal(err)
				}
				for name, way := range ways {
					if got, err := way(theirs); err != nil || got != uid {
						t.Errorf("%s = %d, %v", name, got, err)
					}
				}
			})
		}
	}
}

func TestTheUidAtAUnixSocketIsFound(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	ln := listen(t, "unix", socket)
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	as(t, nobody, "unix "+socket)
	if got, err := UID(accept(t, ln)); err != nil || got != nobody {
		t.Errorf("UID = %d, %v", got, err)
	}
}

// Java and others make IPv6 sockets for everything; the listener sees IPv4.
func TestAnIPv6SocketThatSpeaksIPv4IsFound(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet6{Port: ln.Addr().(*net.TCPAddr).Port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	theirs, err := swapped(accept(t, ln).(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range ways {
		if got, err := way(theirs); err != nil || got != uint32(os.Geteuid()) {
			t.Errorf("%s = %d, %v", name, got, err)
		}
	}
}

// The kernel says uid 0 of a socket that no process holds any more. That is not
// root.
func TestAPeerThatHasClosedIsNobody(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	out := dial(t, "tcp4", ln.Addr().String())
	in := accept(t, ln)
	out.Close()
	one := make([]byte, 1)
	if _, err := in.Read(one); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	check := func(state string) {
		theirs, err := swapped(in.(*net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		for name, way := range ways {
			if got, err := way(theirs); err == nil {
				t.Errorf("%s: %s = %d, want an error", state, name, got)
			}
		}
		if got, err := UID(in); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: UID = %d, %v", state, got, err)
		}
	}
	check("half closed")
	if err := in.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	check("time wait")
}

// A client that sends no more but still reads holds its socket.
func TestAPeerThatSendsNoMoreIsKnown(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	out := dial(t, "tcp4", ln.Addr().String())
	in := accept(t, ln)
	if err := out.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := UID(in); err != nil || got != uint32(os.Geteuid()) {
		t.Errorf("UID = %d, %v", got, err)
	}
}

func TestAnotherSocketIsNotTaken(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	dial(t, "tcp4", ln.Addr().String())
	theirs, err := swapped(accept(t, ln).(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	at := func(a netip.AddrPort, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), port) }
	for name, other := range map[string]pair{
		"another port":     {at(theirs.local, 1), theirs.remote},
		"another server":   {theirs.local, at(theirs.remote, 1)},
		"another address":  {netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), theirs.local.Port()), theirs.remote},
		"another machine":  {netip.MustParseAddrPort("10.0.0.1:4000"), theirs.remote},
		"a listener's end": {theirs.remote, at(theirs.local, 1)},
	} {
		for way, ask := range ways {
			if got, err := ask(other); err == nil {
				t.Errorf("%s, %s: uid %d", name, way, got)
			}
		}
	}
}

func TestWhatIsNoSocketIsUnknown(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := UID(a); !errors.Is(err, ErrUnknown) {
		t.Errorf("UID of a pipe: %v", err)
	}
}

// owner is where uid 0 would be believed of a socket that nobody holds.
func TestOnlyAHeldSocketHasAnOwner(t *testing.T) {
	want := pair{netip.MustParseAddrPort("127.0.0.1:1000"), netip.MustParseAddrPort("127.0.0.1:2000")}
	held := socket{pair: want, state: 1, uid: 7, inode: 9}
	for name, change := range map[string]func(*socket){
		"not held":    func(s *socket) { s.inode = 0 },
		"a listener":  func(s *socket) { s.state = 10 },
		"other local": func(s *socket) { s.local = want.remote },
		"other end":   func(s *socket) { s.remote = want.local },
	} {
		s := held
		change(&s)
		if uid, err := s.owner(want); err == nil {
			t.Errorf("%s: uid %d", name, uid)
		}
	}
	if uid, err := held.owner(want); err != nil || uid != 7 {
		t.Errorf("owner = %d, %v", uid, err)
	}
}

func TestWithoutTablesNobodyIsKnown(t *testing.T) {
	if _, err := scanTables(t.TempDir(), pair{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("scanTables = %v", err)
	}
}

func TestAskingWhileConnectionsComeAndGo(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		for range 200 {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", ln.Addr().String())
			if err != nil {
				done <- err
				return
			}
			_, _ = c.Read(make([]byte, 1)) // until the other end has asked
			c.Close()
		}
		done <- nil
	}()
	for range 200 {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if uid, err := UID(c); err != nil || uid != uint32(os.Geteuid()) {
			t.Errorf("UID = %d, %v", uid, err)
		}
		c.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	want := pair{netip.MustParseAddrPort("127.0.0.1:1000"), netip.MustParseAddrPort("[::1]:2000")}
	f.Add(request(want))
	f.Add(make([]byte, unix.NLMSG_HDRLEN+msgSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseAnswer(b)
		if err != nil && s != (socket{}) {
			t.Errorf("%v and %v", s, err)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("   1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 20 4 30 10 -1")
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode")
	f.Add("   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000001000000:0000 0A 0:0 0:0 0 0 0 1")
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseLine(line)
		if err == nil && (!s.local.IsValid() || !s.remote.IsValid()) {
			t.Errorf("%q is %v", line, s)
		}
	})
}
