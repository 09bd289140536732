// Package admin is administration over a Unix socket in the data directory:
// what may be asked (this file), who asks (Client) and who answers (the
// server). It is HTTP with JSON bodies; only the socket's owner and root get in.
//
// A secret never crosses the socket: a new client's secret is made by the
// command, and only its hash is sent.
package admin

import (
	"errors"
	"time"
)

// Socket is the socket's name in the data directory.
const Socket = "admin.sock"

// The paths, each answered to POST with a JSON body.
const (
	PathClientList    = "/client/list"
	PathClientShow    = "/client/show"
	PathClientAdd     = "/client/add"
	PathClientRemove  = "/client/remove"
	PathSessionList   = "/session/list"
	PathSessionRevoke = "/session/revoke"
	PathKeysList      = "/keys/list"
	PathKeysRotate    = "/keys/rotate"
	PathKeysRevoke    = "/keys/revoke"
	PathStoreBackup   = "/store/backup"
)

// The answers that are no. The server's words are wrapped around them.
var (
	ErrNotFound = errors.New("not found")              // 404
	ErrConflict = errors.New("the id is taken")        // 409: the id is taken, or belongs to the file
	ErrWaiting  = errors.New("a successor waits")      // 425: keys rotate
	ErrInvalid  = errors.New("the request is wrong")   // 400
	ErrDown     = errors.New("no server is running")   // nothing listens on the socket
	ErrDenied   = errors.New("the socket is not ours") // 403, or the socket's permissions
)

// Failure is the body of every answer that is not 200.
type Failure struct {
	Error string `json:"error"` // a sentence
}

// Client is one client of the issuer, without its secret.
type Client struct {
	ID           string   `json:"id"`
	Source       string   `json:"source"`       // "file" or "registry"
	Authenticate string   `json:"authenticate"` // "secret", "private_key_jwt" or "none"
	Grants       []string `json:"grants"`
	Audiences    []string `json:"audiences"`
	Scopes       []string `json:"scopes,omitempty"`
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	Origins      []string `json:"origins,omitempty"`
	Revocations  bool     `json:"revocations,omitempty"`
}

// ClientList is the answer of PathClientList; its request is {}.
type ClientList struct {
	Clients []Client `json:"clients"`
}

// ClientID is the request of PathClientShow (answer: Client) and
// PathClientRemove (answer: {}; ErrConflict if the file names the client).
type ClientID struct {
	ID string `json:"id"`
}

// NewClient is the request of PathClientAdd; the answer is a Client. An empty
// SecretHash makes a public client.
type NewClient struct {
	ID           string   `json:"id"`
	SecretHash   string   `json:"secret_hash,omitempty"`
	Grants       []string `json:"grants"`
	Audiences    []string `json:"audiences"`
	Scopes       []string `json:"scopes,omitempty"`
	RedirectURIs []string `json:"redirect_uris,omitempty"`
}

// SessionFilter is the request of PathSessionList. Empty fields match all.
type SessionFilter struct {
	Client  string `json:"client,omitempty"`
	Subject string `json:"subject,omitempty"`
	After   string `json:"after,omitempty"` // Next of the page before
	Limit   int    `json:"limit,omitempty"` // of one page; default and most 1000
}

// Session is one live session.
type Session struct {
	ID         string    `json:"id"`
	Client     string    `json:"client"`
	Subject    string    `json:"subject"`
	Generation uint64    `json:"generation"` // 1 and one more per refresh
	End        time.Time `json:"end"`        // absolute end
	Ended      bool      `json:"ended"`      // revoked, signed out or reused
}

// SessionPage is the answer of PathSessionList. Next is empty on the last page.
type SessionPage struct {
	Sessions []Session `json:"sessions"`
	Next     string    `json:"next,omitempty"`
}

// SessionRevoke is the request of PathSessionRevoke (answer: SessionsEnded). One
// of ID, Client and Subject, or none of them with Before: everything before it.
// With Client or Subject a zero Before means now.
type SessionRevoke struct {
	ID      string    `json:"id,omitempty"`
	Client  string    `json:"client,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Before  time.Time `json:"before,omitzero"`
}

// SessionsEnded is how many sessions this call ended. Those that had ended
// before are not counted.
type SessionsEnded struct {
	Sessions int `json:"sessions"`
}

// Key is one key of the ring with its timeline.
type Key struct {
	ID          string    `json:"id"`
	Algorithm   string    `json:"algorithm"`
	State       string    `json:"state"` // "published", "active", "retiring" or "revoked"
	Fingerprint string    `json:"fingerprint,omitempty"`
	Steps       []KeyStep `json:"steps"` // in the order of time, past and to come
}

// KeyStep is when a key comes into a state, and why then.
type KeyStep struct {
	State string    `json:"state"` // as above, or "removed"
	At    time.Time `json:"at"`
	Why   string    `json:"why,omitempty"`
}

// KeyList is the answer of PathKeysList; its request is {}.
type KeyList struct {
	Keys []Key `json:"keys"`
}

// KeyRotate is the request of PathKeysRotate; the answer is the successor, a
// Key, or ErrWaiting.
type KeyRotate struct {
	Algorithm string `json:"algorithm,omitempty"` // empty: as configured
}

// KeyID is the request of PathKeysRevoke; the answer is a KeyList of the ring
// afterwards.
type KeyID struct {
	ID string `json:"id"`
}

// Backup is the request of PathStoreBackup; the answer is {}. The copy is made
// on the server's machine: Dir is absolute and does not exist yet, or is empty.
type Backup struct {
	Dir string `json:"dir"`
}
