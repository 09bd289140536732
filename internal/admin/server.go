package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxQuestion bounds one question, in bytes.
const maxQuestion = 64 << 10

// Desk is what the server administers. Its errors wrap those of this package;
// any other is the server's own trouble.
type Desk interface {
	ClientList(ctx context.Context) (ClientList, error)
	ClientShow(ctx context.Context, id string) (Client, error)
	ClientAdd(ctx context.Context, n NewClient) (Client, error)
	ClientRemove(ctx context.Context, id string) error
	SessionList(ctx context.Context, f SessionFilter) (SessionPage, error)
	SessionRevoke(ctx context.Context, r SessionRevoke) (SessionsEnded, error)
	KeysList(ctx context.Context) (KeyList, error)
	KeysRotate(ctx context.Context, r KeyRotate) (Key, error)
	KeysRevoke(ctx context.Context, id KeyID) (KeyList, error)
	StoreBackup(ctx context.Context, dir string) error

	// Ready reports why there is nothing to administer yet.
	Ready() error
}

// Server answers on a Unix socket of mode 0600, and only to its own user and
// root: the kernel names the peer. Make one with Listen.
type Server struct {
	socket string
	ln     net.Listener
	http   *http.Server
}

// Listen opens the socket. What an earlier process left there is removed: the
// caller holds the data directory.
func Listen(socket string, desk Desk, log *slog.Logger) (*Server, error) {
	if err := RemoveStale(socket); err != nil {
		return nil, fmt.Errorf("admin: %w: name another with --admin", err)
	}
	path, release, err := shortPath(socket)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	defer release()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	ln.SetUnlinkOnClose(false) // path may be another file's by then; Run removes the socket
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin: %w", err), ln.Close())
	}
	return &Server{socket: socket, ln: ln, http: &http.Server{
		Handler:     routes(desk, log),
		ConnContext: withPeer,
		ReadTimeout: timeout,
		IdleTimeout: timeout,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// RemoveStale removes a Unix socket that nobody listens on. Anything else in its
// place is somebody's file.
func RemoveStale(socket string) error {
	info, err := os.Lstat(socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket", socket)
	}
	path, release, err := shortPath(socket)
	if err != nil {
		return err
	}
	defer release()
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("another server answers on %s", socket)
	}
	return os.Remove(socket)
}

// Run answers until ctx ends, and removes the socket.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	err := s.http.Serve(s.ln)
	if ctx.Err() != nil {
		err = nil // the end that was asked for
	}
	if gone := os.Remove(s.socket); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

func routes(desk Desk, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	handle(mux, desk, log, PathClientList, func(ctx context.Context, _ struct{}) (ClientList, error) { return desk.ClientList(ctx) })
	handle(mux, desk, log, PathClientShow, func(ctx context.Context, q ClientID) (Client, error) { return desk.ClientShow(ctx, q.ID) })
	handle(mux, desk, log, PathClientAdd, desk.ClientAdd)
	handle(mux, desk, log, PathClientRemove, func(ctx context.Context, q ClientID) (struct{}, error) {
		return struct{}{}, desk.ClientRemove(ctx, q.ID)
	})
	handle(mux, desk, log, PathSessionList, desk.SessionList)
	handle(mux, desk, log, PathSessionRevoke, desk.SessionRevoke)
	handle(mux, desk, log, PathKeysList, func(ctx context.Context, _ struct{}) (KeyList, error) { return desk.KeysList(ctx) })
	handle(mux, desk, log, PathKeysRotate, desk.KeysRotate)
	handle(mux, desk, log, PathKeysRevoke, desk.KeysRevoke)
	handle(mux, desk, log, PathStoreBackup, func(ctx context.Context, q Backup) (struct{}, error) {
		return struct{}{}, desk.StoreBackup(ctx, q.Dir)
	})
	return mux
}

// handle answers one path: a strict JSON question, one answer, one log line.
func handle[Q, A any](mux *http.ServeMux, desk Desk, log *slog.Logger, path string, answer func(context.Context, Q) (A, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		uid, err := peer(r.Context())
		if err != nil {
			reply(w, nil, fmt.Errorf("%w: %w", ErrDenied, err))
			return
		}
		var q Q
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
		in.DisallowUnknownFields()
		if err := in.Decode(&q); err != nil {
			reply(w, nil, fmt.Errorf("%w: %w", ErrInvalid, err))
			return
		}
		var a A
		if err = desk.Ready(); err == nil {
			a, err = answer(r.Context(), q)
		}
		told := log.With("path", path, "uid", uid)
		if err != nil {
			told.Warn("administration refused", "err", err)
		} else {
			told.Info("administration")
		}
		reply(w, a, err)
	})
}

func reply(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(Status(err))
		answer = Failure{Error: err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer) // the peer may be gone
}

type peerKey struct{}

// withPeer asks the kernel who is at the other end of the socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uid, err := peerUID(c)
	if err != nil || (uid != 0 && uid != os.Geteuid()) {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func peer(ctx context.Context) (int, error) {
	if uid, ok := ctx.Value(peerKey{}).(int); ok {
		return uid, nil
	}
	return 0, errors.New("only the server's own user and root may administer it")
}

func peerUID(c net.Conn) (int, error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}
