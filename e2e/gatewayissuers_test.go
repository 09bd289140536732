package e2e

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// mint is an issuer that signs whatever a test wants: a key, a discovery
// document and a key set.
type mint struct {
	t   *testing.T
	URL string
	kid string
	key *ecdsa.PrivateKey
	ids atomic.Int64
}

// newMint starts an issuer. One that is dead has nobody listening at its URL.
func newMint(t *testing.T, kid string) *mint {
	t.Helper()
	m := &mint{t: t, kid: kid, key: newKey(t)}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server":
			_ = json.NewEncoder(rw).Encode(map[string]string{"issuer": m.URL, "jwks_uri": m.URL + "/jwks"})
		case "/jwks":
			_ = json.NewEncoder(rw).Encode(m.set())
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(s.Close)
	m.URL = s.URL
	return m
}

func (m *mint) set() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: m.key.Public(), KeyID: m.kid, Algorithm: "ES256", Use: "sig"}}}
}

// claims are a token's members; a nil value takes a member away.
type claims map[string]any

// good are the claims of a token that every route without further wishes takes.
// Each is of another client, whose rate is its own.
func (m *mint) good(change claims) claims {
	now, id := time.Now(), m.ids.Add(1)
	c := claims{
		"iss": m.URL, "sub": "alice", "aud": audience, "client_id": fmt.Sprintf("web%d", id), "scope": "orders.read",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": fmt.Sprintf("%s-%d", m.kid, id),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs good claims with the issuer's key.
func (m *mint) token(change claims) string {
	m.t.Helper()
	return sign(m.t, jose.ES256, jose.JSONWebKey{Key: m.key, KeyID: m.kid}, "at+jwt", m.good(change))
}

// sign makes a compact JWS of c.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, typ string, c claims) string {
	t.Helper()
	opt := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	if typ == "dpop+jwt" {
		opt.EmbedJWK = true
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opt)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(encode(t, c)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// thumbprint is the RFC 7638 thumbprint of a key, as "jkt" has it.
func thumbprint(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(5) // crypto.SHA256
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// proof is a DPoP proof (RFC 9449 section 4.2) for a POST to url with token.
func proof(t *testing.T, key *ecdsa.PrivateKey, url, token, nonce string) string {
	t.Helper()
	hash := sha256.Sum256([]byte(token))
	c := claims{
		"jti": strings.TrimPrefix(freshName(), "-"), "htm": "POST", "htu": url, "iat": time.Now().Unix(),
		"ath": base64.RawURLEncoding.EncodeToString(hash[:]),
	}
	if nonce != "" {
		c["nonce"] = nonce
	}
	return sign(t, jose.ES256, key, "dpop+jwt", c)
}

// names counts what has to differ from everything before it.
var names atomic.Int64

func freshName() string { return fmt.Sprintf("-%d-%d", time.Now().UnixNano(), names.Add(1)) }
