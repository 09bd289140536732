package peer

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// scanTables looks for the socket in dir/tcp and dir/tcp6 (proc_net(5)); an
// IPv6 socket may hold an IPv4 connection.
func scanTables(dir string, want pair) (uint32, error) {
	var wrong []error
	for _, name := range []string{"tcp", "tcp6"} {
		uid, err := scanTable(filepath.Join(dir, name), want)
		if err == nil {
			return uid, nil
		}
		wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
	}
	return 0, errors.Join(wrong...)
}

func scanTable(path string, want pair) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return scan(f, want)
}

func scan(r io.Reader, want pair) (uint32, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s, err := parseLine(lines.Text())
		if err != nil {
			continue // the heading
		}
		if uid, err := s.owner(want); err == nil {
			return uid, nil
		}
	}
	return 0, errors.Join(errNotFound, lines.Err())
}

var errLine = errors.New("not a line of /proc/net/tcp")

// parseLine reads: number, local, remote, state, queues, timer, retransmits, uid,
// timeout, inode.
func parseLine(line string) (socket, error) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return socket{}, errLine
	}
	local, err1 := parseAddr(f[1])
	remote, err2 := parseAddr(f[2])
	state, err3 := strconv.ParseUint(f[3], 16, 8)
	uid, err4 := strconv.ParseUint(f[7], 10, 32)
	inode, err5 := strconv.ParseUint(f[9], 10, 64)
	if errors.Join(err1, err2, err3, err4, err5) != nil {
		return socket{}, errLine
	}
	return socket{pair{local, remote}, uint8(state), uint32(uid), inode}, nil
}

// parseAddr reads ADDRESS:PORT in hexadecimal; the address is words of 32 bits
// in the machine's order.
func parseAddr(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	words, err := hex.DecodeString(host)
	if err != nil || (len(words) != 4 && len(words) != 16) {
		return netip.AddrPort{}, errLine
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, errLine
	}
	b := make([]byte, 0, 16)
	for ; len(words) > 0; words = words[4:] {
		b = binary.BigEndian.AppendUint32(b, binary.NativeEndian.Uint32(words))
	}
	a, _ := netip.AddrFromSlice(b)
	return plain(netip.AddrPortFrom(a, uint16(p))), nil
}
