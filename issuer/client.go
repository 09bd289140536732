package issuer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/verify"
)

// The ways a client authenticates.
const (
	AuthSecret = "secret"          // client_secret_basic or client_secret_post, RFC 6749 section 2.3.1
	AuthKey    = "private_key_jwt" // RFC 7523 section 2.2
	AuthNone   = "none"            // a public client
)

// The grants.
const (
	GrantClientCredentials = "client_credentials"
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
)

// Client is a client of the token service and what it may ask for.
type Client struct {
	ID           string
	Authenticate string      // AuthSecret, AuthKey or AuthNone
	SecretHash   string      // AuthSecret: text of a password.SecretHash
	Keys         verify.Keys // AuthKey: its public keys
	Grants       []string
	Audiences    []string
	Scopes       []string
	RedirectURIs []string
	Origins      []string // of browsers that may call with CORS
	Revocations  bool     // may follow the feed and introspect what others' tokens say
}

// Clients finds clients by their id.
type Clients interface {
	// Client returns the client or ErrNoClient.
	Client(ctx context.Context, id string) (Client, error)
	// Origin reports whether any client lists this web origin, byte for byte.
	Origin(ctx context.Context, origin string) (bool, error)
}

// Users knows who can sign in; issuer/password has one for a fixed list.
type Users interface {
	// Check reports whether name has this password, and the subject it stands
	// for. The error says that it could not be found out.
	Check(ctx context.Context, name, password string) (subject string, ok bool, err error)
	// Has reports whether subject may still sign in; a session of one who may
	// not is refreshed no more.
	Has(ctx context.Context, subject string) (bool, error)
}

// ErrNoClient is the error of Clients.
var ErrNoClient = errors.New("issuer: no such client")

func (c Client) may(grant string) bool { return slices.Contains(c.Grants, grant) }

// credentials are what a request offers to authenticate its client, by exactly
// one method.
type credentials struct {
	basic     bool // in the Authorization header
	id        string
	secret    string
	assertion string // a JWT; id may be empty then
}

// maxClientID bounds what is looked up, in bytes.
const maxClientID = 255

// authenticate finds the client and checks its credentials. Whether the client
// exists, has another method or another secret is told to the log only.
func (is *Issuer) authenticate(ctx context.Context, cr credentials, now time.Time) (Client, *refusal) {
	c, r := is.identify(ctx, cr, now)
	if r != nil {
		r.basic = cr.basic && r.code == invalidClient
	}
	return c, r
}

func (is *Issuer) identify(ctx context.Context, cr credentials, now time.Time) (Client, *refusal) {
	if cr.assertion != "" {
		return is.authenticateByKey(ctx, cr, now)
	}
	c, known, err := is.lookUp(ctx, cr.id)
	if err != nil {
		return Client{}, unavailable("find the client", err)
	}
	matches := c.hasSecret(cr.secret) // always, so that an unknown client takes as long
	switch {
	case !known:
		return Client{}, failed("no such client")
	case cr.secret == "" && !cr.basic && c.Authenticate == AuthNone:
		return c, nil
	case c.Authenticate != AuthSecret:
		return Client{}, failed("client %q authenticates by %s", c.ID, c.Authenticate)
	case cr.secret == "":
		return Client{}, failed("client %q sent no secret", c.ID)
	case !matches:
		return Client{}, failed("wrong secret for client %q", c.ID)
	}
	return c, nil
}

// failed is the one answer to a client that is not who it says.
func failed(why string, args ...any) *refusal {
	return refuse(invalidClient, "client authentication failed: check the client's id, its method and its secret or key").because(why, args...)
}

// lookUp finds a client; one that does not exist is not an error.
func (is *Issuer) lookUp(ctx context.Context, id string) (Client, bool, error) {
	if id == "" || len(id) > maxClientID {
		return Client{}, false, nil
	}
	c, err := is.cfg.Clients.Client(ctx, id)
	switch {
	case errors.Is(err, ErrNoClient):
		return Client{}, false, nil
	case err != nil:
		return Client{}, false, err
	}
	return c, true, nil
}

// hasSecret compares in constant time; to the hash of a client that has none,
// which is zero, no secret hashes.
func (c Client) hasSecret(secret string) bool {
	hash, err := password.ParseSecretHash(c.SecretHash)
	return hash.Matches(secret) && err == nil
}
