package app

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestASocketIsForEveryoneAndNothingElseIs(t *testing.T) {
	dir := t.TempDir()
	socket, secret, link := filepath.Join(dir, "s"), filepath.Join(dir, "secret"), filepath.Join(dir, "link")
	ln, err := listenAt("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	write(t, secret, "hush", 0o600)
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{secret, link} {
		if err := openSocket(path); err == nil {
			t.Errorf("%s is taken for a socket", filepath.Base(path))
		}
	}
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("what stood in the socket's place: %v, %v", info, err)
	}
}
