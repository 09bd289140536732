package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/longcase/longcase/gate"
)

// swap is a handler that can be replaced while it serves.
type swap struct{ now atomic.Pointer[http.Handler] }

func newSwap(h http.Handler) *swap {
	s := &swap{}
	s.set(h)
	return s
}

func (s *swap) set(h http.Handler) { s.now.Store(&h) }

func (s *swap) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*s.now.Load()).ServeHTTP(w, r) }

// check is one line of readyz.
type check struct {
	name string
	err  func() error
}

// healthOf answers /.longcase/healthz and /.longcase/readyz. What beside gives
// stands in readyz and does not decide; nil: nothing.
func healthOf(checks []check, beside func() map[string]any) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.longcase/healthz", func(w http.ResponseWriter, r *http.Request) {
		writeHealth(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /.longcase/readyz", func(w http.ResponseWriter, r *http.Request) {
		status, body := readiness(checks)
		if beside != nil {
			maps.Copy(body, beside())
		}
		writeHealth(w, status, body)
	})
	mux.HandleFunc("/.longcase/", http.NotFound)
	return mux
}

// withHealth has health answer below /.longcase/, before next sees the request.
func withHealth(next, health http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.longcase/") {
			gate.HurryBody(w, r) // nobody reads it here
			health.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readiness asks every check: 200 when all are well, else 503 and what is wrong.
func readiness(checks []check) (int, map[string]any) {
	status, parts := http.StatusOK, map[string]string{}
	for _, c := range checks {
		parts[c.name] = "ok"
		if err := c.err(); err != nil {
			status, parts[c.name] = http.StatusServiceUnavailable, err.Error()
		}
	}
	word := "ready"
	if status != http.StatusOK {
		word = "not ready"
	}
	return status, map[string]any{"status": word, "checks": parts}
}

func writeHealth(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer may be gone
}
