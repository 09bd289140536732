package gatetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// Certificate is one for name, signed by the authority by, or by itself where by is
// nil: then it is an authority too.
func Certificate(t testing.TB, name string, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: by == nil, BasicConstraintsValid: true,
		NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// SignFor makes a token that is bound to a certificate (RFC 8705 section 3.1).
func SignFor(t testing.TB, s token.Signer, c tls.Certificate) string {
	t.Helper()
	return Sign(t, s, Good(Start()).With(Claims{"cnf": Claims{"x5t#S256": digest(c.Certificate[0])}}))
}

// Prover is a client with a DPoP key.
type Prover struct {
	JKT string // the key's thumbprint (RFC 7638)
	key ed25519.PrivateKey
	jwk Claims
}

// NewProver makes a client's key.
func NewProver(t testing.TB) Prover {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := Claims{"crv": "Ed25519", "kty": "OKP", "x": b64(pub)}
	return Prover{digest(encoded(t, jwk)), key, jwk} // JSON has the members in the order that RFC 7638 asks for
}

// Token makes a token that is bound to the client's key.
func (p Prover) Token(t testing.TB, s token.Signer) string {
	t.Helper()
	return Sign(t, s, Good(Start()).With(Claims{"cnf": Claims{"jkt": p.JKT}}))
}

// Proof is one of RFC 9449 section 4.2 for method, URL, token and nonce, where there
// is one; change is what it says else.
func (p Prover) Proof(t testing.TB, method, url, raw, nonce string, change Claims) string {
	t.Helper()
	says := Claims{"jti": rand.Text(), "htm": method, "htu": url, "iat": Start().Unix(), "ath": digest([]byte(raw))}
	if nonce != "" {
		says["nonce"] = nonce
	}
	header := Claims{"typ": "dpop+jwt", "alg": "EdDSA", "jwk": p.jwk}
	signed := b64(encoded(t, header)) + "." + b64(encoded(t, says.With(change)))
	return signed + "." + b64(ed25519.Sign(p.key, []byte(signed)))
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return b64(sum[:])
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
