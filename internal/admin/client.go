package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// maxAnswer bounds one answer of the server, in bytes.
const maxAnswer = 16 << 20

// timeout bounds one question: administration is answered at once or not at
// all. Ending every session of somebody may take its time.
const (
	timeout = 30 * time.Second
	patient = time.Hour
)

// Caller asks a running server over its socket. Make one with Dial.
type Caller struct {
	socket string
	http   *http.Client
}

// Dial returns a Caller for the socket. It does no I/O: a server that is not
// running shows as ErrDown at the first question.
func Dial(socket string) *Caller {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, release, err := shortPath(socket)
		if err != nil {
			return nil, err
		}
		defer release()
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Caller{socket: socket, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// ClientList returns every client, those of the file first.
func (c *Caller) ClientList(ctx context.Context) (ClientList, error) {
	return ask[ClientList](ctx, c, PathClientList, struct{}{})
}

// ClientShow returns one client or ErrNotFound.
func (c *Caller) ClientShow(ctx context.Context, id string) (Client, error) {
	return ask[Client](ctx, c, PathClientShow, ClientID{ID: id})
}

// ClientAdd keeps a client in the registry, or returns ErrConflict.
func (c *Caller) ClientAdd(ctx context.Context, n NewClient) (Client, error) {
	return ask[Client](ctx, c, PathClientAdd, n)
}

// ClientRemove forgets a client of the registry, or returns ErrNotFound, or
// ErrConflict if the file names it.
func (c *Caller) ClientRemove(ctx context.Context, id string) error {
	_, err := ask[struct{}](ctx, c, PathClientRemove, ClientID{ID: id})
	return err
}

// SessionList returns one page of live sessions.
func (c *Caller) SessionList(ctx context.Context, f SessionFilter) (SessionPage, error) {
	return ask[SessionPage](ctx, c, PathSessionList, f)
}

// SessionRevoke ends sessions early. The server goes on when ctx ends.
func (c *Caller) SessionRevoke(ctx context.Context, r SessionRevoke) (SessionsEnded, error) {
	return ask[SessionsEnded](ctx, c, PathSessionRevoke, r)
}

// KeysList returns the ring.
func (c *Caller) KeysList(ctx context.Context) (KeyList, error) {
	return ask[KeyList](ctx, c, PathKeysList, struct{}{})
}

// KeysRotate publishes a successor, or returns ErrWaiting while one waits.
func (c *Caller) KeysRotate(ctx context.Context, algorithm string) (Key, error) {
	return ask[Key](ctx, c, PathKeysRotate, KeyRotate{Algorithm: algorithm})
}

// KeysRevoke takes a key out of the set at once and returns the ring.
func (c *Caller) KeysRevoke(ctx context.Context, kid string) (KeyList, error) {
	return ask[KeyList](ctx, c, PathKeysRevoke, KeyID{ID: kid})
}

// StoreBackup copies the embedded store to dir, an absolute path on the
// server's machine, while it serves. ErrInvalid if the store is a database.
func (c *Caller) StoreBackup(ctx context.Context, dir string) error {
	_, err := ask[struct{}](ctx, c, PathStoreBackup, Backup{Dir: dir})
	return err
}

// ask posts one question and reads one answer.
func ask[T any](ctx context.Context, c *Caller, path string, question any) (answer T, err error) {
	body, err := json.Marshal(question)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(path))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://longcase"+path, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return answer, c.unreachable(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer, fmt.Errorf("%s: %w", c.socket, err)
	}
	if resp.StatusCode != http.StatusOK {
		return answer, refusal(resp.StatusCode, data)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, fmt.Errorf("%s: the answer is not of this version: %w", c.socket, err)
	}
	return answer, nil
}

func patience(path string) time.Duration {
	switch path {
	case PathSessionRevoke, PathClientRemove, PathStoreBackup:
		return patient
	default:
		return timeout
	}
}

// unreachable says why nobody answered on the socket.
func (c *Caller) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s", ErrDown, c.socket)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %s belongs to another user", ErrDenied, c.socket)
	default:
		return fmt.Errorf("%s: %w", c.socket, err)
	}
}

// statuses is read only.
var statuses = map[int]error{
	http.StatusBadRequest: ErrInvalid,
	http.StatusForbidden:  ErrDenied,
	http.StatusNotFound:   ErrNotFound,
	http.StatusConflict:   ErrConflict,
	http.StatusTooEarly:   ErrWaiting,
}

// Status returns the HTTP status that says err, 500 if none does.
func Status(err error) int {
	for status, e := range statuses {
		if errors.Is(err, e) {
			return status
		}
	}
	return http.StatusInternalServerError
}

// Refusal is an answer that is no, in the server's words.
type Refusal struct {
	Words string
	Is    error // one of the errors above, or nil
}

func (r *Refusal) Error() string { return r.Words }

// Unwrap makes errors.Is find which answer it is.
func (r *Refusal) Unwrap() error { return r.Is }

func refusal(status int, body []byte) error {
	var f Failure
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		f.Error = fmt.Sprintf("the server answered %d", status)
	}
	return &Refusal{Words: f.Error, Is: statuses[status]}
}
