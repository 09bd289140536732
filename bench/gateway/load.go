package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

const connections = 8

// patience is how long one answer may take.
const patience = 10 * time.Second

// load sends one request with each token, on eight connections that stay open.
// Every answer must be a 200 with so many bytes: a gateway that finds no site for
// a request may say 200 as well, and nothing else.
func load(address, path string, tokens []string, bytes int) error {
	errs := make([]error, connections)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() { errs[i] = drive(address, path, tokens, i, bytes) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// drive sends every eighth token, from the first on.
func drive(address, path string, tokens []string, first, bytes int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	var out []byte
	for i := first; i < len(tokens); i += connections {
		out = appendRequest(out[:0], path, tokens[i])
		a, err := exchange(conn, in, out)
		if err != nil {
			return err
		}
		if a != (reply{200, bytes}) {
			return fmt.Errorf("request %d is answered with %d and %d bytes", i, a.status, a.bytes)
		}
	}
	return nil
}

// appendRequest writes a request; an empty token leaves Authorization out.
func appendRequest(out []byte, path, raw string) []byte {
	out = append(out, "GET "+path+" HTTP/1.1\r\nHost: api.test\r\n"...)
	if raw != "" {
		out = append(append(append(out, "Authorization: Bearer "...), raw...), "\r\n"...)
	}
	return append(out, "\r\n"...)
}

// reply is what counts of an answer: its status and how long its body is.
type reply struct{ status, bytes int }

func exchange(conn net.Conn, in *bufio.Reader, request []byte) (reply, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	if _, err := conn.Write(request); err != nil {
		return reply{}, err
	}
	return readAnswer(in)
}

// readAnswer reads one HTTP/1.1 answer with a Content-Length and no more, so
// that the load takes as little of the machine as it can.
func readAnswer(in *bufio.Reader) (a reply, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < 12 {
		return a, fmt.Errorf("no status in %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		if len(line) == 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if a.bytes, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return a, err
			}
		}
	}
	_, err = in.Discard(a.bytes)
	return a, err
}

// once sends one request on a connection of its own.
func once(address, path, raw string) (reply, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	return exchange(conn, bufio.NewReader(conn), appendRequest(nil, path, raw))
}
