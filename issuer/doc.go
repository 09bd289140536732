// Package issuer is the token service: it turns a client's grant into tokens
// that have an end, one audience and a known key.
//
// It refuses to issue anything without an end, to keep an access token, to take
// a parameter twice and to say "revoked" when the store did not.
//
//	is, err := issuer.New(issuer.Config{URL: url, Engine: engine, Keys: ring, Clients: clients, Users: users})
//	go is.Run(ctx)
//	http.Serve(listener, is.Handler())
//
// A request goes one way: the handler reads now once, wire parses the form into
// a form (nothing reads the request again), client authenticates, the grant
// decides on an entitlement, policy trims it, mint signs, the store records,
// wire writes. One hook is called and one line is logged for each outcome.
//
// Sources: RFC 6749, 6750, 7009, 7523, 7636, 7662, 8414, 8707, 9068, 9207, 9700
// and OpenID Connect Core 1.0. Where they disagree the stricter one wins.
package issuer
