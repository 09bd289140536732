package gate

import (
	"context"
	"net/http"

	"github.com/longcase/longcase/token"
)

// Request is what an edge knows of the request that is to be judged.
type Request struct {
	Edge        string      // one of the Edge constants, for metrics and logs
	Method      string      // of the original request
	Target      string      // of the original request in origin form (RFC 9112 section 3.2.1), as the client sent it
	Scheme      string      // "https" or "http": how the client came, for DPoP where Config.URL is empty
	Host        string      // the authority the client called, as above
	Header      http.Header // of the original request
	Peer        string      // the client's address, with or without a port
	Certificate []byte      // the client's certificate, DER; nil: none
}

// Answer is what an edge says. The same request has the same Answer at every
// edge.
type Answer struct {
	Allowed bool
	Claims  *token.Claims // of an accepted token; nil for a preflight that is left alone
	Reason  string        // empty: allowed
	Detail  string
	Status  int         // of HTTP
	Header  http.Header // who was accepted (X-Token-…), or why not (WWW-Authenticate, X-Token-Reason, …)
	Body    []byte      // problem+json of a refusal
}

// Judge finds the route of r and judges its token. Adapters for other servers
// call it; Middleware and Handler do the same.
func (g *Gate) Judge(ctx context.Context, r Request) Answer {
	panic("not yet") // the owner of gate's core lands this first
}
