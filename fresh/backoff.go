package fresh

import "time"

const (
	shortest = 10 * time.Millisecond // the first pause for lives that are shorter still
	maxWish  = 5 * time.Minute       // of a service's Retry-After
)

// after is how long no attempt is made after the n-th failure in a row (n from
// 1). Life is that of the layer's leases, zero if not known; wish is the
// service's own; random is in [0, 1).
func (p Policy) after(n int, life, wish time.Duration, random float64) time.Duration {
	wait, most := p.Backoff, p.MaxWait
	if life > 0 {
		wait, most = min(wait, max(life/10, shortest)), min(most, max(life/2, time.Second))
	}
	for ; n > 1 && wait <= most/2; n-- {
		wait *= 2
	}
	if n > 1 {
		wait = most
	}
	wait = min(wait, most)
	wait -= time.Duration(random * float64(wait/4))
	return max(wait, min(wish, maxWish))
}
