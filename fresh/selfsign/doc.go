// Package selfsign makes a service's own JWTs, one per audience, from a key that
// never leaves the service: no token service, no shared secret, minutes-long
// lives.
//
//	b := fresh.New(selfsign.JWT(selfsign.Config{
//		Issuer: "https://service-a.example.com", Audience: "https://service-b.example.com", KeyFile: "a.pem",
//	}), fresh.Policy{Name: "b-token"})
//
// A token holds iss, sub, client_id (the same as sub), aud, iat, nbf, exp and
// jti; its typ is at+jwt and its kid the key's RFC 7638 thumbprint. Gates take it
// with profile rfc9068 (RFC 9068 section 2) and with profile jwt. nbf is 10 s
// before iat, for callees whose clocks are behind; exp is iat and the lifetime.
//
// The key is read again for each token: put the successor's public half into the
// set that callees read, wait until they have it, then replace the file.
package selfsign
