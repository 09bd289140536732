package gateway

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	issuer   = "https://tokens.example.com"
	audience = "https://orders.example.com"
	size     = 600 // bytes of a token, about
	hot      = 50  // tokens of a cached lane
)

// mint signs the tokens of a run.
type mint struct {
	signer token.Signer
	pub    crypto.PublicKey
	now    time.Time
	fill   string
}

// newKey is a fresh key of ES256 or RS256.
func newKey(alg token.Algorithm) (crypto.Signer, error) {
	switch alg {
	case token.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case token.RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("algorithm %q is neither ES256 nor RS256", alg)
}

func newMint(now time.Time, alg token.Algorithm) (*mint, error) {
	key, err := newKey(alg)
	if err != nil {
		return nil, err
	}
	kid, err := jwks.Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	signer, err := token.NewSigner(kid, alg, key)
	if err != nil {
		return nil, err
	}
	m := &mint{signer: signer, pub: key.Public(), now: now}
	for {
		raw, err := m.token(0)
		if err != nil || len(raw) >= size {
			return m, err
		}
		m.fill += "x"
	}
}

// token is the token with number n, good for an hour.
func (m *mint) token(n int) (string, error) {
	return m.sign(fmt.Sprintf(`{"iss":%q,"sub":"service-a","aud":%q,"client_id":"service-a","jti":"bench-%08d-%d","iat":%d,"nbf":%d,"exp":%d,"scope":"orders.read%s"}`,
		issuer, audience, n, m.now.UnixNano(), m.now.Unix(), m.now.Unix()-10, m.now.Unix()+3600, m.fill))
}

func (m *mint) sign(claims string) (string, error) { return m.signer.Sign("at+jwt", []byte(claims)) }

// tokens are those numbered from first, count of them.
func (m *mint) tokens(first, count int) ([]string, error) {
	list := make([]string, count)
	for i := range list {
		var err error
		if list[i], err = m.token(first + i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// bad are tokens that every gateway here must refuse: over, and forged.
func (m *mint) bad() ([]string, error) {
	good, err := m.token(0)
	if err != nil {
		return nil, err
	}
	over, err := m.sign(fmt.Sprintf(`{"iss":%q,"sub":"service-a","aud":%q,"client_id":"service-a","jti":"over","iat":%d,"exp":%d}`,
		issuer, audience, m.now.Unix()-7200, m.now.Unix()-3600))
	dot := strings.LastIndexByte(good, '.') + 1
	return []string{over, good[:dot] + strings.Repeat("A", len(good)-dot)}, err
}

// write puts the public key into dir, in the two forms that gateways read, and
// returns both names.
func (m *mint) write(dir string) (set, text string, err error) {
	data, err := jwks.Marshal([]token.Key{m.signer.Key()})
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKIXPublicKey(m.pub)
	if err != nil {
		return "", "", err
	}
	set, text = filepath.Join(dir, "keys.json"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(set, data, 0o600); err != nil {
		return "", "", err
	}
	return set, text, os.WriteFile(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
}
