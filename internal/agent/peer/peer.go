// Package peer asks the kernel whose process is at the other end of a
// connection on this machine.
//
// A Unix socket names its peer (SO_PEERCRED). A TCP connection does not, but
// both of its ends are sockets of this machine: the peer's is the one with the
// two addresses swapped, and the kernel knows whose it is (sock_diag(7), or
// /proc/net/tcp where that is not available).
//
// What it means, and what not: the uid is that of the process that made the
// socket, in this process's user namespace (one that is not mapped there is
// 65534). Loopback ends at the network namespace, so a container with its own
// reaches nobody; one that shares the host's is told apart by uid alone, and its
// root is root unless it has a user namespace. A forwarder (docker-proxy, ssh -L,
// socat, kubectl port-forward) is the peer of what it forwards: its uid says
// nothing about who stands behind it.
package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrUnknown says that the kernel knows no process at the other end: it is not
// on this machine or in this network namespace, or it has closed its socket.
var ErrUnknown = errors.New("the process at the other end of the connection cannot be identified")

// UID returns the uid at the other end of c, a Unix or TCP connection. Ask once,
// when the connection is new.
func UID(c net.Conn) (uint32, error) {
	switch c := c.(type) {
	case *net.UnixConn:
		return unixUID(c)
	case *net.TCPConn:
		return tcpUID(c)
	case interface{ NetConn() net.Conn }: // *tls.Conn
		return UID(c.NetConn())
	}
	return 0, fmt.Errorf("%w: %T is neither a Unix nor a TCP connection", ErrUnknown, c)
}

func unixUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return cred.Uid, nil
}

// pair is the two addresses of a socket as its owner sees them.
type pair struct{ local, remote netip.AddrPort }

// tcpUID looks for the peer's socket. The fall-back is asked whenever the kernel
// does not answer, "not found" included: without the inet_diag module that is
// all it says.
func tcpUID(c *net.TCPConn) (uint32, error) {
	theirs, err := swapped(c)
	if err != nil {
		return 0, err
	}
	uid, err := askKernel(theirs)
	if err == nil {
		return uid, nil
	}
	uid, slow := scanTables("/proc/net", theirs)
	if slow != nil {
		return 0, fmt.Errorf("%w (sock_diag: %w; /proc/net: %w)", ErrUnknown, err, slow)
	}
	return uid, nil
}

// swapped is c as its peer sees it.
func swapped(c *net.TCPConn) (pair, error) {
	us, ok1 := c.LocalAddr().(*net.TCPAddr)
	them, ok2 := c.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return pair{}, fmt.Errorf("%w: the connection has no addresses", ErrUnknown)
	}
	p := pair{local: plain(them.AddrPort()), remote: plain(us.AddrPort())}
	if !p.local.IsValid() || !p.remote.IsValid() || p.local.Addr().Is4() != p.remote.Addr().Is4() {
		return pair{}, fmt.Errorf("%w: %s and %s are no pair", ErrUnknown, p.local, p.remote)
	}
	return p, nil
}

// plain is the one spelling of an address: IPv4 where it is IPv4, no zone.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
