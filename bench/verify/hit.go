package verify

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unsafe"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// HitConfig is how much to measure of the cache of verified tokens.
type HitConfig struct {
	Config
	Live int // tokens that are hit, in random order; default 100,000
	Seen int // distinct tokens that the bounded cache sees; default 1,000,000
}

// Hit is the cost of one contender that has verified the token before.
type Hit struct {
	Contender string
	CPU       time.Duration // of one hit, the clock included and the reading of the request not; median over the rounds
	Ratio     float64       // to the bare cache, median over the rounds
	Mallocs   float64       // of one hit
}

// Memory is what a bounded cache holds after many tokens.
type Memory struct {
	Seen         int
	Bound, Grown int64 // bytes
}

// bound of the cache whose memory is measured.
const bound = 64 << 20

// RunHits measures goal V2 and writes its table to w.
func RunHits(w io.Writer) error {
	cfg := HitConfig{}
	hits, err := MeasureHits(cfg)
	if err != nil {
		return err
	}
	memory, err := MeasureMemory(cfg)
	if err != nil {
		return err
	}
	return PrintHits(w, hits, memory)
}

func (cfg HitConfig) withDefaults() HitConfig {
	if cfg.Rounds == 0 {
		cfg.Rounds = 21
	}
	if cfg.Turn == 0 {
		cfg.Turn = 20 * time.Millisecond
	}
	if cfg.Live == 0 {
		cfg.Live = 100_000
	}
	if cfg.Seen == 0 {
		cfg.Seen = 1_000_000
	}
	return cfg
}

// MeasureHits hits tokens in random order: with a clock alone, with a map that
// honours nothing but the token's end, and with Longcase's whole judgement.
func MeasureHits(cfg HitConfig) ([]Hit, error) {
	cfg = cfg.withDefaults()
	signer, _, err := newSigner(token.ES256)
	if err != nil {
		return nil, err
	}
	raws, err := mint(signer, cfg.Live)
	if err != nil {
		return nil, err
	}
	lanes := []lane{
		{name: "request", check: arrival(raws)},
		{name: "bare cache", check: bareHit(raws)},
		{name: "time.Now", check: func() error { return accept(!time.Now().IsZero()) }},
		{name: "verify", check: nil},
	}
	v, err := cached(signer, 4<<10*cfg.Live)
	if err != nil {
		return nil, err
	}
	if lanes[3].check, err = verifiedHit(v, raws); err != nil {
		return nil, err
	}
	if err := fill(cfg.Config, lanes); err != nil {
		return nil, err
	}
	if err := race(cfg.Config, lanes); err != nil {
		return nil, err
	}
	net(lanes[1], lanes[0])
	net(lanes[3], lanes[0])
	var hits []Hit
	for _, l := range lanes[1:] {
		n, err := mallocs(l.check)
		if err != nil {
			return nil, err
		}
		hits = append(hits, Hit{l.name, median(l.costs), median(over(l, lanes[1])), n})
	}
	return hits, nil
}

// net takes the cost of a request's arrival off a lane's.
func net(l, arrival lane) {
	for i := range l.costs {
		l.costs[i] -= arrival.costs[i]
	}
}

// over is the ratio of a lane's cost to another's, round by round.
func over(l, base lane) []float64 {
	ratios := make([]float64, len(l.costs))
	for i := range ratios {
		ratios[i] = float64(l.costs[i]) / float64(base.costs[i])
	}
	return ratios
}

// mint makes n tokens that differ in their "jti".
func mint(signer token.Signer, n int) ([]string, error) {
	now := time.Now()
	raws := make([]string, n)
	for i := range raws {
		raw, err := signer.Sign("at+jwt", numbered(now, i))
		if err != nil {
			return nil, err
		}
		raws[i] = raw
	}
	return raws, nil
}

// numbered are the claims of token i.
func numbered(now time.Time, i int) []byte {
	fill := strings.Replace(string(claims(now, 197)), "b2f1c7d9e0a34856", fmt.Sprintf("%016d", i), 1)
	return []byte(fill)
}

func cached(signer token.Signer, bytes int) (*verify.Verifier, error) {
	return verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			URL: issuer, Audience: audience, Algorithms: []token.Algorithm{signer.Algorithm()}, Keys: verify.Fixed{signer.Key()},
		}},
		Ended:      func(string, *token.Claims, time.Time) error { return nil },
		CacheBytes: bytes,
	})
}

// verifiedHit hits what v has verified.
func verifiedHit(v *verify.Verifier, raws []string) (func() error, error) {
	ctx := context.Background()
	need := verify.Need{Audience: audience}
	for _, raw := range raws {
		if verdict := v.Verify(ctx, raw, need, time.Now()); !verdict.Accepted() {
			return nil, token.Refuse(verdict.Reason, "%s", verdict.Detail)
		}
	}
	next := shuffled(raws)
	return func() error {
		verdict := v.Verify(ctx, next(), need, time.Now())
		return accept(verdict.Accepted())
	}, nil
}

// bareHit is the least that a cache can do: a map behind a lock, and the end.
func bareHit(raws []string) func() error {
	var mu sync.RWMutex
	ends := make(map[string]*token.Claims, len(raws))
	for _, raw := range raws {
		ends[strings.Clone(raw)] = &token.Claims{Subject: "service-a", Expires: time.Now().Add(time.Hour)}
	}
	next := shuffled(raws)
	return func() error {
		raw := next()
		mu.RLock()
		c := ends[raw]
		mu.RUnlock()
		return accept(c != nil && time.Now().Before(c.Expires))
	}
}

// arrival is what it costs to take a token in, which every lane but the clock
// does.
func arrival(raws []string) func() error {
	next := shuffled(raws)
	return func() error { return accept(next() != "") }
}

// shuffled returns tokens in an order that no cache of the processor foresees,
// each copied first, as a server that reads a request does. A token is good until
// the next one comes.
func shuffled(raws []string) func() string {
	copies := make([]string, len(raws))
	for i, j := range rand.Perm(len(raws)) {
		copies[i] = strings.Clone(raws[j])
	}
	at := 0
	var request [token.MaxSize]byte
	return func() string {
		at = (at + 1) % len(copies)
		n := copy(request[:], copies[at])
		return unsafe.String(&request[0], n)
	}
}

// mallocs counts the allocations of one check.
func mallocs(check func() error) (float64, error) {
	const times = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if err := check(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / times, nil
}

// MeasureMemory shows distinct tokens to a verifier with a bounded cache and
// returns by how much the heap grew.
func MeasureMemory(cfg HitConfig) (Memory, error) {
	cfg = cfg.withDefaults()
	signer, _, err := newSigner(token.HS256)
	if err != nil {
		return Memory{}, err
	}
	v, err := cached(signer, bound)
	if err != nil {
		return Memory{}, err
	}
	before, now := heap(), time.Now()
	for i := range cfg.Seen {
		raw, err := signer.Sign("at+jwt", numbered(now, i))
		if err != nil {
			return Memory{}, err
		}
		if verdict := v.Verify(context.Background(), raw, verify.Need{}, now); !verdict.Accepted() {
			return Memory{}, token.Refuse(verdict.Reason, "%s", verdict.Detail)
		}
	}
	grown := heap() - before
	runtime.KeepAlive(v)
	return Memory{Seen: cfg.Seen, Bound: bound, Grown: grown}, nil
}

// heap is the memory in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// PrintHits writes the figures of goal V2 as a table.
func PrintHits(w io.Writer, hits []Hit, m Memory) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "hit of a verified token, clock included\tCPU\tover a bare cache\tallocations\t\n")
	for _, h := range hits {
		fmt.Fprintf(table, "%s\t%.2f µs\t%.2f\t%.0f\t\n", h.Contender, float64(h.CPU)/1000, h.Ratio, h.Mallocs)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	const mib = 1 << 20
	_, err := fmt.Fprintf(w, "memory of a verifier after %d distinct tokens: %.1f MiB, what it knows of clocks included; the cache's bound is %d MiB\n", m.Seen, float64(m.Grown)/mib, m.Bound/mib)
	return err
}
