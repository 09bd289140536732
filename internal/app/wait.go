package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/move"
	"github.com/longcase/longcase/store"
)

// How often a store that cannot be reached at the start is tried.
const (
	waitLeast = 200 * time.Millisecond
	waitMost  = 5 * time.Second
	waitTell  = time.Minute // between two log lines whose reasons differ
)

// waits reports whether the store of cfg may come later than the server: it is
// another machine's. Then the listeners open first.
func waits(cfg *config.Config) bool { return cfg.Data.Database() && stores(cfg) }

// begin opens the store, if a room of cfg needs one, and makes the first shift.
// A store that is being copied to is not used before the copy is finished.
func (h *house) begin(ctx context.Context, cfg *config.Config) (*shift, error) {
	if stores(cfg) && h.engine == nil {
		if err := h.openStore(ctx, cfg); err != nil {
			return nil, err
		}
	}
	if h.engine != nil {
		if err := move.Ready(ctx, h.engine.Registry()); err != nil {
			return nil, err
		}
	}
	first, err := newShift(ctx, h, cfg, nil)
	if err != nil {
		return nil, startError(err)
	}
	return first, nil
}

// startError marks what is wrong with the configuration, and leaves what is
// wrong with the store.
func startError(err error) error {
	for _, of := range []error{store.ErrUnavailable, store.ErrUnknown, store.ErrReadOnly, store.ErrSchema, store.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, of) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrConfig, err)
}

// passes reports whether the reason may go away by itself.
func passes(err error) bool {
	transient := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrReadOnly) ||
		errors.Is(err, move.ErrUnfinished)
	return transient && !errors.Is(err, store.ErrSchema) && !errors.Is(err, ErrConfig)
}

// await begins as soon as the store can be reached. The error is what does not
// pass, or ctx's.
func (h *house) await(ctx context.Context, cfg *config.Config) (*shift, error) {
	began, told, last := time.Now(), time.Time{}, ""
	for pause := waitLeast; ; pause = min(2*pause, waitMost) {
		first, err := h.begin(ctx, cfg)
		switch {
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), discard(first))
		case err == nil:
			if last != "" {
				h.log.Info("the store can be used", "data", h.data.String(), "after", time.Since(began).Round(time.Millisecond))
			}
			return first, nil
		case !passes(err):
			return nil, err
		}
		reason := err.Error()
		h.waiting.Store(&reason)
		if last == "" || reason != last && time.Since(told) > waitTell {
			h.log.Warn("the store cannot be used yet; trying again until it can", "data", h.data.String(), "err", err)
			told = time.Now()
		}
		last = reason
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// discard gives up a shift that never started.
func discard(s *shift) error {
	if s == nil || s.audit == nil {
		return nil
	}
	return s.audit.Close()
}

// reason is why there is no store yet.
func (h *house) reason() error {
	if why := h.waiting.Load(); why != nil {
		return errors.New(*why)
	}
	return errors.New("being opened")
}

const waitingDetail = "the token service cannot reach its store yet: try again shortly"

// waitingHandler answers on a room's listener until there is a store: its
// health, the metrics, and to everything else that it comes later. The agent
// tells no reason to whomever it does not know.
func (h *house) waitingHandler(p place) http.Handler {
	checks := []check{{"store", h.reason}}
	if p.room == roomAgent {
		checks = []check{{"store", func() error { return errors.New("not in use yet") }}}
	}
	behind := http.HandlerFunc(waitingProblem)
	switch p.room {
	case roomConsole:
		return withHealth(h.metrics.Handler(), healthOf(checks, nil))
	case roomIssuer:
		behind = waitingRefusal
	}
	return withHealth(behind, healthOf(checks, nil))
}

// waitingRefusal is the error of RFC 6749 section 5.2, as the issuer says it.
func waitingRefusal(w http.ResponseWriter, r *http.Request) {
	gate.HurryBody(w, r)
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Pragma", "no-cache")
	writeHealth(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable", "error_description": waitingDetail})
}

// waitingProblem is a problem body (RFC 9457).
func waitingProblem(w http.ResponseWriter, r *http.Request) {
	gate.HurryBody(w, r)
	a := waitingAnswer()
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Status)
	w.Write(a.Body) //nolint:errcheck // the peer may be gone
}

// waitingAnswer is waitingProblem for Envoy.
func waitingAnswer() gate.Answer {
	detail := strings.Replace(waitingDetail, "the token service", "the gate", 1)
	body, err := json.Marshal(map[string]any{"type": "about:blank", "title": "Service Unavailable", "status": http.StatusServiceUnavailable, "detail": detail})
	if err != nil {
		panic(err) // strings and a number marshal
	}
	return gate.Answer{Reason: "unavailable", Detail: detail, Status: http.StatusServiceUnavailable, Body: append(body, '\n'),
		Header: http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/problem+json"}, "Retry-After": {"1"}}}
}

// waiting is why the house has no store yet; nil: it is being opened, or there.
type waiting = atomic.Pointer[string]
