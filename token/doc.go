// Package token is the vocabulary every other room speaks: what a token says
// (Claims), how long it may live (Window), how it is written down (Parse, Sign)
// and why it was refused (Reason).
//
// It holds values only. Nothing here reads a clock, a socket, a file or a
// global, so each answer depends only on its arguments:
//
//	w := token.Window{NotBefore: iat, Expires: iat.Add(5 * time.Minute)}
//	err := w.Check(now, 30*time.Second)
//
// One token has one spelling: base64url is exact, JSON members are unique, and
// whatever is spelled otherwise is refused as Malformed. There is no JWE, no
// "none" and no algorithm taken from a header. What no parser can rule out is
// ECDSA's own second signature, (r, n-s) for (r, s): key whatever is used once
// by "iss" and "jti", never by the token's text.
//
// Terms follow RFC 6749, RFC 7515, RFC 7519 and RFC 9068. Where those disagree
// the newer one wins and the type's comment says so.
package token
