package gate

import (
	"time"

	"github.com/longcase/longcase/token"
)

// Record is one decision, for an audit log. It holds the token's id, never the
// token.
type Record struct {
	Time      time.Time `json:"time"`
	Edge      string    `json:"edge"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	Route     string    `json:"route,omitempty"`
	Peer      string    `json:"peer,omitempty"`
	Allowed   bool      `json:"allowed"`
	Preflight bool      `json:"preflight,omitempty"` // left alone: no token was asked for
	Reason    string    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Client    string    `json:"client,omitempty"`
	TokenID   string    `json:"token_id,omitempty"`
	KeyID     string    `json:"kid,omitempty"`
	Skew      *float64  `json:"skew_seconds,omitempty"`
}

// Decision is one judgement, for metrics.
type Decision struct {
	Edge      string        // "middleware", "verify", "proxy", "grpc" or "ext_authz"
	Route     string        // Path of the route, empty without one
	Issuer    string        // empty until the signature held
	Preflight bool          // a CORS preflight, which needs no token
	Reason    string        // empty: accepted; a token.Reason, "no_route" or "ambiguous_path"
	Took      time.Duration // of the judgement alone
}

// tell calls the hooks, once for each decision.
func (g *Gate) tell(r *Request, o *outcome, f *refusal) {
	if g.cfg.Hooks.Decided != nil {
		d := Decision{Edge: r.Edge, Route: o.route.Path, Preflight: o.preflight, Took: o.took}
		if o.verdict != nil {
			d.Issuer = o.verdict.Claims.Issuer
		}
		if f != nil {
			d.Reason = f.reason
		}
		g.cfg.Hooks.Decided(d)
	}
	if g.cfg.Hooks.Audit != nil {
		g.cfg.Hooks.Audit(g.record(r, o, f))
	}
}

// record is what the audit log keeps of a decision. What a client chose is cut
// to a length; what may hold secrets is left out.
func (g *Gate) record(r *Request, o *outcome, f *refusal) Record {
	rec := Record{
		Time: o.now, Edge: r.Edge, Method: token.Clip(r.Method), Path: token.Clip(pathOnly(r.Target)), Route: o.route.Path,
		Peer: token.Clip(r.Peer), Allowed: f == nil, Preflight: o.preflight && f == nil,
	}
	if ip, ok := g.client(r.Peer, r.Header); ok {
		rec.Peer = ip.String()
	}
	if f != nil {
		rec.Reason, rec.Detail = f.reason, bounded(f.detail)
	}
	if v := o.verdict; v != nil {
		c := &v.Claims
		rec.Issuer, rec.Subject, rec.Client, rec.TokenID = token.Clip(c.Issuer), token.Clip(c.Subject), token.Clip(c.ClientID), token.Clip(c.ID)
		rec.KeyID, rec.Skew = token.Clip(v.KeyID), v.SkewSeconds()
	}
	return rec
}
