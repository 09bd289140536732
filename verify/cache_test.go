package verify

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// turning are keys that a test replaces.
type turning struct{ set jwks.Set }

func (k *turning) Keys(ctx context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	return k.set.Keys(ctx, kid, alg)
}

func (k *turning) Holds(kid string, alg token.Algorithm, key token.Key) bool {
	return k.set.Holds(kid, alg, key)
}

// shy are keys that cannot say which key they hold.
type shy struct{ keys Keys }

func (s shy) Keys(ctx context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	return s.keys.Keys(ctx, kid, alg)
}

// world is what two verifiers of the same policies, one of them with a cache,
// both look at.
type world struct {
	signers       []token.Signer // two of them share a kid, one has none
	tokens        []string
	keys          turning
	ended         map[string]token.Reason // by kid and by jti
	plain, cached *Verifier
}

func newWorld(t *testing.T) world {
	var w world
	for _, kid := range []string{"a", "a", "b", ""} {
		w.signers = append(w.signers, newSigner(t, kid, token.EdDSA))
	}
	for i, s := range w.signers {
		for j, more := range []claims{
			{}, {"aud": mail}, {"iat": at(25).Unix(), "nbf": at(25).Unix()}, {"nbf": at(40).Unix()}, {"exp": at(4000).Unix()},
			{"iat": nil, "nbf": nil}, {"cnf": claims{"jkt": thumb}}, {"sub": nil}, {"tenant": "x"}, {"iss": issuerB},
			{"aud": nil}, {"aud": []string{mail, orders}}, {"iss": issuerB, "aud": nil},
		} {
			c := good().with(claims{"jti": fmt.Sprint(i, j)}).with(more)
			w.tokens = append(w.tokens, sign(t, s, "at+jwt", c), sign(t, s, "JWT", c))
		}
	}
	return w
}

// begin returns w with new verifiers.
func (w world) begin(t *testing.T, holder bool, cacheBytes int) *world {
	w.ended = map[string]token.Reason{}
	var keys Keys = &w.keys
	if !holder {
		keys = shy{&w.keys}
	}
	w.plain, w.cached = w.verifier(t, keys, 0), w.verifier(t, keys, cacheBytes)
	return &w
}

func (w *world) verifier(t *testing.T, keys Keys, cacheBytes int) *Verifier {
	memory := &uses{seen: map[string]time.Time{}}
	return mustNew(t, Config{
		Issuers: []Issuer{
			{URL: issuerA, Audience: orders, Keys: keys, FollowSkew: true, Leeway: 10 * time.Second},
			{URL: issuerA, Audience: mail, Keys: keys, Profile: JWT, Required: []string{"tenant"}},
			{URL: issuerB, Profile: JWT, SubjectFrom: "aud", Keys: keys},
		},
		First: memory.first,
		Ended: func(kid string, c *token.Claims, _ time.Time) error {
			for _, what := range []string{"kid " + kid, "jti " + c.ID} {
				if r := w.ended[what]; r != "" {
					return token.Refuse(r, "%s has ended, as has the key of %s", what, c.Subject)
				}
			}
			return nil
		},
		CacheBytes: cacheBytes,
	})
}

// rotate shows some of the keys, in some order.
func (w *world) rotate(rt *rapid.T) {
	var keys []token.Key
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(w.signers)-1), 0, 5).Draw(rt, "keys") {
		k := w.signers[i].Key()
		if rapid.Bool().Draw(rt, "renamed") { // the material under a kid of another
			k, _ = token.NewKey(rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(rt, "kid"), k.Algorithm(), k.Public())
		}
		keys = append(keys, k)
	}
	w.keys.set = jwks.FromKeys(keys...)
}

func (w *world) end(rt *rapid.T) {
	switch what := rapid.SampledFrom([]string{"kid a", "kid b", "jti 0 0", "jti 2 0"}).Draw(rt, "ended"); {
	case w.ended[what] != "":
		delete(w.ended, what)
	case what[:3] == "kid":
		w.ended[what] = token.KeyRevoked
	default:
		w.ended[what] = token.Revoked
	}
}

func (w *world) need(rt *rapid.T) Need {
	n := Need{
		Audience: rapid.SampledFrom([]string{"", "", orders, mail}).Draw(rt, "audience"),
		Once:     rapid.IntRange(0, 9).Draw(rt, "once") == 0,
		Users:    rapid.IntRange(0, 9).Draw(rt, "users") == 0,
	}
	switch rapid.IntRange(0, 5).Draw(rt, "need") {
	case 0:
		n.Scopes = []string{"orders.delete"}
	case 1:
		n.Clients = []string{"batch"}
	case 2:
		n.Binding = DPoP
	case 3:
		n.Shown = func(time.Time) (token.Confirmation, error) { return token.Confirmation{JKT: thumb}, nil }
	}
	return n
}

// later goes to and fro while tokens live, and then on: a book of clocks forgets
// which tokens it saw when they are over, and all it knew when time is set back.
func later(rt *rapid.T, now time.Time) time.Time {
	if over := at(360); !now.Before(over) || rapid.IntRange(0, 9).Draw(rt, "over") == 0 {
		return now.Add(max(over.Sub(now), 0) + time.Duration(rapid.IntRange(0, 90).Draw(rt, "later"))*time.Second)
	}
	return at(rapid.IntRange(-60, 359).Draw(rt, "now"))
}

// For any token and any change of keys, early ends, time and need: the verdict
// with the cache is the verdict without it, to the last byte.
func TestTheCacheChangesNoVerdict(t *testing.T) {
	all := newWorld(t)
	for _, tt := range []struct {
		name   string
		holder bool
		bytes  int
	}{
		{"a cache that holds all", true, 1 << 20},
		{"a cache that holds three", true, 6 << 10},
		{"keys that cannot say", false, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := all.begin(t, tt.holder, tt.bytes)
				w.rotate(rt)
				now := start
				for range rapid.IntRange(1, 60).Draw(rt, "steps") {
					switch rapid.IntRange(0, 9).Draw(rt, "step") {
					case 0:
						w.rotate(rt)
					case 1:
						w.end(rt)
					case 2:
						now = later(rt, now)
					default:
						raw := rapid.SampledFrom(w.tokens).Draw(rt, "token")
						need := w.need(rt)
						plain, cached := w.plain.at(raw, need, now), w.cached.at(raw, need, now)
						if !reflect.DeepEqual(plain, cached) {
							rt.Fatalf("%s\nwithout: %+v\nwith:    %+v", raw, plain, cached)
						}
					}
				}
			})
		})
	}
}

// Cold or warm, a token lacks what it lacks.
func TestEachTokenIsJudgedAlikeTheSecondTime(t *testing.T) {
	all := newWorld(t)
	w := all.begin(t, true, 1<<20)
	for _, s := range w.signers {
		w.keys.set = jwks.FromKeys(s.Key())
		for _, raw := range w.tokens {
			want := w.plain.at(raw, Need{}, start)
			for _, turn := range []string{"cold", "warm"} {
				if got := w.cached.at(raw, Need{}, start); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %+v, want %+v", turn, got, want)
				}
			}
		}
	}
}

// A kid whose key was replaced is another key.
func TestAReusedKidIsNoHit(t *testing.T) {
	old, renewed := newSigner(t, "k1", token.ES256), newSigner(t, "k1", token.ES256)
	keys := &turning{jwks.FromKeys(old.Key())}
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keys}}, CacheBytes: 1 << 20})
	raw := sign(t, old, "at+jwt", good())
	wantReason(t, v.at(raw, Need{}, start), "")
	keys.set = jwks.FromKeys(renewed.Key())
	wantReason(t, v.at(raw, Need{}, start), token.BadSignature)
	keys.set = jwks.FromKeys()
	wantReason(t, v.at(raw, Need{}, start), token.UnknownKey)
	keys.set = jwks.FromKeys(renewed.Key(), old.Key())
	wantReason(t, v.at(raw, Need{}, start), "")
}

// counting counts how often it is asked for keys, which is how often signatures
// are checked.
type counting struct {
	turning
	asked int
}

func (k *counting) Keys(ctx context.Context, kid string, alg token.Algorithm) ([]token.Key, error) {
	k.asked++
	return k.turning.Keys(ctx, kid, alg)
}

func TestWhatEntersTheCache(t *testing.T) {
	key, stranger := newSigner(t, "k1", token.EdDSA), newSigner(t, "k1", token.EdDSA)
	raw := sign(t, key, "at+jwt", good())
	tests := []struct {
		name  string
		raw   string
		bytes int
		first time.Time
		then  time.Time
		asked int // for two verifications
	}{
		{"a good token", raw, 1 << 20, start, start, 1},
		{"a token for another audience", sign(t, key, "at+jwt", good().with(claims{"aud": mail})), 1 << 20, start, start, 1},
		{"a token that is over within the longest leeway", raw, 1 << 20, start, at(359), 1},
		{"a token that is over for ever by then", raw, 1 << 20, start, at(360), 2},
		{"a token that was over for ever", raw, 1 << 20, at(360), start, 2},
		{"a token without end", sign(t, key, "at+jwt", good().with(claims{"exp": nil})), 1 << 20, start, start, 2},
		{"a forged token", sign(t, stranger, "at+jwt", good()), 1 << 20, start, start, 2},
		{"a token larger than the cache", raw, 500, start, start, 2},
		{"no cache", raw, 0, start, start, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys := &counting{turning: turning{jwks.FromKeys(key.Key())}}
			v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keys}}, CacheBytes: tt.bytes})
			v.at(tt.raw, Need{}, tt.first)
			v.at(strings.Clone(tt.raw), Need{}, tt.then)
			if keys.asked != tt.asked {
				t.Errorf("asked for keys %d times, want %d", keys.asked, tt.asked)
			}
		})
	}
}

// Two tokens with one hash stand in each other's way and are never taken for
// each other.
func TestTokensWithOneHashAreToldApart(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{}, key)
	v.cache = newCache(leastShard) // one shard
	alice, bob := sign(t, key, "at+jwt", good()), sign(t, key, "at+jwt", good().with(claims{"sub": "bob"}))
	wantReason(t, v.at(alice, Need{}, start), "")
	collide(v.cache, v.cache.shards[0].all[0], alice, bob)
	if got := v.at(bob, Need{}, start); got.Claims.Subject != "bob" {
		t.Errorf("bob is taken for %q", got.Claims.Subject)
	}
	if got := v.at(alice, Need{}, start); got.Claims.Subject != "alice" {
		t.Errorf("alice is taken for %q", got.Claims.Subject)
	}
}

// A check of a token that was verified before allocates nothing.
func TestAHitAllocatesNothing(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v := mustNew(t, Config{
		Issuers:    []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key), Required: []string{"sid"}, FollowSkew: true}},
		Ended:      func(string, *token.Claims, time.Time) error { return nil },
		CacheBytes: 1 << 20,
	})
	raw := sign(t, key, "at+jwt", good())
	need := Need{Audience: orders, Scopes: []string{"orders.write", "orders.read"}, Clients: []string{"batch", "web"}}
	wantReason(t, v.at(raw, need, start), "")
	if n := testing.AllocsPerRun(100, func() {
		if !v.at(raw, need, start).Accepted() {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	key := newSigner(b, "k1", token.ES256)
	v := mustNew(b, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}}, CacheBytes: 1 << 20})
	raw := sign(b, key, "at+jwt", good())
	v.at(raw, Need{}, start)
	for b.Loop() {
		if !v.at(raw, Need{}, start).Accepted() {
			b.Fatal("refused")
		}
	}
}

// collide makes e, which is for raw, stand where other would be looked for.
func collide(c *cache, e *entry, raw, other string) {
	s := c.shard(e.hash)
	s.found.remove(e.hash)
	e.hash = c.entry(other, &e.reading, &ours).hash
	s.found.add(slot{e.hash, raw, e})
}

// ours is whose tokens are put into a cache directly.
var ours = policy{Issuer: Issuer{URL: issuerA, Audience: orders}, audiences: []string{orders}}

func ending(end time.Time) *reading {
	r := newReading(header{})
	r.claims = token.Claims{Issuer: issuerA, Expires: end}
	return r
}

// filled is a cache of one shard with n tokens, the first to end first, and
// what was put in.
func filled(n int) (*cache, []string) {
	c := newCache(leastShard)
	var raws []string
	for i := range n {
		raws = append(raws, strings.Repeat("t", 600)+fmt.Sprint(i))
		c.add(raws[i], ending(at(300+i)), &ours, start)
	}
	return c, raws
}

func (c *cache) holds(raws []string, now time.Time) (n int) {
	for _, raw := range raws {
		if at := c.shards[0].found.find(c.entry(raw, ending(start), &ours).hash); at.e != nil && at.raw == raw {
			n++
		}
	}
	return n
}

func TestWhatIsOverGoesFirst(t *testing.T) {
	c, raws := filled(10000)
	room := c.holds(raws, start)
	if room < 50 || room == len(raws) {
		t.Fatalf("%d of %d tokens found room", room, len(raws))
	}
	c, raws = filled(room)
	now := at(300 + room/2).Add(MaxLeeway - time.Second) // half of them is over
	for i := range room / 2 {
		c.add(strings.Repeat("n", 600)+fmt.Sprint(i), ending(at(9000)), &ours, now)
	}
	if n := c.holds(raws[room/2:], now); n != room-room/2 {
		t.Errorf("%d of %d tokens that live were dropped", room-room/2-n, room-room/2)
	}
	if n := c.holds(raws[:room/2], now); n > 1 { // the last may have left a little room
		t.Errorf("%d tokens that are over stayed", n)
	}
}

func TestWhatIsUsedStays(t *testing.T) {
	c, raws := filled(10000)
	room := c.holds(raws, start)
	c, raws = filled(room)
	used := raws[:room/4]
	for i := range 5 * room {
		for _, raw := range used {
			if c.find(raw, start) == nil {
				t.Fatalf("a token in use is gone after %d others", i)
			}
		}
		c.add(strings.Repeat("n", 600)+fmt.Sprint(i), ending(at(300+i%100)), &ours, start)
	}
}

// The bound is one of memory, whatever the tokens look like.
func TestTheCacheIsBoundedInBytes(t *testing.T) {
	const bytes = 4 << 20
	for name, c := range map[string]token.Claims{
		"small claims": {Issuer: issuerA, Subject: "alice"},
		"large claims": {Issuer: issuerA, Subject: strings.Repeat("s", 900), Scope: strings.Repeat("x ", 400), Raw: make([]byte, 3000)},
	} {
		t.Run(name, func(t *testing.T) {
			c.Expires = at(300)
			before := heapBytes()
			cache := newCache(bytes)
			for i := range 20000 {
				raw := fmt.Sprintf("%d.%s", i, strings.Repeat("t", 100+i%500))
				piece := raw + strings.Repeat("p", 2000) // of which every string of a token is one
				c.Subject, c.ID, c.Audience = piece[:9], piece[9:30], []string{piece[:20]}
				r := newReading(header{alg: token.Algorithm(piece[:5]), kid: piece[:4], typ: piece[:6]})
				r.claims = c
				cache.add(raw, r, &ours, start)
			}
			if grown := int(heapBytes() - before); grown > bytes*11/10 || grown < bytes/2 {
				t.Errorf("%d bytes for a bound of %d", grown, bytes)
			}
			for i := range cache.shards {
				s := &cache.shards[i]
				if s.found.taken != len(s.all) || s.bytes > s.limit {
					t.Errorf("shard %d: %d found, %d held, %d of %d bytes", i, s.found.taken, len(s.all), s.bytes, s.limit)
				}
			}
			runtime.KeepAlive(cache)
		})
	}
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A table holds what a map would, whatever the hashes share.
func TestATableIsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var found table
		model := map[uint64]*entry{}
		hash := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Just(uint64(math.MaxUint64)), rapid.Uint64())
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			h := hash.Draw(rt, "hash")
			if model[h] != nil {
				found.remove(h)
				delete(model, h)
			} else {
				model[h] = &entry{hash: h}
				found.add(slot{h, "", model[h]})
			}
			for known, e := range model {
				if got := found.find(known); got.e != e {
					rt.Fatalf("%d finds %p, want %p", known, got.e, e)
				}
			}
			if found.find(h).e != model[h] || found.taken != len(model) || 4*found.taken > 3*len(found.slots) {
				rt.Fatalf("%d of %d slots taken by %d entries", found.taken, len(found.slots), len(model))
			}
		}
	})
}

// Many callers find, add and drop at once; each gets its own token's claims.
func TestManyUseTheCacheAtOnce(t *testing.T) {
	c := newCache(leastShard)
	now := start
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 3000 {
				n := (i*7 + g*13) % 500 // more than there is room for
				raw := fmt.Sprintf("%d.%s", n, strings.Repeat("t", 600))
				if r := c.find(raw, now); r != nil {
					if r.claims.Subject != fmt.Sprint(n) {
						t.Errorf("%d finds the token of %s", n, r.claims.Subject)
					}
					continue
				}
				r := ending(at(300 + i%90))
				r.claims.Subject = fmt.Sprint(n)
				c.add(raw, r, &ours, now)
			}
		})
	}
	all.Wait()
	if s := &c.shards[0]; s.found.taken != len(s.all) || s.bytes > s.limit || len(s.all) < 50 {
		t.Errorf("%d found, %d held, %d of %d bytes", s.found.taken, len(s.all), s.bytes, s.limit)
	}
}

// A hit hands out memory of the cache and never that of a request.
func TestTheCacheKeepsNoRequestAlive(t *testing.T) {
	request := []byte(strings.Repeat("r", 100))
	r := newReading(header{kid: "k"})
	r.claims = token.Claims{Issuer: issuerA, Subject: "alice", Audience: []string{orders}, Raw: request, Expires: at(300)}
	c := newCache(1 << 20)
	c.add("raw", r, &ours, start)
	clear(request)
	r.claims.Audience[0] = mail
	got := c.find("raw", start)
	if got == nil || got.claims.Subject != "alice" || got.claims.Audience[0] != orders || string(got.claims.Raw) != strings.Repeat("r", 100) || got.kid != "k" {
		t.Errorf("found %+v", got)
	}
}
