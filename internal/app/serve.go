package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/telemetry"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/skew"
)

// ErrConfig marks errors of what the file says or names; every other error is
// something needed that cannot be had.
var ErrConfig = errors.New("configuration")

// The names of the rooms that listen.
const (
	roomIssuer  = "issuer"
	roomGate    = "gate"
	roomConsole = "console"
	roomAgent   = "agent" // several listeners, perhaps

	roomExtAuthz = "ext_authz" // the gate's, for Envoy
)

// settleTime is how long a reload waits for the new gate to know its feed.
const settleTime = 5 * time.Second

// Options says what to serve.
type Options struct {
	Config  *config.Config // nil: a complete local setup on loopback
	Data    string         // instead of the file's data directory; empty: the file's
	Admin   string         // instead of DATA/admin.sock
	Version string
	Now     func() time.Time    // default time.Now
	Getenv  func(string) string // default os.Getenv
	Stdout  io.Writer           // the local setup's curl lines
	Stderr  io.Writer           // listening, ready and the log

	open opener // default OpenStore
}

// opener opens a store, as OpenStore does.
type opener = func(context.Context, config.Data, StoreOptions) (store.Movable, error)

// house is what outlives a reload: the store, the listeners and the socket.
type house struct {
	opts    Options
	log     *slog.Logger
	getenv  func(string) string
	now     func() time.Time
	metrics *telemetry.Metrics
	data    config.Data // where the state is, --data applied
	kek     []byte      // nil where nothing is stored
	engine  *metered    // nil where nothing is stored, see stores
	fit     fit         // nil where the engine does not say
	waiting waiting     // why engine is not there yet
	book    *skew.Book  // what is known of issuers' clocks
	audit   audit
	used    verify.First // what was used once, without a store
	rooms   []*room
	shift   atomic.Pointer[shift]
	failed  chan error // a room that ended by itself
}

// Serve runs what opts names until ctx ends, and then drains. On SIGHUP it
// reads the file again: what is wrong in it is logged and changes nothing.
func Serve(ctx context.Context, opts Options) (err error) {
	h := newHouse(opts)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, quiet(g.Wait()), h.close())
	}()
	cfg, greeting, err := h.configure(ctx, g)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := h.prepare(cfg); err != nil {
		return err
	}
	var first *shift
	if !waits(cfg) {
		if first, err = h.begin(ctx, cfg); err != nil && !errors.Is(err, store.ErrUnavailable) {
			return err // else it waits, too: for room on the disk
		}
	}
	if err := h.listen(cfg, first); err != nil {
		return err
	}
	return h.run(ctx, g, cfg, first, greeting)
}

func newHouse(opts Options) *house {
	h := &house{opts: opts, getenv: opts.Getenv, now: opts.Now, metrics: telemetry.New(opts.Version), book: skew.New(), failed: make(chan error, 1)}
	if h.opts.open == nil {
		h.opts.open = OpenStore
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.getenv == nil {
		h.getenv = os.Getenv
	}
	h.log = slog.New(slog.NewTextHandler(opts.Stderr, nil))
	h.audit.log = h.log
	h.used = gate.Remember(h.now)
	h.metrics.Clocks(h.book, h.now)
	return h
}

// configure returns the file's configuration, or the local setup's with what to
// tell its user.
func (h *house) configure(ctx context.Context, g *errgroup.Group) (*config.Config, func() error, error) {
	cfg, greeting := h.opts.Config, func() error { return nil }
	if strings.Contains(h.opts.Data, "://") {
		return nil, nil, errors.New("--data is a directory: a database stands in the file, as data:, with keys.encrypt_with")
	}
	if cfg == nil {
		upstream, err := listenLoopback()
		if err != nil {
			return nil, nil, err
		}
		serveDemo(ctx, g, upstream)
		data := h.opts.Data
		if data == "" {
			data = config.DataDir
		}
		var l local
		if cfg, l, err = localSetup(ctx, data, upstream); err != nil {
			return nil, nil, err
		}
		greeting = func() error { return l.write(h.opts.Stdout, localText) }
	}
	h.data = cfg.Data
	if h.opts.Data != "" {
		h.data.Dir = h.opts.Data
	}
	return cfg, greeting, nil
}

// prepare opens the data directory and reads the key-encryption key, each if a
// room needs it.
func (h *house) prepare(cfg *config.Config) error {
	if !stores(cfg) && cfg.Agent == nil {
		return nil
	}
	if err := openData(h.data.Dir, h.log); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if !stores(cfg) {
		return nil
	}
	kek, err := loadKEK(cfg.Keys.EncryptWith, h.data.Dir, h.getenv)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	h.kek = kek
	return nil
}

// openStore opens the store of cfg.
func (h *house) openStore(ctx context.Context, cfg *config.Config) error {
	reach := &reach{log: h.log, tell: func(up bool) { h.metrics.StoreUp(h.data.Engine, up) }}
	reach.tell(false)
	e, err := h.opts.open(ctx, h.data, StoreOptions{Longest: longest(cfg), Getenv: h.getenv, Now: h.now, Log: h.log.With("room", "store")})
	if err != nil {
		return err
	}
	reach.tell(true)
	h.engine = newMetered(e, &meter{engine: h.data.Engine, metrics: h.metrics, reach: reach})
	if own, ok := e.(interface{ Ready(context.Context) error }); ok {
		h.fit = own.Ready
	}
	return nil
}

// fit is an engine's own word on whether it takes writes: its disk has room, and
// nothing in it is damaged.
type fit = func(context.Context) error

// stores reports whether a room of cfg needs the store: the issuer, and a gate
// that remembers what was used once.
func stores(cfg *config.Config) bool {
	return cfg.Issuer != nil || cfg.Gate != nil && slices.ContainsFunc(cfg.Gate.Routes, func(r config.Route) bool {
		return r.Once || r.Binding == string(verify.DPoP)
	})
}

// listen opens every listener before any is served, so that a port that is
// taken ends the start and not a part of it.
func (h *house) listen(cfg *config.Config, s *shift) error {
	var errs []error
	for _, p := range places(cfg) {
		r := &room{place: p, handler: newSwap(h.handler(s, p))}
		h.rooms = append(h.rooms, r)
		errs = append(errs, r.open(h.log))
	}
	return errors.Join(errs...)
}

// bodyTimeout bounds how long a request to the issuer may take to arrive.
const bodyTimeout = 15 * time.Second

// run serves until ctx ends or a part fails. Without a first shift it waits for
// the store, and is ready when that is there.
func (h *house) run(ctx context.Context, g *errgroup.Group, cfg *config.Config, first *shift, greeting func() error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // before ready: one that comes right after it counts
	defer signal.Stop(hangup)
	if first != nil {
		first.start(ctx)
		h.shift.Store(first)
	}
	defer func() {
		if last := h.shift.Load(); last != nil {
			last.end(nil)
		}
	}()
	serving, stopServing := errgroup.WithContext(ctx)
	if err := h.openAdmin(stopServing, serving, cfg); err != nil {
		return err
	}
	for _, r := range h.rooms {
		serving.Go(func() error { return h.serve(stopServing, r) })
		fmt.Fprintf(h.opts.Stderr, "listening %s %s\n", r.room, r.url())
	}
	serving.Go(func() error { h.roomForGarbage(stopServing); return nil })
	serving.Go(func() error { return h.failure(stopServing) })
	serving.Go(func() error {
		if err := h.open(ctx, stopServing, cfg); err != nil {
			return quiet(err)
		}
		if h.engine != nil {
			g.Go(func() error { h.keepRetiring(ctx); return nil })
		}
		if err := greeting(); err != nil {
			return err
		}
		fmt.Fprintln(h.opts.Stderr, "ready")
		h.reloadOnHangup(stopServing, ctx, hangup)
		return nil
	})
	return serving.Wait()
}

// open waits for the store and opens the rooms, if they are not open yet.
func (h *house) open(ctx, stopServing context.Context, cfg *config.Config) error {
	if h.shift.Load() != nil {
		return nil
	}
	first, err := h.await(stopServing, cfg)
	if err != nil {
		return err
	}
	first.start(ctx)
	h.shift.Store(first)
	for _, r := range h.rooms {
		r.handler.set(first.handler(r.place))
	}
	return nil
}

// handler is what a room answers with: s, or that there is none yet.
func (h *house) handler(s *shift, p place) http.Handler {
	if s == nil {
		return h.waitingHandler(p)
	}
	return s.handler(p)
}

func (h *house) serve(ctx context.Context, r *room) error {
	if r.room == roomExtAuthz {
		return r.authorize(ctx, h)
	}
	return r.serve(ctx, h.log)
}

// failure waits for a room that ends by itself: the process must not go on
// without it.
func (h *house) failure(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.failed:
		return err
	}
}

// openAdmin starts administration, if there is an issuer to administer.
func (h *house) openAdmin(ctx context.Context, g *errgroup.Group, cfg *config.Config) error {
	if cfg.Issuer == nil {
		return nil
	}
	socket := h.opts.Admin
	if socket == "" {
		socket = filepath.Join(h.data.Dir, admin.Socket)
	}
	server, err := admin.Listen(socket, desk{h}, h.log.With("room", "admin"))
	if err != nil {
		return err
	}
	g.Go(func() error { return server.Run(ctx) })
	return nil
}

// reloadOnHangup reads the file again at each SIGHUP.
func (h *house) reloadOnHangup(ctx, root context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := h.reload(root); err != nil {
				h.log.Error("not reloaded, nothing changed", "err", err)
			} else {
				h.log.Info("reloaded")
			}
		}
	}
}

// reload validates the file first, then opens a shift with it and ends the old
// one. Where it listens and where its data are cannot change while it runs; TLS
// files are read again.
func (h *house) reload(ctx context.Context) error {
	if h.opts.Config == nil {
		return errors.New("the local setup has no file")
	}
	cfg, err := config.Load(h.opts.Config.File)
	if err != nil {
		return err
	}
	old := h.shift.Load()
	if what := fixed(old.cfg, cfg); what != "" {
		return fmt.Errorf("%s changed: restart to use it", what)
	}
	certificates, err := h.readTLS(cfg)
	if err != nil {
		return err
	}
	next, err := newShift(ctx, h, cfg, old)
	if err != nil {
		return err
	}
	next.start(ctx)
	next.settle(ctx, settleTime)
	for _, r := range h.rooms {
		r.handler.set(next.handler(r.place))
		r.tls.Store(certificates[r.key()])
	}
	h.shift.Store(next)
	old.end(next)
	return nil
}

// readTLS reads the TLS files of every room anew.
func (h *house) readTLS(cfg *config.Config) (map[string]*tls.Config, error) {
	all := map[string]*tls.Config{}
	for _, p := range places(cfg) {
		c, err := serverTLS(p)
		if err != nil {
			_, files := p.keys()
			return nil, fmt.Errorf("%s: %w", files, err)
		}
		all[p.key()] = c
	}
	return all, nil
}

func (h *house) close() error {
	for _, r := range h.rooms {
		if r.ln != nil {
			r.ln.Close() // served ones are closed already
		}
	}
	h.audit.turn(nil)
	if h.engine == nil {
		return nil
	}
	return h.engine.Close()
}

// quiet drops the error that only says that the context ended.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
