package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/token"
)

// counted is a registry that is slow and counts how often it is read.
type counted struct {
	store.Registry
	reads atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string) (store.Entry, error) {
	c.reads.Add(1)
	time.Sleep(10 * time.Millisecond)
	return c.Registry.Get(ctx, key)
}

// twoRings are the rings of two nodes, which follow nothing.
func twoRings(t *testing.T) (a, b *keys.Keyring, reads *atomic.Int64) {
	t.Helper()
	registry := &counted{Registry: memory.New(memory.Config{}).Registry()}
	var rings [2]*keys.Keyring
	for i := range rings {
		var err error
		rings[i], err = keys.New(keys.Config{Registry: registry, KEK: make([]byte, 32), Overlap: time.Hour, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := rings[i].Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	registry.reads.Store(0)
	return rings[0], rings[1], &registry.reads
}

func TestTheKeySetShowsWhatAnotherNodeDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, reads := twoRings(t)
		set := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			body, _ := b.Set(time.Now())
			w.Write(body)
		})
		s := newShared(b)
		get := func(path string) string {
			w := httptest.NewRecorder()
			s.freshKeys(set).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			body, _ := io.ReadAll(w.Body)
			return string(body)
		}
		if _, err := a.Rotate(t.Context(), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		want, _ := a.Set(time.Now())
		before := reads.Load()
		if got := get("/token"); got == string(want) || reads.Load() != before {
			t.Error("every path reads the ring")
		}
		if got := get("/tenant/jwks"); got != string(want) {
			t.Errorf("the key set is %s, want %s", got, want)
		}
		before = reads.Load()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { get("/jwks") })
		}
		all.Wait()
		if n := reads.Load() - before; n < 1 || n > 2 {
			t.Errorf("100 at once read the ring %d times, want once or twice", n)
		}
	})
}

func TestAKeyOfAnotherNodeIsLookedForAndMadeUpOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, reads := twoRings(t)
		o := ownKeys{ring: b, shared: newShared(b), now: time.Now}
		old, err := a.Signer(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Revoke(t.Context(), old.ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		signer, err := a.Signer(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 20 { // at once: all of them have what the first one reads
			all.Go(func() {
				if found, err := o.Keys(t.Context(), signer.ID(), token.ES256); err != nil || len(found) != 1 {
					t.Errorf("the key of the other node: %v, %v", found, err)
				}
			})
		}
		all.Wait()
		before := reads.Load()
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
			if _, err := o.Keys(t.Context(), "made up", token.ES256); err == nil {
				t.Fatal("a key that nobody made")
			}
		}
		if n := reads.Load() - before; n > 51 {
			t.Errorf("10 s of made up keys read the ring %d times, want 5 a second", n)
		}
	})
}
