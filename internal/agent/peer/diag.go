package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes and places in struct inet_diag_req_v2 and struct inet_diag_msg
// (linux/inet_diag.h).
const (
	reqSize    = 56
	msgSize    = 72
	noCookie   = 0xffffffff
	kernelWait = time.Second
)

var errNotFound = errors.New("no such socket")

// socket is what the kernel says of one TCP socket.
type socket struct {
	pair
	state uint8  // TCP_ESTABLISHED is 1
	uid   uint32 // of its maker; 0 also where nobody holds it
	inode uint64 // 0: no process holds it (TIME_WAIT, SYN_RECV, closed)
}

// owner is the uid of a socket that is exactly want and that a process holds.
// Without a holder the kernel says uid 0, which would be root.
func (s socket) owner(want pair) (uint32, error) {
	if s.pair != want || s.inode == 0 || s.state == unix.BPF_TCP_LISTEN {
		return 0, errNotFound
	}
	return s.uid, nil
}

// askKernel looks one socket up by its two addresses (NETLINK_SOCK_DIAG).
func askKernel(want pair) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	wait := unix.NsecToTimeval(kernelWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return 0, err
	}
	if err := unix.Sendto(fd, request(want), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var buf [1024]byte
	n, from, err := unix.Recvfrom(fd, buf[:], 0)
	if err != nil {
		return 0, err
	}
	if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
		return 0, errors.New("the answer is not the kernel's")
	}
	s, err := parseAnswer(buf[:n])
	if err != nil {
		return 0, err
	}
	return s.owner(want)
}

// request is a netlink message that asks for the socket of want.
func request(want pair) []byte {
	b := make([]byte, 0, unix.NLMSG_HDRLEN+reqSize)
	b = binary.NativeEndian.AppendUint32(b, unix.NLMSG_HDRLEN+reqSize)
	b = binary.NativeEndian.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, 1) // sequence
	b = binary.NativeEndian.AppendUint32(b, 0) // port: the kernel's
	family := byte(unix.AF_INET6)
	if want.local.Addr().Is4() {
		family = unix.AF_INET
	}
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 0xffffffff) // every state
	b = binary.BigEndian.AppendUint16(b, want.local.Port())
	b = binary.BigEndian.AppendUint16(b, want.remote.Port())
	b = appendAddr(b, want.local.Addr())
	b = appendAddr(b, want.remote.Addr())
	b = binary.NativeEndian.AppendUint32(b, 0) // any interface
	b = binary.NativeEndian.AppendUint32(b, noCookie)
	return binary.NativeEndian.AppendUint32(b, noCookie)
}

// appendAddr writes an address in 16 bytes, an IPv4 one in the first four.
func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, a.AsSlice()...)
	return append(b, make([]byte, 16-a.BitLen()/8)...)
}

// parseAnswer reads one netlink message with a struct inet_diag_msg.
func parseAnswer(b []byte) (socket, error) {
	if len(b) < unix.NLMSG_HDRLEN+4 {
		return socket{}, errors.New("the kernel's answer is too short")
	}
	body := b[unix.NLMSG_HDRLEN:]
	switch kind := binary.NativeEndian.Uint16(b[4:]); {
	case kind == unix.NLMSG_ERROR:
		return socket{}, fmt.Errorf("%w: %w", errNotFound, unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
	case kind != unix.SOCK_DIAG_BY_FAMILY || len(body) < msgSize:
		return socket{}, fmt.Errorf("the kernel answers with a message of kind %d and %d bytes", kind, len(body))
	}
	local, ok1 := addrOf(body[0], body[8:24])
	remote, ok2 := addrOf(body[0], body[24:40])
	if !ok1 || !ok2 {
		return socket{}, fmt.Errorf("the kernel answers with address family %d", body[0])
	}
	return socket{
		pair: pair{
			local:  plain(netip.AddrPortFrom(local, binary.BigEndian.Uint16(body[4:]))),
			remote: plain(netip.AddrPortFrom(remote, binary.BigEndian.Uint16(body[6:]))),
		},
		state: body[1],
		uid:   binary.NativeEndian.Uint32(body[64:]),
		inode: uint64(binary.NativeEndian.Uint32(body[68:])),
	}, nil
}

func addrOf(family byte, b []byte) (netip.Addr, bool) {
	switch family {
	case unix.AF_INET:
		return netip.AddrFromSlice(b[:4])
	case unix.AF_INET6:
		return netip.AddrFromSlice(b[:16])
	}
	return netip.Addr{}, false
}
