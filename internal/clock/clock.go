// Package clock asks what this host's own clock is worth: so that a refusal for
// time says which of two clocks is wrong. It changes no clock.
//
// Three are asked, the one that knows best first:
//
//   - the NTP servers that the configuration names, by SNTP (RFC 4330): measured
//     here and now, the median of those that answer. None is asked that is not
//     named.
//   - chronyd of this host, by its command protocol: how far the clock still is
//     from NTP, and the most that may be wrong.
//   - the kernel (adjtimex), whom chronyd, ntpd and systemd-timesyncd tell: only
//     whether somebody keeps the clock right, and the most that may be wrong.
//
// Where none can be asked nothing is known, and nothing is said:
//
//	watch, err := clock.New(clock.Config{Tell: book.SetHost})
//	go watch.Run(ctx)
package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/verify/skew"
)

// The bounds of a Watch.
const (
	usually    = time.Minute
	timeout    = 2 * time.Second // of each question
	maxServers = 8
	bad        = time.Second // an offset that is worth a warning
)

// Config is what a Watch needs. The zero Config asks chronyd and the kernel.
type Config struct {
	NTP    []string                              // servers to ask: host, host:port, [address] or [address]:port; 8 at most; default none
	Chrony string                                // chronyd: host:port, or the path of its socket; default 127.0.0.1:323, then /run/chrony/chronyd.sock
	Every  time.Duration                         // between two readings, more or less; default 1 min, at least 1 s
	Tell   func(state *skew.Host, now time.Time) // called by Run after each reading; nil: nothing is known
	Now    func() time.Time                      // default time.Now
	Log    *slog.Logger                          // default slog.Default()
}

// Watch reads the state of this host's clock.
type Watch struct {
	cfg     Config
	servers []*server
	kernel  func() (state *skew.Host, err error)
	last    string // what the log was told
}

// New checks cfg and returns a Watch. It does no I/O and starts no goroutine. The
// error names every field that is wrong.
func New(cfg Config) (*Watch, error) {
	if cfg.Every == 0 {
		cfg.Every = usually
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Tell == nil {
		cfg.Tell = func(*skew.Host, time.Time) {}
	}
	errs := []error{checkChrony(cfg.Chrony)}
	if cfg.Every < time.Second {
		errs = append(errs, fmt.Errorf("clock: Every is %s, want 1s or more", cfg.Every))
	}
	if n := len(cfg.NTP); n > maxServers {
		errs = append(errs, fmt.Errorf("clock: NTP names %d servers, want %d at most", n, maxServers))
	}
	w := &Watch{cfg: cfg, kernel: kernel}
	for _, name := range cfg.NTP {
		errs = append(errs, checkServer(name))
		w.servers = append(w.servers, &server{name: name})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return w, nil
}

// checkServer refuses what names no NTP server.
func checkServer(name string) error {
	host := name
	if h, port, err := net.SplitHostPort(name); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("clock: NTP: %q has no port number", name)
		}
		host = h
	} else if strings.Contains(name, ":") && net.ParseIP(unbracketed(name)) == nil {
		return fmt.Errorf("clock: NTP: %q is no host and port", name)
	}
	if host == "" || strings.ContainsAny(host, " /@?#") {
		return fmt.Errorf("clock: NTP: %q names no host; want host, host:port, [address] or [address]:port, no URL", name)
	}
	return nil
}

// unbracketed is the address of IPv6 in [address].
func unbracketed(name string) string {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return name
}

func checkChrony(address string) error {
	if address == "" || filepath.IsAbs(address) {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("clock: Chrony is %q, want host:port or the path of a socket", address)
	}
	return nil
}

// Run reads the state at once and then again and again, until ctx ends. It
// returns ctx's error.
func (w *Watch) Run(ctx context.Context) error {
	for {
		state := w.Read(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.cfg.Tell(state, w.cfg.Now())
		w.tell(ctx, state)
		pause := time.NewTimer(time.Duration((0.8 + 0.4*rand.Float64()) * float64(w.cfg.Every)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}

// Read asks once; nil: nothing is known. It takes 4 s at most. It may not be
// called concurrently, nor while Run runs.
func (w *Watch) Read(ctx context.Context) *skew.Host {
	if state := w.sntp(ctx); state != nil {
		return state
	}
	state, err := w.chrony(ctx)
	if state != nil {
		return state
	}
	w.cfg.Log.Debug("chronyd does not tell the state of this host's clock", "err", err)
	state, err = w.kernel()
	if err != nil {
		w.cfg.Log.Debug("the kernel does not tell the state of this host's clock", "err", err)
	}
	return state
}

// tell writes to the log what an operator would want to know, once.
func (w *Watch) tell(ctx context.Context, state *skew.Host) {
	says, level := "nothing is known of this host's clock", slog.LevelInfo
	var more []any
	switch {
	case state == nil && len(w.servers) > 0:
		says, level = "no NTP server that is named answers, and nothing else is known of this host's clock", slog.LevelWarn
	case state == nil:
	case state.Unsynchronised:
		says, level = "this host's clock is not synchronised: check NTP here", slog.LevelWarn
		more = []any{"source", state.Source}
	case state.Offset.Abs() > max(bad, state.Bound):
		says, level = "this host's clock is wrong: check NTP here", slog.LevelWarn
		more = []any{"source", state.Source, "ahead_of_ntp", state.Offset, "within", state.Bound}
	default:
		says = "this host's clock agrees with NTP"
		more = []any{"source", state.Source, "ahead_of_ntp", state.Offset, "within", state.Bound}
	}
	if says == w.last {
		return
	}
	w.last = says
	w.cfg.Log.Log(ctx, level, says, more...)
}
