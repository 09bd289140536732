package remote_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/jwks/remote"
)

// told is what Dated was called with.
type told struct {
	mu  sync.Mutex
	all []dated
}

type dated struct{ sent, received, date time.Time }

func (d *told) add(sent, received, date time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, dated{sent, received, date})
}

func (d *told) list() []dated {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}

func TestDatesOfAnswersThatNoCacheKept(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		told   bool
	}{
		{"a server's own", http.Header{}, true},
		{"of a cache that had to ask", http.Header{"X-Cache": {"MISS from proxy"}, "Cache-Status": {"Edge; fwd=uri-miss; stored"}}, true},
		{"with Age", http.Header{"Age": {"0"}}, false},
		{"with an Age that is no number", http.Header{"Age": {""}}, false},
		{"RFC 9211", http.Header{"Cache-Status": {"Origin; fwd=stale", "Edge; hit; ttl=20"}}, false},
		{"X-Cache", http.Header{"X-Cache": {"TCP_HIT from edge"}}, false},
		{"Cloudflare", http.Header{"Cf-Cache-Status": {"REVALIDATED"}}, false},
		{"nginx as usually configured", http.Header{"X-Cache-Status": {"STALE"}}, false},
		{"a date that is none", http.Header{"Date": {"tomorrow"}}, false},
		{"a date with its hour east", http.Header{"Date": {"Sun, 01 Mar 2026 12:00:21 +0100"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := newIssuer("a")
				for path, serve := range is.mux {
					is.mux[path] = func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Date", time.Now().Add(21*time.Second).UTC().Format(http.TimeFormat))
						for name, values := range tt.header {
							w.Header()[name] = values
						}
						serve(w, r)
					}
				}
				var got told
				run(t, is, func(c *remote.Config) { c.Dated = got.add })
				time.Sleep(time.Second)
				all := got.list()
				if want := map[bool]int{true: 2}[tt.told]; len(all) != want { // metadata and set
					t.Fatalf("Dated was called %d times, want %d", len(all), want)
				}
				for _, d := range all {
					ahead := d.date.Sub(d.sent)
					if d.received.Sub(d.sent) != 100*time.Millisecond || ahead < 20*time.Second || ahead > 21100*time.Millisecond {
						t.Errorf("sent %v, received %v, date %v", d.sent, d.received, d.date)
					}
				}
			})
		})
	}
}

func TestDatesOfRefusedAnswersAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		is.mux["/.well-known/oauth-authorization-server"] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			http.Error(w, "", http.StatusBadGateway)
		}
		var got told
		run(t, is, func(c *remote.Config) { c.Dated = got.add })
		time.Sleep(time.Minute)
		if n := len(got.list()); n != 0 {
			t.Errorf("Dated was called %d times for a proxy's error", n)
		}
	})
}

// Through a real socket: the instants enclose the server's, whatever it sends
// before its answer (RFC 8297), and looking up the name, dialling and TLS do not
// make them wide.
func TestTheInstantsOfARealExchangeEncloseTheServers(t *testing.T) {
	is := newIssuer("a")
	var mu sync.Mutex
	var served []time.Time
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		time.Sleep(30 * time.Millisecond)
		mu.Lock()
		served = append(served, time.Now())
		mu.Unlock()
		is.mux[r.URL.Path](w, r)
	}))
	server.StartTLS()
	defer server.Close()
	is.url = server.URL
	slow := server.Client().Transport.(*http.Transport).Clone()
	slow.DisableKeepAlives = true
	dial := slow.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	const dialling = 200 * time.Millisecond
	slow.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		time.Sleep(dialling)
		return dial(ctx, network, addr)
	}
	var got told
	s := run(t, is, func(c *remote.Config) {
		c.Client = &http.Client{Transport: slow}
		c.Dated = got.add
		c.Log = slog.New(slog.DiscardHandler)
	})
	if err := ask(s, "a"); err != nil {
		t.Fatal(err)
	}
	all := got.list()
	mu.Lock()
	defer mu.Unlock()
	if len(all) != 2 || len(served) != 2 {
		t.Fatalf("%d dates of %d answers", len(all), len(served))
	}
	for i, d := range all {
		if !d.sent.Before(served[i]) || !d.received.After(served[i]) {
			t.Errorf("served at %v, told [%v, %v]", served[i], d.sent, d.received)
		}
		if i > 0 && d.sent.Sub(all[i-1].received) < dialling {
			t.Errorf("the exchange begins before it was dialled")
		}
	}
}

func TestKnownKeysAreAskedForWhileOnlyTheMetadataIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		is.maxAge = "max-age=300"
		good := is.metadata
		s := run(t, is, nil)
		if err := ask(s, "a"); err != nil {
			t.Fatal(err)
		}
		const meta = "/.well-known/oauth-authorization-server"
		is.set(func() { is.mux[meta] = text("text/html", "maintenance") })
		time.Sleep(3 * time.Hour)
		is.publish("b")
		time.Sleep(10 * time.Minute)
		if err := ask(s, "b"); err != nil {
			t.Errorf("a rotation while the metadata is down: %v", err)
		}
		is.set(func() { is.asked = nil })
		time.Sleep(time.Hour)
		var asked []string
		is.set(func() { asked = is.asked })
		tries := 0
		for _, url := range asked {
			if strings.HasSuffix(url, meta) {
				tries++
			}
		}
		if tries < 6 || tries > 13 {
			t.Errorf("discovery was tried %d times in an hour, want each 5 minutes", tries)
		}
		time.Sleep(48 * time.Hour)
		if s.Ready() == nil {
			t.Error("a place that discovery has not confirmed for two days still counts")
		}
		is.set(func() { is.mux[meta] = good })
		time.Sleep(10 * time.Second)
		if err := ask(s, "b"); err != nil {
			t.Errorf("the metadata is back: %v", err)
		}
	})
}

// A server that sends a byte now and then is given up after 5 s, and nobody
// waits for it longer than 2 s.
func TestASlowAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		var slow slowly
		is.mux["/jwks"] = nil
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/jwks" {
				return is.RoundTrip(r)
			}
			slow.left, slow.began = r.Context().Done(), time.Now()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &slow, Request: r}, nil
		})}
		s := run(t, is, func(c *remote.Config) { c.Client = client })
		began := time.Now()
		if err := ask(s, "a"); err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("Keys = %v after %s", err, time.Since(began))
		}
		time.Sleep(6 * time.Second)
		if took := slow.ended(); took != 5*time.Second {
			t.Errorf("the answer was given up after %s, want 5s", took)
		}
	})
}

// slowly is a body of one blank a second, until its request ends.
type slowly struct {
	left  <-chan struct{} // the request ended
	mu    sync.Mutex
	began time.Time
	took  time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-s.left:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.took = time.Since(s.began)
		return 0, context.DeadlineExceeded
	}
}

func (s *slowly) Close() error { return nil }

func (s *slowly) ended() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
