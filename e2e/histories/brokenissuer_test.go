package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// mistake is one way in which an issuer can be wrong. The issuer's rule has no
// seam to break it at, so these are a toy's; breakages below the issuer are
// shown under the real one, see TestBrokenIssuersAreCaught.
type mistake int

const (
	right        mistake = iota
	anyAncestor          // the grace takes every older token, not the predecessor alone
	forks                // the grace makes a new successor each time
	rotatesTwice         // looks for the session and rotates it in two steps
	redeemsTwice         // finds the code and consumes it in two steps
	outlives             // a revoked session still yields to who asked before
)

// toyIssuer keeps one session, by the rule of DESIGN 3.2 but for one mistake.
type toyIssuer struct {
	mistake mistake

	mu     sync.Mutex
	rng    *rand.Rand
	used   bool
	chain  []string // every token given out, the newest last
	others map[string]bool
	ended  bool
	serial int
}

func newToyIssuer(m mistake, seed uint64) *toyIssuer {
	return &toyIssuer{mistake: m, rng: rand.New(rand.NewPCG(seed, 9)), others: map[string]bool{}}
}

func (is *toyIssuer) gap(m mistake) {
	if is.mistake != m {
		return
	}
	wait := time.Duration(is.rng.IntN(4000)) * time.Microsecond
	is.mu.Unlock()
	time.Sleep(wait)
	is.mu.Lock()
}

func (is *toyIssuer) next() string {
	is.serial++
	token := fmt.Sprintf("toy-%d", is.serial)
	is.chain = append(is.chain, token)
	return token
}

func granted(token string) (reply, error) { return reply{status: http.StatusOK, refresh: token}, nil }

func refused() (reply, error) { return reply{status: http.StatusBadRequest, err: string(invalid)}, nil }

func (is *toyIssuer) redeem(context.Context, string) (reply, error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.used {
		is.ended = true
		return refused()
	}
	is.gap(redeemsTwice)
	is.used = true
	return granted(is.next())
}

func (is *toyIssuer) refresh(_ context.Context, token string) (reply, error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.ended {
		return refused()
	}
	is.gap(outlives)
	is.ended = false // no effect where there was no gap
	newest := len(is.chain) - 1
	switch {
	case is.chain[newest] == token || is.others[token]:
		is.gap(rotatesTwice)
		return granted(is.next())
	case newest > 0 && is.chain[newest-1] == token && is.mistake == forks:
		is.serial++
		fork := fmt.Sprintf("fork-%d", is.serial)
		is.others[fork] = true
		return granted(fork)
	case newest > 0 && is.chain[newest-1] == token, is.mistake == anyAncestor:
		return granted(is.chain[newest])
	default:
		is.ended = true
		return refused()
	}
}

func (is *toyIssuer) revoke(context.Context, string) (reply, error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.ended = true
	return reply{status: http.StatusOK}, nil
}

// toyIssuers is one toy for each code.
type toyIssuers struct {
	byCode map[string]*toyIssuer

	mu      sync.Mutex
	byToken map[string]*toyIssuer
}

func newToyIssuers(m mistake, codes []string, seed uint64) *toyIssuers {
	all := &toyIssuers{byCode: map[string]*toyIssuer{}, byToken: map[string]*toyIssuer{}}
	for i, code := range codes {
		all.byCode[code] = newToyIssuer(m, seed+uint64(i))
	}
	return all
}

// outside gives tokens a name that tells whose they are.
func (a *toyIssuers) outside(is *toyIssuer, got reply, err error) (reply, error) {
	if got.refresh != "" {
		got.refresh = fmt.Sprintf("%p %s", is, got.refresh)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.byToken[got.refresh] = is
	}
	return got, err
}

func (a *toyIssuers) inside(token string) (*toyIssuer, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.byToken[token]
	return is, token[len(fmt.Sprintf("%p ", is)):]
}

func (a *toyIssuers) redeem(ctx context.Context, code string) (reply, error) {
	is := a.byCode[code]
	got, err := is.redeem(ctx, code)
	return a.outside(is, got, err)
}

func (a *toyIssuers) refresh(ctx context.Context, token string) (reply, error) {
	is, own := a.inside(token)
	got, err := is.refresh(ctx, own)
	return a.outside(is, got, err)
}

func (a *toyIssuers) revoke(ctx context.Context, token string) (reply, error) {
	is, own := a.inside(token)
	return is.revoke(ctx, own)
}
