package keys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

var kek = bytes.Repeat([]byte{7}, 32)

func config(r store.Registry) keys.Config {
	return keys.Config{
		Registry: r, KEK: kek, Overlap: jwks.Overlap(5*time.Minute, 10*time.Minute), SessionAbsolute: 12 * time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}
}

// load is a node that has started, but does not run.
func load(t *testing.T, r store.Registry, change func(*keys.Config)) *keys.Keyring {
	t.Helper()
	cfg := config(r)
	if change != nil {
		change(&cfg)
	}
	k, err := keys.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// run lets a node follow the registry until the test ends.
func run(t *testing.T, k *keys.Keyring) *keys.Keyring {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
	return k
}

func signing(t *testing.T, k *keys.Keyring, now time.Time) string {
	t.Helper()
	s, err := k.Signer(now)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

// shows reports whether the public set at now has a key.
func shows(t *testing.T, k *keys.Keyring, kid string, now time.Time) bool {
	t.Helper()
	body, _ := k.Set(now)
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(set.Keys, func(k struct{ Kid string }) bool { return k.Kid == kid })
}

func states(k *keys.Keyring, now time.Time) string {
	var s []string
	for _, i := range k.List(now) {
		s = append(s, string(i.State))
	}
	return strings.Join(s, " ")
}

func TestWhatANodeSignsAnotherVerifies(t *testing.T) {
	for _, alg := range []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			r, now := memory.New(memory.Config{}).Registry(), time.Now()
			use := func(c *keys.Config) { c.Algorithm = alg }
			a, b := load(t, r, use), load(t, r, use)
			signer, err := a.Signer(now)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := signer.Sign("at+jwt", []byte(`{"sub":"alice"}`))
			if err != nil {
				t.Fatal(err)
			}
			jws, err := token.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			body, maxAge := b.Set(now)
			set, err := jwks.Parse(body)
			if err != nil || maxAge != 5*time.Minute {
				t.Fatalf("Set: %v, max-age %s", err, maxAge)
			}
			for where, found := range map[string][]token.Key{
				"the set": set.Find(jws.KeyID(), alg), "Find": b.Find(jws.KeyID(), alg, now), "Find any": b.Find("", alg, now),
			} {
				if len(found) != 1 || jws.Verify(found[0]) != nil {
					t.Errorf("%s has %d keys for the token, or it does not verify", where, len(found))
				}
			}
			if b.Find("other", alg, now) != nil || b.Find(jws.KeyID(), token.HS256, now) != nil {
				t.Error("Find returns a key that was not asked for")
			}
		})
	}
}

func TestBeforeLoadNothingSigns(t *testing.T) {
	k, err := keys.New(config(memory.New(memory.Config{}).Registry()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Signer(time.Now())
	_, macErr := k.MAC("x", nil)
	if body, age := k.Set(time.Now()); string(body) != `{"keys":[]}` || age != 0 {
		t.Errorf("Set = %s for %s", body, age)
	}
	for _, err := range []error{err, macErr, k.Ready()} {
		if !errors.Is(err, keys.ErrNotLoaded) {
			t.Errorf("%v, want %v", err, keys.ErrNotLoaded)
		}
	}
}

func TestNewNamesEveryFieldThatIsWrong(t *testing.T) {
	_, err := keys.New(keys.Config{KEK: []byte("short"), Algorithm: token.HS256, Rotate: 1, PublishAhead: -1, SessionAbsolute: -1})
	for _, field := range []string{"Registry", "KEK", "Algorithm", "Rotate", "PublishAhead", "Overlap", "SessionAbsolute"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New = %v, want %s named", err, field)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Error("the error shows the key-encryption key")
	}
}

// edit changes one entry of the registry as an attacker with access to it could.
func edit(t *testing.T, r store.Registry, entry string, change func(record map[string]any)) {
	t.Helper()
	e, err := r.Get(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]any{}
	if err := json.Unmarshal(e.Value, &record); err != nil {
		t.Fatal(err)
	}
	change(record)
	value, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Put(t.Context(), entry, value, e.Version); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasTamperedWithIsNotLoaded(t *testing.T) {
	key := func(record map[string]any, i int) map[string]any {
		return record["keys"].([]any)[i].(map[string]any)
	}
	tests := []struct {
		name  string
		entry string
		edit  func(record map[string]any)
		want  error // nil: any
	}{
		{"two sealed keys swapped", "ring", func(r map[string]any) {
			key(r, 0)["sealed"], key(r, 1)["sealed"] = key(r, 1)["sealed"], key(r, 0)["sealed"]
		}, keys.ErrDamaged},
		{"a key under another id", "ring", func(r map[string]any) { key(r, 0)["kid"] = "mine" }, keys.ErrDamaged},
		{"a key with another algorithm", "ring", func(r map[string]any) { key(r, 0)["algorithm"] = "RS256" }, keys.ErrDamaged},
		{"a key cut short", "ring", func(r map[string]any) { key(r, 0)["sealed"] = "AAAA" }, keys.ErrDamaged},
		{"a key of one's own", "ring", func(r map[string]any) { key(r, 0)["sealed"] = strings.Repeat("QUJD", 50) }, keys.ErrDamaged},
		{"a MAC key under another id", "mac", func(r map[string]any) { key(r, 0)["id"] = "mine" }, keys.ErrDamaged},
		{"another key-encryption key", "ring", func(r map[string]any) { r["kek"] = "00000000" }, keys.ErrWrongKEK},
		{"another key-encryption key for MACs", "mac", func(r map[string]any) { r["kek"] = "00000000" }, keys.ErrWrongKEK},
		{"a later format", "ring", func(r map[string]any) { r["format"] = 2 }, nil},
		{"keys that are no list", "mac", func(r map[string]any) { r["keys"] = "none" }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := memory.New(memory.Config{}).Registry()
			k := load(t, r, nil)
			if _, err := k.Rotate(t.Context(), "", time.Now()); err != nil {
				t.Fatal(err)
			}
			before := signing(t, k, time.Now())
			edit(t, r, tt.entry, tt.edit)
			if err := k.Load(t.Context()); err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), `"`+tt.entry+`"`) {
				t.Errorf("Load = %v, want %v that names the entry", err, tt.want)
			}
			if now := signing(t, k, time.Now()); now != before {
				t.Error("a node that runs took it over")
			}
		})
	}
}

func TestAWrongKEKIsToldApart(t *testing.T) {
	r := memory.New(memory.Config{}).Registry()
	load(t, r, nil)
	cfg := config(r)
	cfg.KEK = bytes.Repeat([]byte{8}, 32)
	k, err := keys.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context()); !errors.Is(err, keys.ErrWrongKEK) || !strings.Contains(err.Error(), "encrypt_with") {
		t.Errorf("Load = %v", err)
	}
}

func TestARefreshTakesOverWhatAnotherNodeChanged(t *testing.T) {
	r, now := memory.New(memory.Config{}).Registry(), time.Now()
	a, b := load(t, r, nil), load(t, r, nil) // neither follows the registry
	old := signing(t, a, now)
	if err := a.Revoke(t.Context(), old, now); err != nil {
		t.Fatal(err)
	}
	if !shows(t, b, old, now) {
		t.Fatal("the other node knows without looking")
	}
	before, _ := r.Get(t.Context(), "ring")
	for range 2 {
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := r.Get(t.Context(), "ring"); shows(t, b, old, now) || signing(t, b, now) != signing(t, a, now) || after.Version != before.Version {
		t.Errorf("the nodes differ, or a look wrote version %d after %d", after.Version, before.Version)
	}
	edit(t, r, "ring", func(record map[string]any) { record["kek"] = "00000000" })
	if err := b.Refresh(t.Context()); !errors.Is(err, keys.ErrWrongKEK) || signing(t, b, now) != signing(t, a, now) {
		t.Errorf("Refresh of a ring that cannot be read = %v, or it was taken over", err)
	}
}

func TestNodesMakeOneRotationBetweenThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memory.New(memory.Config{}).Registry()
		short := func(c *keys.Config) { c.Rotate = time.Hour }
		var nodes []*keys.Keyring
		for range 3 {
			nodes = append(nodes, run(t, load(t, r, short)))
		}
		const hours = 200
		signed := map[string]bool{}
		for range hours * 6 {
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			now := time.Now()
			kid := signing(t, nodes[0], now)
			signed[kid] = true
			for i, k := range nodes {
				if other := signing(t, k, now); other != kid {
					t.Fatalf("node %d signs with %q, node 0 with %q", i, other, kid)
				}
				if !shows(t, k, kid, now) {
					t.Fatalf("node %d does not show the key that signs", i)
				}
			}
		}
		if n := len(signed); n < hours-1 || n > hours+1 {
			t.Errorf("%d keys signed in %d hours, want one an hour", n, hours)
		}
		if e, _ := r.Get(t.Context(), "ring"); e.Version > 3*hours {
			t.Errorf("%d writes for %d rotations, want two each", e.Version, hours)
		} else if len(e.Value) > 4<<10 {
			t.Errorf("the entry has grown to %d bytes", len(e.Value))
		}
	})
}

func TestARotationByHandIsRacedToOne(t *testing.T) {
	for _, name := range []string{"outcomes known", "outcomes unknown"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := memory.New(memory.Config{}).Registry()
				if name == "outcomes unknown" {
					r = &forgetful{Registry: r}
				}
				a, b := run(t, load(t, r, nil)), run(t, load(t, r, nil))
				first, now := signing(t, a, time.Now()), time.Now()
				var won, waits int
				var mu sync.Mutex
				var all sync.WaitGroup
				for _, k := range []*keys.Keyring{a, b, a, b} {
					all.Go(func() {
						info, err := k.Rotate(t.Context(), token.ES384, now)
						mu.Lock()
						defer mu.Unlock()
						switch {
						case err == nil && info.State == jwks.Published && info.Algorithm == token.ES384:
							won++
						case errors.Is(err, keys.ErrWaiting):
							waits++
						default:
							t.Errorf("Rotate = %+v, %v", info, err)
						}
					})
				}
				all.Wait()
				synctest.Wait()
				if won != 1 || waits != 3 {
					t.Errorf("%d successors, %d told to wait", won, waits)
				}
				if got := states(b, now); got != "active published" || signing(t, b, now.Add(10*time.Minute-1)) != first {
					t.Errorf("%s; the successor signs too early", got)
				}
				if signing(t, b, now.Add(10*time.Minute)) == first {
					t.Error("the successor does not sign after publish_ahead")
				}
			})
		})
	}
}

// forgetful is a registry that never knows whether it wrote.
type forgetful struct{ store.Registry }

func (f *forgetful) Put(ctx context.Context, key string, value []byte, old uint64) error {
	if err := f.Registry.Put(ctx, key, value, old); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return store.ErrUnknown
}

func TestARevokedKeyIsGoneFromEveryNode(t *testing.T) {
	tests := []struct {
		name   string
		rotate bool
		after  time.Duration // from the rotation to the revocation
		revoke func(old, successor string) string
		signs  string
	}{
		{"the only key", false, 0, func(old, _ string) string { return old }, "new"},
		{"the active key while a successor waits", true, time.Minute, func(old, _ string) string { return old }, "successor"},
		{"the successor while it waits", true, time.Minute, func(_, s string) string { return s }, "old"},
		{"the active key while another retires", true, 11 * time.Minute, func(_, s string) string { return s }, "new"},
		{"the retiring key", true, 11 * time.Minute, func(old, _ string) string { return old }, "successor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := memory.New(memory.Config{}).Registry()
				a, b := run(t, load(t, r, nil)), run(t, load(t, r, nil))
				old, successor := signing(t, a, time.Now()), ""
				if tt.rotate {
					info, err := a.Rotate(t.Context(), "", time.Now())
					if err != nil {
						t.Fatal(err)
					}
					successor = info.ID
				}
				time.Sleep(tt.after)
				synctest.Wait()
				kid, now := tt.revoke(old, successor), time.Now()
				for range 2 { // twice is once
					if err := a.Revoke(t.Context(), kid, now); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				signs := signing(t, b, now)
				is := map[string]string{old: "old", successor: "successor"}[signs]
				if is == "" {
					is = "new"
				}
				if is != tt.signs || signing(t, a, now) != signs {
					t.Errorf("%s signs (%s), want %s on both nodes", signs, is, tt.signs)
				}
				for _, k := range []*keys.Keyring{a, b} {
					if shows(t, k, kid, now) || k.Find(kid, token.ES256, now) != nil || !shows(t, k, signs, now) {
						t.Error("a node shows the revoked key, or not the one that signs")
					}
				}
				if behind := signing(t, b, now.Add(-5*time.Second)); behind != signs && behind != old || behind == kid {
					t.Errorf("on a node that is 5 s behind %q signs", behind)
				}
				edit(t, r, "ring", func(record map[string]any) {
					for _, k := range record["keys"].([]any) {
						if k := k.(map[string]any); k["kid"] == kid && k["sealed"] != nil {
							t.Error("the private half of the revoked key is still at rest")
						}
					}
				})
				if err := a.Revoke(t.Context(), "nobody", now); !errors.Is(err, keys.ErrNoSuchKey) {
					t.Errorf("Revoke(nobody) = %v", err)
				}
			})
		})
	}
}

func TestAnotherAlgorithmIsPublishedAtTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memory.New(memory.Config{}).Registry()
		with := func(alg token.Algorithm) *keys.Keyring {
			return load(t, r, func(c *keys.Config) { c.Algorithm = alg })
		}
		algorithm := func(k *keys.Keyring, in time.Duration) token.Algorithm {
			s, err := k.Signer(time.Now().Add(in))
			if err != nil {
				t.Fatal(err)
			}
			return s.Algorithm()
		}
		with(token.ES256)
		k := with(token.EdDSA)
		if algorithm(k, 0) != token.ES256 || algorithm(k, 10*time.Minute) != token.EdDSA {
			t.Errorf("now %s, after publish_ahead %s", algorithm(k, 0), algorithm(k, 10*time.Minute))
		}
		// Again while that one waits: its turn comes first, ours is not forgotten.
		k = run(t, with(token.ES384))
		if got := states(k, time.Now()); got != "active published" {
			t.Errorf("states: %s", got)
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if algorithm(k, 0) != token.EdDSA || algorithm(k, 10*time.Minute) != token.ES384 {
			t.Errorf("then %s, and after it %s", algorithm(k, 0), algorithm(k, 10*time.Minute))
		}
		time.Sleep(30 * time.Minute)
		// One rotation by hand to another algorithm is not undone by a start.
		if _, err := k.Rotate(t.Context(), token.ES256, time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		if k := with(token.ES384); algorithm(k, time.Hour) != token.ES256 {
			t.Errorf("the rotation by hand was undone: %s", algorithm(k, time.Hour))
		}
	})
}

func TestAMACKeyOutlivesItsLastSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memory.New(memory.Config{}).Registry()
		life := func(d time.Duration) func(*keys.Config) {
			return func(c *keys.Config) { c.SessionAbsolute = d }
		}
		load(t, r, life(20*day)) // sessions lived longer once
		a, b := run(t, load(t, r, life(12*time.Hour))), run(t, load(t, r, life(12*time.Hour)))
		type session struct {
			id  string
			mac []byte
			end time.Time
		}
		var open []session
		ids := map[string]bool{}
		for range 4 * 200 {
			now := time.Now()
			for _, s := range open {
				if mac, err := b.MAC(s.id, []byte("m")); err != nil || !bytes.Equal(mac, s.mac) {
					t.Fatalf("the key of a session that ends in %s: %v", s.end.Sub(now), err)
				}
			}
			id := a.CurrentMAC(now)
			mac, err := a.MAC(id, []byte("m"))
			if err != nil || len(mac) != 32 || b.CurrentMAC(now) != id {
				t.Fatalf("%v; the nodes use %q and %q", err, id, b.CurrentMAC(now))
			}
			ids[id] = true
			open = append(open, session{id, mac, now.Add(20 * day)})
			open = slices.DeleteFunc(open, func(s session) bool { return !now.Before(s.end) })
			if len(ids) > 1 { // the first key's longest life is 20 d, that of later ones 12 h
				open = slices.DeleteFunc(open, func(s session) bool { return s.id == id || s.end.Sub(now) < 19*day+12*time.Hour && len(ids) > 2 })
			}
			time.Sleep(6 * time.Hour)
			synctest.Wait()
		}
		if len(ids) != 7 {
			t.Errorf("%d MAC keys in 200 days, want 7", len(ids))
		}
		edit(t, r, "mac", func(record map[string]any) {
			if n := len(record["keys"].([]any)); n != 1 {
				t.Errorf("%d keys are kept, want the current one", n)
			}
		})
		for id := range ids {
			if _, err := a.MAC(id, nil); (err == nil) != (id == a.CurrentMAC(time.Now())) {
				t.Errorf("MAC key %q: %v", id, err)
			} else if err != nil && !errors.Is(err, keys.ErrNoSuchKey) {
				t.Errorf("MAC = %v", err)
			}
		}
	})
}

func TestANewMACKeyIsKnownBeforeItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memory.New(memory.Config{}).Registry()
		a := run(t, load(t, r, nil))
		first := a.CurrentMAC(time.Now())
		time.Sleep(30*day - 5*time.Minute)
		synctest.Wait()
		next := a.CurrentMAC(time.Now().Add(10 * time.Minute))
		if a.CurrentMAC(time.Now()) != first || next == first {
			t.Fatalf("5 minutes before: now %q, then %q", first, next)
		}
		if _, err := a.MAC(next, nil); err != nil {
			t.Errorf("the next key is not known yet: %v", err)
		}
	})
}

// flaky is a registry that fails while it is down.
type flaky struct {
	store.Registry
	mu   sync.Mutex
	down chan struct{} // closed while down
}

var errDown = errors.New("down")

func (f *flaky) state() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

func (f *flaky) Get(ctx context.Context, key string) (store.Entry, error) {
	select {
	case <-f.state():
		return store.Entry{}, errDown
	default:
		return f.Registry.Get(ctx, key)
	}
}

func (f *flaky) Watch(ctx context.Context, prefix string, changed func(store.Entry)) error {
	down := f.state()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.Registry.Watch(ctx, prefix, changed) }()
	select {
	case <-down:
		cancel()
		<-ended
		return errDown
	case err := <-ended:
		return err
	}
}

func TestTheTimelineIsKeptAfterAnOutageOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Config{}).Registry()
		r := &flaky{Registry: engine, down: make(chan struct{})}
		a := run(t, load(t, r, func(c *keys.Config) { c.Rotate = time.Hour }))
		first := signing(t, a, time.Now())
		close(r.down)
		time.Sleep(3 * time.Hour)
		if signing(t, a, time.Now()) != first {
			t.Error("a key signs that was never written")
		}
		r.mu.Lock()
		r.down = make(chan struct{})
		r.mu.Unlock()
		time.Sleep(6*time.Second + 10*time.Minute)
		synctest.Wait()
		if signing(t, a, time.Now()) == first {
			t.Error("the rotation that was due did not happen")
		}
		// And changes of others arrive again.
		b := load(t, engine, nil)
		if err := b.Revoke(t.Context(), signing(t, b, time.Now()), time.Now()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if signing(t, a, time.Now()) != signing(t, b, time.Now()) {
			t.Error("a revocation by another node did not arrive")
		}
	})
}

func TestARingThatRotatesTooFastWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memory.New(memory.Config{}).Registry()
		k := run(t, load(t, r, func(c *keys.Config) { c.Rotate, c.PublishAhead = time.Second, time.Second }))
		for range 1200 { // tokens live longer than 600 keys sign
			time.Sleep(time.Second)
			now := time.Now()
			if kid := signing(t, k, now); !shows(t, k, kid, now) {
				t.Fatal("the key that signs is not shown")
			}
			if n := len(k.List(now)); n > 24 {
				t.Fatalf("%d keys", n)
			}
		}
		if _, err := k.Rotate(t.Context(), "", time.Now()); !errors.Is(err, keys.ErrWaiting) {
			t.Errorf("Rotate = %v", err)
		}
		if err := k.Revoke(t.Context(), signing(t, k, time.Now()), time.Now()); err != nil {
			t.Errorf("Revoke = %v", err)
		}
		signing(t, k, time.Now())
	})
}

func TestKeysThatWereRemovedFromTheStoreAreMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memory.New(memory.Config{}).Registry()
		k := run(t, load(t, r, nil))
		old, oldMAC := signing(t, k, time.Now()), k.CurrentMAC(time.Now())
		synctest.Wait() // it watches
		for _, entry := range []string{"ring", "mac"} {
			e, err := r.Get(t.Context(), entry)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Put(t.Context(), entry, nil, e.Version); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if now := time.Now(); signing(t, k, now) == old || shows(t, k, old, now) || k.CurrentMAC(now) == oldMAC {
			t.Error("a removed key is still in use")
		}
	})
}

func TestAListTellsWhatHappensAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := load(t, memory.New(memory.Config{}).Registry(), nil)
		if _, err := k.Rotate(t.Context(), token.EdDSA, time.Now()); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(k.List(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		var list []struct {
			Kid, Algorithm, State string
			Steps                 []struct {
				At    time.Time
				State string
				Why   string
			}
		}
		if err := json.Unmarshal(data, &list); err != nil || len(list) != 2 {
			t.Fatalf("%s: %v", data, err)
		}
		old, next := list[0], list[1]
		if old.State != "active" || next.State != "published" || next.Algorithm != "EdDSA" {
			t.Errorf("%s", data)
		}
		want := []string{"published 0s", "active 0s", "retiring 10m0s", "removed 21m0s"}
		for i, s := range old.Steps {
			in := max(0, time.Until(s.At)).Round(time.Second).String()
			if s.State+" "+in != want[i] || s.Why == "" {
				t.Errorf("step %d: %+v, want %s", i, s, want[i])
			}
		}
		steps := k.Next(time.Now())
		if len(steps) != 4 || steps[0].At.After(steps[3].At) || steps[3].Why != "planned: a key signs for 30d" {
			t.Errorf("Next = %+v", steps)
		}
	})
}
