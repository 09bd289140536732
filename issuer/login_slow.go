package issuer

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// How failed logins are slowed.
const (
	freeFailures = 5
	longestWait  = 30 * time.Second
	forgetAfter  = 15 * time.Minute
	maxSlowed    = 10_000
	maxJudging   = 8 // attempts of one address at a time: passwords are hashed a few at a time for all
)

// slow counts failed logins by user name and address, so that a stranger slows
// a user down by longestWait at most, and only at the address he comes from (a
// proxy in front is one address for all). And it counts the attempts of an
// address that are being judged, whatever their names, so that one address
// cannot take every turn. It is bounded; the zero value is ready.
type slow struct {
	mu      sync.Mutex
	counts  map[attempt]failures
	swept   time.Time
	judging map[string]int // by address
}

type attempt struct {
	name    string
	address string
}

type failures struct {
	count int
	until time.Time // no attempt before
	last  time.Time
}

// begin counts an attempt as failed before it is judged, so that a burst of
// them is not judged together; undo and forget take it back. A wait above 0 means
// that the attempt may not be judged yet; after any other judged must follow.
func (s *slow) begin(a attempt, now time.Time) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	f := s.counts[a]
	if now.Before(f.until) {
		return f.until.Sub(now)
	}
	if s.judging[a.address] >= maxJudging {
		return time.Second
	}
	s.judging[a.address]++
	f.count++
	f.last = now
	if f.count >= freeFailures {
		f.until = now.Add(waitAfter(f.count))
	}
	s.counts[a] = f
	return 0
}

// judged gives the turn of an attempt back.
func (s *slow) judged(a attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.judging[a.address]--; s.judging[a.address] <= 0 {
		delete(s.judging, a.address)
	}
}

// waitAfter is 1 s after the last free failure and doubles with each further one.
func waitAfter(count int) time.Duration {
	return min(time.Second<<min(count-freeFailures, 10), longestWait)
}

// undo takes back an attempt that was not judged.
func (s *slow) undo(a attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.counts[a]; ok {
		f.count--
		s.counts[a] = f
	}
}

// forget takes every attempt back: the last one succeeded.
func (s *slow) forget(a attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.counts, a)
}

// sweep forgets what is old, and some other count if there are too many.
func (s *slow) sweep(now time.Time) {
	if s.counts == nil {
		s.counts, s.judging = map[attempt]failures{}, map[string]int{}
	}
	if now.Sub(s.swept) >= time.Minute {
		s.swept = now
		for a, f := range s.counts {
			if now.Sub(f.last) >= forgetAfter {
				delete(s.counts, a)
			}
		}
	}
	for a := range s.counts {
		if len(s.counts) < maxSlowed {
			return
		}
		delete(s.counts, a)
	}
}

// addressOf is the peer's address; of IPv6 the network of one subscriber.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}
