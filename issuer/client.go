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
}

// User is someone who can sign in.
type User struct {
	Name     string // "sub" of the tokens
	Password string // argon2id hash in PHC form
}

// Users finds users by their name.
type Users interface {
	// User returns the user or ErrNoUser.
	User(ctx context.Context, name string) (User, error)
}

// The errors of Clients and Users.
var (
	ErrNoClient = errors.New("issuer: no such client")
	ErrNoUser   = errors.New("issuer: no such user")
)

func (c Client) may(grant string) bool { return slices.Contains(c.Grants, grant) }
