package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// issuing is what the histories of the protocol speak to: an issuer's node, or
// a toy.
type issuing interface {
	redeem(ctx context.Context, code string) (reply, error)
	refresh(ctx context.Context, token string) (reply, error)
	revoke(ctx context.Context, token string) (reply, error)
}

// The shape of a history of the protocol.
const (
	grantsEach   = 3
	protocolMost = 40 // steps of a client
)

// protocol is what the clients of one history share: a few grants whose tokens
// all of them hold.
type protocol struct {
	*history
	nodes  []issuing
	rng    *rand.Rand
	grants []*holding
}

// holding is one code and the refresh tokens that came of it, the newest last.
type holding struct {
	key  key
	code string

	mu     sync.Mutex
	tokens []string
}

func newProtocol(name string, nodes []issuing, codes []string, seed uint64) *protocol {
	p := &protocol{history: newHistory(name, grantModels()), nodes: nodes, rng: rand.New(rand.NewPCG(seed, 1))}
	for i, code := range codes {
		p.grants = append(p.grants, &holding{key: key{kindGrant, fmt.Sprint(i)}, code: code})
	}
	return p
}

func (g *holding) learn(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.tokens, token) {
		g.tokens = append(g.tokens, token)
	}
}

// token is the newest most of the time, now and then its predecessor, and late
// in a history any.
func (g *holding) token(rng *rand.Rand, late bool) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.tokens)
	switch r := rng.IntN(60); {
	case n == 0:
		return ""
	case r == 0 && late:
		return g.tokens[rng.IntN(n)]
	case r < 8 && n > 1:
		return g.tokens[n-2]
	default:
		return g.tokens[n-1]
	}
}

func (p *protocol) run(ctx context.Context, settled <-chan struct{}) {
	var all sync.WaitGroup
	for i := range clients {
		rng := rand.New(rand.NewPCG(p.rng.Uint64(), uint64(i)))
		all.Go(func() { p.client(ctx, i, rng, settled) })
	}
	all.Wait()
}

func (p *protocol) client(ctx context.Context, i int, rng *rand.Rand, settled <-chan struct{}) {
	over := false
	for n := 0; n < leastSteps || n < protocolMost && !over; {
		select {
		case <-settled:
			over = true
		case <-ctx.Done():
			return
		default:
		}
		out, failed := p.step(ctx, i, rng, over)
		if out != not || over {
			n++
		}
		wait := time.Duration(rng.IntN(4000)) * time.Microsecond
		if failed {
			wait = time.Duration(20+rng.IntN(180)) * time.Millisecond
		}
		time.Sleep(wait)
	}
	select {
	case <-settled:
	case <-ctx.Done():
	}
	for range lastSteps {
		p.step(ctx, i, rng, true)
	}
}

// step asks one node once. One answer in ten is lost on the way, and so is now
// and then a request that its client gave up. What ends a session comes late
// most of the time, so that a fault meets it alive.
//
// failed says that the issuer could not do it.
func (p *protocol) step(ctx context.Context, i int, rng *rand.Rand, over bool) (out outcome, failed bool) {
	limit := 5 * time.Second
	if rng.IntN(15) == 0 {
		limit = time.Duration(rng.IntN(4000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	g, at, drop := p.grants[rng.IntN(len(p.grants))], p.nodes[rng.IntN(len(p.nodes))], rng.IntN(10) == 0
	token, odds := g.token(rng, over), 400
	if over {
		odds = 50
	}
	switch n := rng.IntN(odds); {
	case token == "" || n == 0:
		return p.ask(ctx, i, g, input{Op: opRedeem}, drop && token != "", func() (reply, error) { return at.redeem(ctx, g.code) })
	case n == 1:
		return p.ask(ctx, i, g, input{Op: opRevoke, Value: p.alias(token)}, drop, func() (reply, error) { return at.revoke(ctx, token) })
	default:
		return p.ask(ctx, i, g, input{Op: opRefresh, Value: p.alias(token)}, drop, func() (reply, error) { return at.refresh(ctx, token) })
	}
}

// ask records a request, and keeps the token that came of it.
func (p *protocol) ask(ctx context.Context, i int, g *holding, in input, drop bool, call func() (reply, error)) (told outcome, failed bool) {
	var token string
	out := p.do(i, g.key, in, func() (output, error) {
		got, err := call()
		out := output{Err: outcomeOfReply(got, err)}
		failed = out.Err == not || out.Err == unknown
		switch {
		case out.Err == wrong:
			return out, fmt.Errorf("the issuer answers %d %s", got.status, got.err)
		case failed && ctx.Err() != nil:
			err = ctx.Err()
		case failed && err == nil:
			err = fmt.Errorf("the issuer answers %d %s", got.status, got.err)
		case drop || ctx.Err() != nil:
			out.Err = unknown
		case got.refresh != "":
			token = got.refresh
			out.Value = p.alias(token)
		}
		return out, err
	})
	if token != "" {
		g.learn(token)
	}
	return out.Err, failed
}
