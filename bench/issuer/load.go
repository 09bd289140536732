package issuer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

const connections = 8

// load sends request over and over on eight connections for d and returns how
// many answers came. Every answer must be a 200.
func load(address string, request []byte, d time.Duration) (int, error) {
	counts, errs := make([]int, connections), make([]error, connections)
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() { counts[i], errs[i] = drive(address, request, end) })
	}
	all.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum, errors.Join(errs...)
}

func drive(address string, request []byte, end time.Time) (int, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	n := 0
	for ; time.Now().Before(end); n++ {
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		if err := readAnswer(in); err != nil {
			return n, err
		}
	}
	return n, nil
}

// readAnswer reads one HTTP/1.1 answer with a Content-Length and no more, so
// that the loader takes as little of the two cores as it can.
func readAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("the server answers %q", line)
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("the answer has no Content-Length")
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return err
}
