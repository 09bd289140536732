package verify

import (
	"container/heap"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/token"
)

// cache remembers tokens whose signature held: their parsed form and the key,
// and nothing that could make a verdict (DESIGN 3.10). It is found by the whole
// token, compared in full; it is bounded in bytes, and drops what is over first
// and then what was not used of late. It may forget any token at any time.
type cache struct {
	seed   maphash.Seed
	shards []shard

	mu      sync.Mutex
	headers [16]*header
	next    int // of headers to be replaced
}

// shard is a part of the cache with a lock of its own.
type shard struct {
	mu    sync.Mutex
	found table // by the token's hash; of two tokens with one hash the later stays
	all   byEnd
	hand  int // of the clock: where in all the search for what was not used goes on
	bytes int
	limit int
	_     [64]byte // a cache line apart
}

// entry is one token. Only used changes, and place under the shard's lock.
type entry struct {
	reading
	hash  uint64
	bytes int32
	place int32 // in shard.all
	used  atomic.Bool
}

// The shape of a cache.
const (
	maxShards  = 64 // a power of two
	leastShard = 256 << 10
	perSlot    = 8 + 64 // bytes: a pointer in byEnd, a slot of a table that is half full
	entrySize  = 384    // bytes of an entry
	headerSize = 112    // bytes of a header
	maxTurn    = 64     // entries that one search for a victim looks at
)

// newCache returns a cache of so many bytes, nil for zero.
func newCache(bytes int) *cache {
	if bytes <= 0 {
		return nil
	}
	n := maxShards
	for n > 1 && bytes/n < leastShard {
		n /= 2
	}
	c := &cache{
		seed:   maphash.MakeSeed(),
		shards: make([]shard, n),
	}
	for i := range c.shards {
		c.shards[i].limit = bytes / n
	}
	return c
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash>>32&uint64(len(c.shards)-1)] }

// find returns what is remembered of raw, nil if that is nothing. What is over
// for any leeway is not found, and judged as if it had never been seen.
func (c *cache) find(raw string, now time.Time) *reading {
	if c == nil || len(raw) > token.MaxSize {
		return nil
	}
	hash := maphash.String(c.seed, raw)
	s := c.shard(hash)
	s.mu.Lock()
	at := s.found.find(hash)
	s.mu.Unlock()
	if at.e == nil || at.e.over(now) || at.raw != raw {
		return nil
	}
	if !at.e.used.Load() {
		at.e.used.Store(true)
	}
	return &at.e.reading
}

// over reports whether no policy accepts the token any more.
func (e *entry) over(now time.Time) bool { return !now.Before(e.claims.Expires.Add(MaxLeeway)) }

// add remembers a token whose signature held, by a key of p's issuer.
func (c *cache) add(raw string, r *reading, p *policy, now time.Time) {
	if c == nil {
		return
	}
	e := c.entry(raw, r, p)
	s := c.shard(e.hash)
	if e.over(now) || int(e.bytes) > s.limit {
		return
	}
	at := slot{e.hash, strings.Clone(raw), e}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.found.find(e.hash).e; old != nil {
		s.remove(int(old.place))
	}
	for s.bytes+int(e.bytes) > s.limit {
		s.remove(s.victim(now))
	}
	s.found.add(at)
	s.bytes += int(e.bytes)
	heap.Push(&s.all, e)
}

// entry copies what it keeps, so that it holds neither the request's memory nor
// the codec's. What the tokens of a policy say alike they share: that is in the
// processor's cache already when a token is found.
func (c *cache) entry(raw string, r *reading, p *policy) *entry {
	e := &entry{reading: *r, hash: maphash.String(c.seed, raw)}
	e.header = c.header(r.header)
	k := &e.claims
	k.Raw = append(make([]byte, 0, len(k.Raw)), k.Raw...)
	k.Issuer = p.URL
	texts := []*string{&k.Subject, &k.ClientID, &k.ID, &k.Session, &k.Scope, &k.Confirm.JKT, &k.Confirm.X5T, &k.Confirm.Other}
	if len(k.Audience) == 1 && len(p.audiences) == 1 && k.Audience[0] == p.audiences[0] {
		k.Audience = p.audiences[:1:1]
	} else if k.Audience != nil { // nil stays nil: the claim is absent
		k.Audience = append(make([]string, 0, len(k.Audience)), k.Audience...)
		for i := range k.Audience {
			texts = append(texts, &k.Audience[i])
		}
	}
	e.bytes = int32(entrySize + perSlot + sized(len(raw)) + headerSize + len(e.kid) + len(e.typ) + sized(len(k.Raw)) + sized(pack(texts)) + sized(16*(len(k.Audience)+len(e.lacks))))
	return e
}

// header returns a copy of h that the tokens of one key share. The last few are
// known; an entry counts one as its own.
func (c *cache) header(h *header) *header {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.headers {
		if known != nil && known.kid == h.kid && known.typ == h.typ && known.key.Equal(h.key) && known.key.ID() == h.key.ID() {
			return known
		}
	}
	own := &header{alg: h.key.Algorithm(), kid: strings.Clone(h.kid), typ: strings.Clone(h.typ), key: h.key}
	c.headers[c.next] = own
	c.next = (c.next + 1) % len(c.headers)
	return own
}

// pack moves strings into one piece of memory and returns its length.
func pack(texts []*string) int {
	n := 0
	for _, t := range texts {
		n += len(*t)
	}
	var b strings.Builder
	b.Grow(n)
	for _, t := range texts {
		b.WriteString(*t)
	}
	all := b.String()
	for _, t := range texts {
		*t, all = all[:len(*t)], all[len(*t):]
	}
	return n
}

// sized is the memory that n bytes take: allocations are rounded up by an eighth
// at most.
func sized(n int) int { return n + n/8 + 8 }

// victim chooses the entry that has to go: one that is over, else the next one
// that was not used since the hand passed it.
func (s *shard) victim(now time.Time) int {
	if s.all[0].over(now) {
		return 0
	}
	for range maxTurn {
		s.hand = (s.hand + 1) % len(s.all)
		if !s.all[s.hand].used.Swap(false) {
			break
		}
	}
	return s.hand
}

func (s *shard) remove(place int) {
	e := heap.Remove(&s.all, place).(*entry)
	s.found.remove(e.hash)
	s.bytes -= int(e.bytes)
}

// byEnd is a heap of entries, the first to end on top.
type byEnd []*entry

func (b byEnd) Len() int           { return len(b) }
func (b byEnd) Less(i, j int) bool { return b[i].claims.Expires.Before(b[j].claims.Expires) }
func (b byEnd) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = int32(i), int32(j)
}

// Push implements heap.Interface.
func (b *byEnd) Push(x any) {
	e := x.(*entry)
	e.place = int32(len(*b))
	*b = append(*b, e)
}

// Pop implements heap.Interface.
func (b *byEnd) Pop() any {
	last := len(*b) - 1
	e := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return e
}
