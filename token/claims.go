package token

import (
	"strings"
	"time"
)

// Claims are the registered claims of an access token (RFC 9068 section 2.2)
// and the few others Longcase judges. A time that is absent is the zero time, a
// string that is absent is empty; Raw keeps everything, byte for byte.
type Claims struct {
	Issuer    string
	Subject   string
	Audience  []string // RFC 7519 section 4.1.3; a single string is a list of one
	ClientID  string   // "client_id", RFC 8693 section 4.3
	ID        string   // "jti"
	Session   string   // "sid"
	Scope     string   // "scope", space-delimited, RFC 8693 section 4.2; also of an array, or of "scp"
	IssuedAt  time.Time
	NotBefore time.Time
	Expires   time.Time
	AuthTime  time.Time    // OpenID Connect Core section 2
	Confirm   Confirmation // "cnf", RFC 7800
	Raw       []byte       // the payload as it was signed: one JSON object
}

// Confirmation binds a token to a key: to all that it names at once. The zero
// value binds nothing.
type Confirmation struct {
	JKT string // "jkt": RFC 7638 thumbprint of the DPoP key, RFC 9449 section 6.1
	X5T string // "x5t#S256": certificate hash, RFC 8705 section 3.1
	// Other is the name of a member that stands for a method not understood here
	// ("kid", "jwk", "jwe", "jku" of RFC 7800, or a newer one): a token that has
	// one is bound to what nobody here can check.
	Other string
}

// Window is when the token may be used.
func (c Claims) Window() Window { return Window{NotBefore: c.NotBefore, Expires: c.Expires} }

// Scopes splits Scope at its spaces, and at nothing else (RFC 6749 section 3.3).
func (c Claims) Scopes() []string {
	return strings.FieldsFunc(c.Scope, func(r rune) bool { return r == ' ' })
}
