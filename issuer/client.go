package issuer

import (
	"context"
	"errors"
	"slices"

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
	SecretHash   string      // AuthSecret: "sha256$" + unpadded base64url of SHA-256 over the secret's text
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
