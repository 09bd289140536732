package remote_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "https://tokens.example.com"

// scale is n, or a twentieth of it where LONGCASE_LONG is not set.
func scale(n int) int {
	if os.Getenv("LONGCASE_LONG") == "1" {
		return n
	}
	return n / 20
}

// issuer is an issuer's metadata and key set, served without a socket.
type issuer struct {
	mu      sync.Mutex
	url     string
	mux     map[string]http.HandlerFunc
	maxAge  string
	body    []byte
	down    bool
	hang    bool
	fetches atomic.Int64 // of the key set
	asked   []string
}

func newIssuer(kids ...string) *issuer {
	is := &issuer{url: issuerURL, maxAge: "max-age=3600", mux: map[string]http.HandlerFunc{}}
	is.publish(kids...)
	is.mux["/.well-known/oauth-authorization-server"] = is.metadata
	is.mux["/jwks"] = is.jwks
	return is
}

func (is *issuer) metadata(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, is.url, is.url+"/jwks")
}

func (is *issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	is.mu.Lock()
	defer is.mu.Unlock()
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", is.maxAge)
	w.Write(is.body)
}

func (is *issuer) publish(kids ...string) {
	var keys []token.Key
	for _, kid := range kids {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		k, err := token.NewKey(kid, token.EdDSA, pub)
		if err != nil {
			panic(err)
		}
		keys = append(keys, k)
	}
	body, err := jwks.Marshal(keys)
	if err != nil {
		panic(err)
	}
	is.set(func() { is.body = body })
}

func (is *issuer) set(change func()) {
	is.mu.Lock()
	defer is.mu.Unlock()
	change()
}

// RoundTrip takes 100 ms, so that calls overlap.
func (is *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	is.mu.Lock()
	down, hang := is.down, is.hang
	is.asked = append(is.asked, r.URL.String())
	is.mu.Unlock()
	if r.URL.Path == "/jwks" {
		is.fetches.Add(1)
	}
	wait := time.After(100 * time.Millisecond)
	if hang {
		wait = nil
	}
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-wait:
	}
	if down {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	is.mu.Lock()
	h, ok := is.mux[r.URL.Path]
	is.mu.Unlock()
	if ok {
		h(w, r)
	} else {
		http.NotFound(w, r)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// run starts a Source on is and returns it with the func that ends it.
func run(t *testing.T, is *issuer, change func(*remote.Config)) *remote.Source {
	t.Helper()
	cfg := remote.Config{Issuer: is.url, Client: &http.Client{Transport: is}, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s, err := remote.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
	return s
}

func ask(s *remote.Source, kid string) error {
	keys, err := s.Keys(context.Background(), kid, token.EdDSA)
	if err == nil && (len(keys) != 1 || keys[0].ID() != kid) {
		return fmt.Errorf("Keys(%q) = %v", kid, keys)
	}
	return err
}

func TestAStormOfUnknownKidsIsOneFetchPerCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "a"); err != nil {
			t.Fatalf("a caller at start does not wait for the first fetch: %v", err)
		}
		const callers, minutes = 50, 10
		each := scale(1_000_000) / callers
		var wrong atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for c := range callers {
			all.Go(func() {
				for i := range each {
					if err := ask(s, fmt.Sprintf("%d-%d", c, i)); !errors.Is(err, token.UnknownKey) {
						wrong.Add(1)
					}
					time.Sleep(minutes * time.Minute / time.Duration(each))
				}
			})
		}
		all.Wait()
		if n := wrong.Load(); n > 0 {
			t.Errorf("%d callers got something else than %s", n, token.UnknownKey)
		}
		took := time.Since(began)                // the callers' waits make it longer than the pauses
		most := int64(took/(30*time.Second)) + 2 // the one at the start, and the storm's first
		if n := is.fetches.Load(); n < 2*minutes || n > most {
			t.Errorf("%d fetches in %s, want one in 30 s", n, took)
		}
		if err := ask(s, "a"); err != nil {
			t.Errorf("a known key after the storm: %v", err)
		}
	})
}

func TestAKidThatIsNotThereDoesNotUseUpTheNextFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		stray := func() {
			if err := ask(s, "stray"); !errors.Is(err, token.UnknownKey) {
				t.Errorf("stray: %v", err)
			}
		}
		stray()
		time.Sleep(31 * time.Second)
		before := is.fetches.Load()
		stray()
		if n := is.fetches.Load() - before; n != 0 {
			t.Errorf("the same kid made %d more fetches", n)
		}
		is.publish("a", "b")
		if err := ask(s, "b"); err != nil {
			t.Errorf("a new kid: %v", err)
		}
	})
}

func TestAKidIsRememberedAgainEachTimeItWasNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		stray := func() int64 {
			before := is.fetches.Load()
			if err := ask(s, "stray"); !errors.Is(err, token.UnknownKey) {
				t.Errorf("stray: %v", err)
			}
			return is.fetches.Load() - before
		}
		stray()
		for round := range 5 {
			time.Sleep(61 * time.Second) // its memory is over
			if n := stray(); n != 1 {
				t.Errorf("round %d: %d fetches a minute later, want 1", round, n)
			}
			time.Sleep(31 * time.Second) // the cool-down is over
			if n := stray(); n != 0 {
				t.Errorf("round %d: it used up the next fetch too", round)
			}
		}
	})
}

func TestOneFlightForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "a"); err != nil {
			t.Fatal(err)
		}
		is.publish("a", "b")
		var all sync.WaitGroup
		for range scale(20_000) {
			all.Go(func() {
				if err := ask(s, "b"); err != nil {
					t.Errorf("a key that was just published: %v", err)
				}
			})
		}
		all.Wait()
		if n := is.fetches.Load(); n != 2 {
			t.Errorf("%d fetches, want the first and one for all", n)
		}
	})
}

func TestACallersContextBelongsToThatCallOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "a"); err != nil {
			t.Fatal(err)
		}
		is.publish("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := s.Keys(ctx, "b", token.EdDSA); !errors.Is(err, token.UnknownKey) {
			t.Errorf("a caller that left: %v", err)
		}
		if d := time.Since(began); d != 10*time.Millisecond {
			t.Errorf("it left after %s", d)
		}
		time.Sleep(time.Second)
		if err := ask(s, "b"); err != nil || is.fetches.Load() != 2 {
			t.Errorf("its fetch was lost: %v, %d fetches", err, is.fetches.Load())
		}
	})
}

func TestTheLastGoodSetServesADayOfOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		is.maxAge = "max-age=300"
		var changes atomic.Int64
		s := run(t, is, func(c *remote.Config) { c.Changed = func() { changes.Add(1) } })
		if err := ask(s, "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		is.set(func() { is.down = true })
		began := time.Now()
		for time.Since(began) < 23*time.Hour+54*time.Minute {
			if err := ask(s, "a"); err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
			if began := time.Now(); !errors.Is(ask(s, "b"), token.UnknownKey) || time.Since(began) > 2*time.Second {
				t.Fatal("an unknown kid during an outage is not refused in time")
			}
			time.Sleep(6 * time.Minute)
		}
		time.Sleep(12 * time.Minute)
		if err := ask(s, "a"); !errors.Is(err, token.KeysUnavailable) || s.Ready() == nil {
			t.Errorf("after a day: %v", err)
		}
		is.set(func() { is.down = false })
		time.Sleep(6 * time.Second)
		if err := errors.Join(ask(s, "a"), s.Ready()); err != nil {
			t.Errorf("6 s after it came back: %v", err)
		}
		if n := changes.Load(); n < 3 {
			t.Errorf("Changed was called %d times, want at the first set, its end and its return", n)
		}
	})
}

func TestAFailedFetchIsTriedAgainWithinFiveSeconds(t *testing.T) {
	for _, fault := range []string{"down", "hang"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := newIssuer("a")
				is.down, is.hang = fault == "down", fault == "hang"
				s := run(t, is, nil)
				began := time.Now()
				if err := ask(s, "a"); !errors.Is(err, token.KeysUnavailable) || time.Since(began) > 2*time.Second {
					t.Errorf("without the endpoint: %v after %s", err, time.Since(began))
				}
				time.Sleep(time.Hour)
				is.set(func() { is.down, is.hang = false, false })
				time.Sleep(16 * time.Second) // the rest of two hanging requests, and a pause
				if err := ask(s, "a"); err != nil {
					t.Errorf("the endpoint is back: %v", err)
				}
			})
		})
	}
}

func TestFailuresDoNotCountAsTheFetchOfTheCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "a"); err != nil {
			t.Fatal(err)
		}
		is.set(func() { is.down = true })
		if err := ask(s, "b"); !errors.Is(err, token.UnknownKey) {
			t.Errorf("b, while it is down: %v", err)
		}
		is.publish("a", "b")
		is.set(func() { is.down = false })
		time.Sleep(6 * time.Second)
		if err := ask(s, "b"); err != nil {
			t.Errorf("b, 6 s later: %v", err)
		}
	})
}

func TestTheSetIsRenewedBeforeItsTimeIsOver(t *testing.T) {
	tests := []struct {
		name, cacheControl string
		least, most        int64 // fetches in an hour, the first included
	}{
		{"max-age 5 minutes", "public, max-age=300", 13, 17},
		{"nothing said counts as 5 minutes", "", 13, 17},
		{"a minute", `max-age="60"`, 60, 81},
		{"no-store is clamped to 1 s for a minute, then 10 s", "no-store", 395, 420},
		{"a year is clamped to 1 h", "max-age=31536000", 1, 2},
		{"beyond an integer too", "max-age=99999999999999999999", 1, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := newIssuer("a")
				is.maxAge = tt.cacheControl
				run(t, is, nil)
				time.Sleep(time.Hour)
				if n := is.fetches.Load(); n < tt.least || n > tt.most {
					t.Errorf("%d fetches, want %d to %d", n, tt.least, tt.most)
				}
			})
		})
	}
}

func TestARotationIsSeenBeforeTheNewKeySigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		is.maxAge = "max-age=60"
		s := run(t, is, nil)
		time.Sleep(time.Minute)
		is.publish("a", "b")
		time.Sleep(time.Minute)
		before := is.fetches.Load()
		if err := errors.Join(ask(s, "a"), ask(s, "b")); err != nil || is.fetches.Load() != before {
			t.Errorf("%v, %d more fetches", err, is.fetches.Load()-before)
		}
	})
}

func TestQuickRotationsAreAllSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("0")
		s := run(t, is, nil)
		for i := range 5 {
			kid := fmt.Sprint(i)
			is.publish(kid)
			if err := ask(s, kid); err != nil {
				t.Errorf("key %s, 5 s after the last one: %v", kid, err)
			}
			time.Sleep(5 * time.Second)
		}
	})
}

func TestTheFeedsWordFetchesAtOnceAndDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "stray"); !errors.Is(err, token.UnknownKey) { // begins a cool-down
			t.Fatal(err)
		}
		is.publish("b")
		s.Refresh()
		if err := ask(s, "b"); err != nil {
			t.Errorf("the new key inside the cool-down: %v", err)
		}
		if err := ask(s, "a"); !errors.Is(err, token.UnknownKey) {
			t.Errorf("the withdrawn key: %v", err)
		}
		synctest.Wait()
		// A word during a fetch asks for one more: the first may be too early.
		s.Refresh()
		time.Sleep(time.Millisecond)
		before := is.fetches.Load()
		s.Refresh()
		time.Sleep(time.Second)
		if n := is.fetches.Load() - before; n != 1 {
			t.Errorf("%d fetches after the one under way, want 1", n)
		}
		time.Sleep(5 * time.Second)
		if n := is.fetches.Load() - before; n != 2 {
			t.Errorf("%d fetches after the one under way, want one more 5 s later for a node that is behind", n)
		}
	})
}

func TestTokensOfANewKeyWaitForTheWordInsideTheCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "stray"); !errors.Is(err, token.UnknownKey) { // begins a cool-down
			t.Fatal(err)
		}
		is.publish("b") // "a" was withdrawn; the feed's word is on its way
		time.AfterFunc(100*time.Millisecond, s.Refresh)
		if err := ask(s, "b"); err != nil {
			t.Errorf("a token of the new key, 100 ms before the word: %v", err)
		}
		began := time.Now()
		if err := ask(s, "b2"); !errors.Is(err, token.UnknownKey) || time.Since(began) > 250*time.Millisecond {
			t.Errorf("a stranger's kid: %v after %s, want unknown_key within 250ms", err, time.Since(began))
		}
	})
}

// TestQuickRotationsNeedNoUnknownKid rotates faster than any cache may live,
// while a stranger has used up the fetch for unknown kids.
func TestQuickRotationsNeedNoUnknownKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("0")
		is.set(func() { is.maxAge = "max-age=0" })
		s := run(t, is, nil)
		time.Sleep(5 * time.Second)
		for i := range 20 {
			is.publish(fmt.Sprint(i), fmt.Sprint(i+1)) // the successor signs in 2 s
			time.Sleep(2 * time.Second)
			if err := ask(s, fmt.Sprintf("stray %d", i)); !errors.Is(err, token.UnknownKey) {
				t.Fatal(err)
			}
			if err := ask(s, fmt.Sprint(i+1)); err != nil {
				t.Fatalf("rotation %d: %v", i, err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		before := is.fetches.Load()
		time.Sleep(time.Minute)
		if n := is.fetches.Load() - before; n > 7 {
			t.Errorf("%d fetches in a minute of a set that rests, want one in 10 s", n)
		}
	})
}

func TestKeysWithoutAKidComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("") // one key, without a kid
		s := run(t, is, nil)
		if keys, err := s.Keys(t.Context(), "b", token.EdDSA); err != nil || len(keys) != 1 {
			t.Fatalf("a kid that no key has: %v, %v; want the key without one", keys, err)
		}
		time.Sleep(time.Minute)
		is.publish("", "c")
		if err := ask(s, "c"); err != nil {
			t.Errorf("a new kid beside a key without one: %v, want it fetched", err)
		}
	})
}

func TestAWordBeforeTheFirstFetchIsAnsweredByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s, err := remote.New(remote.Config{Issuer: is.url, Client: &http.Client{Transport: is}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.Refresh()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || is.fetches.Load() != 1 {
			t.Errorf("Run = %v after %d fetches, want 1", err, is.fetches.Load())
		}
	})
}

func TestKeysThatMovedAreFoundByDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		if err := ask(s, "a"); err != nil {
			t.Fatal(err)
		}
		is.publish("b")
		is.set(func() {
			delete(is.mux, "/jwks")
			is.mux["/keys"] = is.jwks
			is.mux["/.well-known/oauth-authorization-server"] = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, is.url, is.url+"/keys")
			}
		})
		s.Refresh()
		time.Sleep(6 * time.Second)
		if err := ask(s, "b"); err != nil {
			t.Error(err)
		}
	})
}

func TestChangedTellsOnlyOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		is.maxAge = "max-age=60"
		var changes atomic.Int64
		run(t, is, func(c *remote.Config) { c.Changed = func() { changes.Add(1) } })
		time.Sleep(time.Hour)
		is.publish("a", "b")
		time.Sleep(time.Hour)
		if n := changes.Load(); n != 2 {
			t.Errorf("Changed was called %d times for two sets", n)
		}
	})
}

func TestAKidNobodyCanPublishStartsNoFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		s := run(t, is, nil)
		time.Sleep(time.Second)
		for _, kid := range []string{strings.Repeat("k", 16<<10), strings.Repeat("../", 1<<14)} {
			err := ask(s, kid)
			if !errors.Is(err, token.UnknownKey) || len(err.Error()) > 400 {
				t.Errorf("%.500v", err)
			}
		}
		if n := is.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestAKnownKeyCostsNoAllocation(t *testing.T) {
	is := newIssuer("a")
	s := run(t, is, nil)
	if err := ask(s, "a"); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { s.Keys(context.Background(), "a", token.EdDSA) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAKeyIsHeldWhileItsIssuerPublishesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a", "b")
		s := run(t, is, nil)
		keys, err := s.Keys(t.Context(), "a", token.EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Holds("a", token.EdDSA, keys[0]) || s.Holds("b", token.EdDSA, keys[0]) || s.Holds("a", token.ES256, keys[0]) {
			t.Error("a key is held under another name or algorithm, or not under its own")
		}
		if n := testing.AllocsPerRun(1000, func() { s.Holds("a", token.EdDSA, keys[0]) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		is.publish("a", "b") // other keys with the same names
		s.Refresh()
		time.Sleep(time.Second)
		if s.Holds("a", token.EdDSA, keys[0]) {
			t.Error("a withdrawn key is held because of its kid")
		}
	})
}
