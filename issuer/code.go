package issuer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

// codeMemory is how long a code is remembered after it was made: a second use
// must still lead to the session the first one made.
const codeMemory = time.Hour

// codeData is what an authorization code stands for: what the user consented
// to, and after its use what it made. It is the Data of a store.Code document.
type codeData struct {
	MAC         string   `json:"mac"` // id of the key its text is authenticated with
	Client      string   `json:"client"`
	Subject     string   `json:"sub"`
	RedirectURI string   `json:"redirect_uri,omitempty"` // as the request gave it; empty: it gave none
	Challenge   string   `json:"challenge,omitempty"`    // "code_challenge", S256; empty: none was given
	Audience    string   `json:"aud"`
	Scopes      []string `json:"scopes,omitempty"`
	Nonce       string   `json:"nonce,omitempty"`
	AuthTime    int64    `json:"auth_time"` // when the user signed in, Unix seconds
	Made        int64    `json:"iat"`       // when the code was made, Unix seconds
	Expires     int64    `json:"exp"`       // the code's own end, Unix milliseconds

	Used     bool   `json:"used,omitempty"`
	Session  string `json:"sid,omitempty"` // the session its use made, if the client may refresh
	Token    string `json:"jti,omitempty"` // the access token its use made
	TokenEnd int64  `json:"jti_exp,omitempty"`
}

// putCode stores what the user consented to and returns the code's text. It
// fills in MAC, Made and Expires; the error is the store's or the key ring's.
func (is *Issuer) putCode(ctx context.Context, d codeData, now time.Time) (string, error) {
	d.MAC = is.cfg.Keys.CurrentMAC(now)
	d.Made = now.Unix()
	d.Expires = now.Add(is.cfg.Lifetimes.Code).UnixMilli()
	data, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("issuer: code: %w", err)
	}
	end := now.Add(codeMemory).Truncate(time.Second).UTC()
	id := store.NewID(now, end)
	text, err := is.codeText(d.MAC, id)
	if err != nil {
		return "", fmt.Errorf("issuer: code: %w", err)
	}
	doc := store.Document{Kind: store.Code, ID: id, End: end, Data: data}
	if err := is.cfg.Engine.Documents().Put(ctx, doc); err != nil {
		return "", fmt.Errorf("issuer: code: %w", err)
	}
	return text, nil
}
