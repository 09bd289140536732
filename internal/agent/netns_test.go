package agent

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	namespace = "LONGCASE_TEST_NAMESPACE" // set: this process is alone in a network of its own
	metadata4 = "169.254.169.254:80"
	elsewhere = "10.9.8.7:80"
)

// A metadata service's own address may be an alias of loopback, for clients that
// insist on it. This needs a network namespace, and so root.
func TestTheMetadataServicesOwnAddress(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), namespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v (it is to run as root, as CI does): %s", err, out)
	}
	const want = `169.254.169.254:80 as 169.254.169.254: 200
169.254.169.254:80 as metadata.google.internal: 200
169.254.169.254:80 as localhost: 403
169.254.169.254:80 as evil.example.com: 403
10.9.8.7:80 as 10.9.8.7: 403
`
	if string(out) != want {
		t.Errorf("in a network with the metadata service's address:\n%s, want\n%s", out, want)
	}
}

// alone is that network: loopback with two addresses more.
func alone() error {
	for name, address := range map[string]string{"lo": "", "lo:1": "169.254.169.254", "lo:2": "10.9.8.7"} {
		if err := up(name, address); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	a, err := New(Config{
		Publish: []Publication{{Form: GCEMetadata, Name: "mail", Listen: metadata4, Bearer: someToken}},
		Now:     func() time.Time { return start }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	for _, at := range []string{metadata4, elsewhere} {
		ln, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		s := &http.Server{Handler: a.Handler(metadata4)}
		Bound(s)
		go s.Serve(ln)
	}
	for _, try := range [][2]string{
		{metadata4, "169.254.169.254"}, {metadata4, "metadata.google.internal"}, {metadata4, "localhost"},
		{metadata4, "evil.example.com"}, {elsewhere, "10.9.8.7"},
	} {
		status, err := tokenAt(try[0], try[1])
		if err != nil {
			return err
		}
		fmt.Printf("%s as %s: %d\n", try[0], try[1], status)
	}
	return nil
}

// up gives an interface its address, and turns it on.
func up(name, address string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if address == "" {
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	}
	if err := ifr.SetInet4Addr(net.ParseIP(address).To4()); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, ifr)
}

// tokenAt asks for a token under a name.
func tokenAt(at, host string) (int, error) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\n\r\n", gceDefault+"token", host)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
