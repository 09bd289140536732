package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A server that refuses a huge body lingers half a second, so that the peer
// reads the answer.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// table is a desk that keeps the last question and answers as it is told.
type table struct {
	asked any
	err   error
	waits error // what Ready says
}

func (d *table) ClientList(context.Context) (ClientList, error) {
	return ClientList{Clients: []Client{{ID: "a", Grants: []string{"client_credentials"}}}}, d.err
}

func (d *table) ClientShow(_ context.Context, id string) (Client, error) {
	d.asked = id
	return Client{ID: id}, d.err
}

func (d *table) ClientAdd(_ context.Context, n NewClient) (Client, error) {
	d.asked = n
	return Client{ID: n.ID}, d.err
}

func (d *table) ClientRemove(_ context.Context, id string) error { d.asked = id; return d.err }

func (d *table) SessionList(_ context.Context, f SessionFilter) (SessionPage, error) {
	d.asked = f
	return SessionPage{Next: "b"}, d.err
}

func (d *table) SessionRevoke(_ context.Context, r SessionRevoke) (SessionsEnded, error) {
	d.asked = r
	return SessionsEnded{Sessions: 3}, d.err
}

func (d *table) KeysList(context.Context) (KeyList, error) { return KeyList{}, d.err }

func (d *table) KeysRotate(_ context.Context, r KeyRotate) (Key, error) {
	d.asked = r
	return Key{ID: "k"}, d.err
}

func (d *table) KeysRevoke(_ context.Context, k KeyID) (KeyList, error) {
	d.asked = k
	return KeyList{Keys: []Key{{ID: k.ID, State: "revoked"}}}, d.err
}

func (d *table) StoreBackup(_ context.Context, dir string) error {
	d.asked = Backup{Dir: dir}
	return d.err
}

func (d *table) Ready() error { return d.waits }

// open answers on a socket until the test is over.
func open(t *testing.T, d Desk) (*Caller, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), Socket)
	s, err := Listen(socket, d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return Dial(socket), socket
}

func TestEveryQuestionArrivesAsItWasAsked(t *testing.T) {
	d := &table{}
	c, _ := open(t, d)
	ctx := t.Context()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	add := NewClient{ID: "a", SecretHash: "sha256$x", Grants: []string{"g"}, Audiences: []string{"u"}, Scopes: []string{"s"}, RedirectURIs: []string{"r"}}
	tests := []struct {
		name string
		ask  func() (any, error)
		want any // what the desk is asked; then what it answers
		back any
	}{
		{"client list", func() (any, error) { return c.ClientList(ctx) }, nil, ClientList{Clients: []Client{{ID: "a", Grants: []string{"client_credentials"}}}}},
		{"client show", func() (any, error) { return c.ClientShow(ctx, "a") }, "a", Client{ID: "a"}},
		{"client add", func() (any, error) { return c.ClientAdd(ctx, add) }, add, Client{ID: "a"}},
		{"client remove", func() (any, error) { return nil, c.ClientRemove(ctx, "a") }, "a", nil},
		{"session list", func() (any, error) { return c.SessionList(ctx, SessionFilter{Client: "a", Limit: 3}) }, SessionFilter{Client: "a", Limit: 3}, SessionPage{Next: "b"}},
		{"session revoke", func() (any, error) { return c.SessionRevoke(ctx, SessionRevoke{Subject: "s", Before: at}) }, SessionRevoke{Subject: "s", Before: at}, SessionsEnded{Sessions: 3}},
		{"keys list", func() (any, error) { return c.KeysList(ctx) }, nil, KeyList{}},
		{"keys rotate", func() (any, error) { return c.KeysRotate(ctx, "ES384") }, KeyRotate{Algorithm: "ES384"}, Key{ID: "k"}},
		{"store backup", func() (any, error) { return nil, c.StoreBackup(ctx, "/d") }, Backup{Dir: "/d"}, nil},
		{"keys revoke", func() (any, error) { return c.KeysRevoke(ctx, "k") }, KeyID{ID: "k"}, KeyList{Keys: []Key{{ID: "k", State: "revoked"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d.asked = nil
			back, err := tt.ask()
			if err != nil || !reflect.DeepEqual(d.asked, tt.want) || !reflect.DeepEqual(back, tt.back) {
				t.Errorf("asked %+v, answered %+v, %v", d.asked, back, err)
			}
		})
	}
}

func TestANoCrossesTheSocketWithItsWords(t *testing.T) {
	d := &table{}
	c, _ := open(t, d)
	for _, want := range []error{ErrNotFound, ErrConflict, ErrWaiting, ErrInvalid, ErrDenied} {
		d.err = fmt.Errorf("client \"a\": %w: because", want)
		_, err := c.ClientShow(t.Context(), "a")
		if !errors.Is(err, want) || err.Error() != d.err.Error() {
			t.Errorf("%v arrives as %v", d.err, err)
		}
	}
	d.err = errors.New("the disk is full")
	_, err := c.ClientShow(t.Context(), "a")
	var r *Refusal
	if !errors.As(err, &r) || r.Is != nil || r.Words != "the disk is full" {
		t.Errorf("the server's own trouble arrives as %#v", err)
	}
}

func TestALongPathIsNoTrouble(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep", 30)) // a socket's path holds 107 bytes
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, Socket)
	server, err := Listen(socket, &table{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	if _, err := Dial(socket).KeysList(ctx); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left.sock") // by a server that was killed
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	for _, socket := range []string{left, filepath.Join(dir, "none.sock")} {
		if _, err := Dial(socket).KeysList(t.Context()); !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), socket) {
			t.Errorf("KeysList over %s = %v, want ErrDown", filepath.Base(socket), err)
		}
	}
}

func TestTheSocketIsItsUsersOwn(t *testing.T) {
	_, socket := open(t, &table{})
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(socket, &table{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a second server took the socket of a live one")
	}
	file := filepath.Join(t.TempDir(), Socket)
	if err := os.WriteFile(file, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, &table{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file was taken for a socket")
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "somebody's" {
		t.Errorf("the file in the socket's place holds %q, %v", data, err)
	}
}

func TestAMalformedQuestionIsInvalid(t *testing.T) {
	c, _ := open(t, &table{})
	for _, body := range []string{`{"id":`, `{"id":1}`, `{"idd":"a"}`, `{"id":"` + strings.Repeat("a", maxQuestion) + `"}`} {
		resp, err := c.http.Post("http://longcase"+PathClientShow, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20s is answered with %d", body, resp.StatusCode)
		}
	}
}

func TestAServerThatWaitsSaysSoAndDoesNothing(t *testing.T) {
	d := &table{waits: errors.New("the server waits for its store")}
	c, _ := open(t, d)
	_, err := c.KeysRevoke(t.Context(), "k")
	if err == nil || err.Error() != d.waits.Error() || d.asked != nil {
		t.Errorf("%v, and the desk was asked %v", err, d.asked)
	}
	d.waits = nil
	if _, err := c.KeysRevoke(t.Context(), "k"); err != nil {
		t.Errorf("when it has come: %v", err)
	}
}
