package gate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// The edges, as Decision, Record and the log name them.
const (
	edgeMiddleware = "middleware"
	edgeVerify     = "verify"
	edgeProxy      = "proxy"

	EdgeGRPC     = "grpc"
	EdgeExtAuthz = "ext_authz"
)

// Request is what an edge knows of the request that is to be judged.
type Request struct {
	Edge        string      // one of the Edge constants, for metrics and logs
	Method      string      // of the original request
	Target      string      // of the original request in origin form (RFC 9112 section 3.2.1), as the client sent it
	Scheme      string      // "https" or "http": how the client came, for DPoP where Config.URL is empty
	Host        string      // the authority the client called, as above
	Header      http.Header // of the original request, names in canonical form
	Peer        string      // who sent it, with or without a port: the client, or a proxy that says in X-Forwarded-For who the client is
	Certificate []byte      // of the connection, DER; for EdgeExtAuthz the client's; nil: none

	unrouted bool   // nobody knows the original request: Issuers alone decide
	bodied   bool   // a body comes with it
	wrong    string // why the edge cannot say what the original request was
}

// Answer is what an edge says. The same request has the same Answer at every
// edge.
type Answer struct {
	Allowed bool
	Claims  *token.Claims // of an accepted token, not to be written to; nil for a preflight that is left alone
	Reason  string        // empty: allowed
	Detail  string
	Status  int // of HTTP
	// Header says who was accepted (all of X-Token-Subject, -Client, -Scope and
	// -Expires, empty where there is nothing to say, so that whoever copies them
	// overwrites what the client sent), or why not (WWW-Authenticate,
	// X-Token-Reason, …).
	Header http.Header
	Body   []byte // problem+json of a refusal (RFC 9457)
	Nonce  string // DPoP-Nonce for the answer to the client of an accepted request; empty: none (RFC 9449 section 8.2)

	route *route
	path  string // the one canonical spelling of the target's path; empty without routes
}

// Judge finds the route of r and judges its token. Adapters for other servers
// call it; Middleware and Handler do the same.
func (g *Gate) Judge(ctx context.Context, r Request) Answer {
	a := g.judge(ctx, &r)
	if a.Allowed {
		a.Header = make(http.Header, len(identityHeaders))
		fillIdentity(a.Header, a.Claims)
	}
	return a
}

// outcome is what was found out about a request before it is said.
type outcome struct {
	now       time.Time
	route     *route
	path      string
	scheme    string // of Authorization
	nonce     string // for the next proof
	verdict   *verify.Verdict
	wait      time.Duration // until the rate allows one more; zero: it does
	counted   bool          // it counts for its client's rate
	preflight bool
	took      time.Duration
}

// judge is Judge without the Header of who was accepted, which not every edge
// needs. It is the one judgement.
func (g *Gate) judge(ctx context.Context, r *Request) Answer {
	o := outcome{now: g.cfg.Now(), route: g.any}
	f := g.decide(ctx, r, &o)
	g.tell(r, &o, f)
	if f != nil {
		g.logRefusal(ctx, r, o.route, f)
		return g.refused(&o, f)
	}
	a := Answer{Allowed: true, Status: http.StatusOK, Nonce: o.nonce, route: o.route, path: o.path}
	if !o.preflight {
		a.Claims = &o.verdict.Claims
	}
	return a
}

// decide fills o, and returns nil or why r goes no further.
func (g *Gate) decide(ctx context.Context, r *Request, o *outcome) *refusal {
	if e := g.tooOftenFrom(r, o); e != nil {
		v := verdictOf(e)
		return g.refusalOf(&v, o)
	}
	if r.wrong != "" {
		return notAllowed(r.wrong)
	}
	o.preflight = isPreflight(r)
	if err := g.locate(r, o); err != nil {
		return unroutable(err)
	}
	if o.preflight {
		return nil
	}
	return g.judgeToken(ctx, r, o)
}

// locate finds the route of r. Without routes a path is not the gate's business,
// unless it is to be proxied.
func (g *Gate) locate(r *Request, o *outcome) error {
	if r.unrouted || g.routes.empty() && r.Edge != edgeProxy {
		return nil
	}
	path, err := pathOfURI(r.Target)
	if err != nil {
		return err
	}
	rt, err := g.findRoute(r, path, o.preflight)
	if rt != nil {
		o.route = rt
	}
	if err != nil {
		return err
	}
	if r.Edge == edgeProxy && rt.proxy == nil {
		return errNoRoute // it is for forward-auth only
	}
	o.path = path
	return nil
}

// findRoute returns the route of r's method; that of a preflight is the route
// of the method it asks for, or any of its path.
func (g *Gate) findRoute(r *Request, path string, preflight bool) (*route, error) {
	if !preflight {
		return g.routes.find(r.Method, path)
	}
	rt, err := g.routes.find(r.Header[requestedMethod][0], path)
	if errors.Is(err, errMethod) {
		err = nil
	}
	return rt, err
}

// judgeToken judges the token of r for o's route.
func (g *Gate) judgeToken(ctx context.Context, r *Request, o *outcome) *refusal {
	var began time.Time
	if g.cfg.Hooks.Decided != nil {
		began = time.Now()
	}
	v := g.verdict(ctx, r, o)
	o.verdict = &v
	if g.cfg.Hooks.Decided != nil {
		o.took = time.Since(began)
	}
	if !v.Accepted() {
		return g.refusalOf(&v, o)
	}
	return nil
}

// verdict asks verify, and then what only a gate knows: whether the scheme fits
// the token, the rate of the client, and whether the proof is new. Single use comes
// last, so that what is refused for another reason is not used up.
func (g *Gate) verdict(ctx context.Context, r *Request, o *outcome) verify.Verdict {
	scheme, raw, err := authorization(r.Header)
	o.scheme = scheme
	if err != nil {
		return verdictOf(err)
	}
	need := o.route.need
	if scheme == schemeDPoP && need.Binding == verify.AnyBinding {
		need.Binding = verify.DPoP
	}
	proofs := g.shown(r, o, raw)
	need.Shown = proofs.keys()
	later := need.Once && (g.clients != nil || scheme == schemeDPoP) // for then beyond may refuse
	need.Once = need.Once && !later
	v := g.verifier.Verify(ctx, raw, need, o.now)
	if e := g.beyond(ctx, &v, o, proofs); e != nil {
		v.Reason, v.Detail, v.Err = e.Reason, e.Detail, errors.Join(v.Err, e.Err)
	}
	if v.Accepted() && later {
		shown := v.Claims.Confirm // it was proved already
		need.Once, need.Shown = true, func(time.Time) (token.Confirmation, error) { return shown, nil }
		v = g.verifier.Verify(ctx, raw, need, o.now)
	}
	if !v.Accepted() {
		g.giveBack(&v.Claims, o)
	}
	return v
}

// beyond is what a gate judges beyond verify.
func (g *Gate) beyond(ctx context.Context, v *verify.Verdict, o *outcome, proofs *showing) *token.Error {
	if v.Accepted() || v.Reason == token.BindingMissing && o.route.need.Binding == verify.AnyBinding {
		if e := fitsScheme(&v.Claims, o.scheme); e != nil {
			return e
		}
	}
	if !v.Accepted() {
		return nil
	}
	if e := g.tooOftenBy(&v.Claims, o); e != nil {
		return e
	}
	o.nonce = proofs.renewal(o.now)
	return proofs.spend(ctx)
}

func verdictOf(err error) verify.Verdict {
	var e *token.Error
	if !errors.As(err, &e) {
		e = &token.Error{Reason: token.Malformed, Err: err}
	}
	return verify.Verdict{Reason: e.Reason, Detail: e.Detail, Err: e.Err}
}
