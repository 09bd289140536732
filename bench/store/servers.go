package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Servers begins servers by the scripts of the repository.
type Servers struct {
	Root string // of the repository
	Dir  string // on the disk to measure; who runs a server must be able to enter it
}

// address is of a Cassandra that is in nobody's way.
const address = "127.0.0.98"

// Postgres starts one as Debian sets it up.
func (s Servers) Postgres(ctx context.Context) (p Postgres, stop func() error, err error) {
	port, err := freePort()
	if err != nil {
		return p, nil, err
	}
	dir := filepath.Join(s.Dir, "postgres")
	out, stop, err := s.start(ctx, "postgres", dir, port)
	return Postgres{URL: out, Dir: filepath.Join(dir, "data")}, stop, err
}

// Cassandra starts one node, which writes its commit log to the disk once a
// second, and returns its address.
func (s Servers) Cassandra(ctx context.Context) (host string, stop func() error, err error) {
	_, stop, err = s.start(ctx, "cassandra/cassandra", filepath.Join(s.Dir, "cassandra"), address)
	return address, stop, err
}

// start installs what is missing, starts the server and returns what the script
// says of it. stop does its work even when ctx has ended.
func (s Servers) start(ctx context.Context, script, dir, at string) (out string, stop func() error, err error) {
	path := filepath.Join(s.Root, "servers", script)
	stop = func() error { return run(context.WithoutCancel(ctx), path, "stop", dir) }
	if err := run(ctx, path, "setup"); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, path, "start", dir, at)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("%s start: %w", path, err), stop())
	}
	return strings.TrimSpace(string(text)), stop, nil
}

func run(ctx context.Context, path string, args ...string) error {
	if out, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, out)
	}
	return nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
