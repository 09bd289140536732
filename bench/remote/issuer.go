package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const audience = "https://service-b.example.com"

// issuer is an issuer's metadata and key set.
type issuer struct {
	*httptest.Server
	signer  token.Signer
	fetches atomic.Int64 // of the key set
}

func newIssuer() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	is := &issuer{}
	if is.signer, err = token.NewSigner("known", token.ES256, key); err != nil {
		return nil, err
	}
	set, err := jwks.Marshal([]token.Key{is.signer.Key()})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	metadata := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"id_token_signing_alg_values_supported":["ES256"]}`, is.URL, is.URL+"/jwks")
	}
	mux.HandleFunc("/.well-known/oauth-authorization-server", metadata)
	mux.HandleFunc("/.well-known/openid-configuration", metadata)
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		is.fetches.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(set)
	})
	is.Server = httptest.NewServer(mux)
	return is, nil
}

// good is a token that every contender accepts.
func (is *issuer) good(now time.Time) (string, error) {
	return is.signer.Sign("at+jwt", is.claims(now))
}

func (is *issuer) claims(now time.Time) []byte {
	return fmt.Appendf(nil, `{"iss":%q,"sub":"service-a","aud":%q,"client_id":"service-a","jti":"b2f1c7d9","iat":%d,"exp":%d}`,
		is.URL, audience, now.Unix(), now.Unix()+3600)
}

// strange makes n tokens, each with a kid of its own that the issuer has never
// published. Nobody comes to look at their signature.
func (is *issuer) strange(from, n int, now time.Time) []string {
	encode := base64.RawURLEncoding.EncodeToString
	rest := "." + encode(is.claims(now)) + "." + encode(make([]byte, 64))
	raw := make([]string, n)
	for i := range raw {
		raw[i] = encode(fmt.Appendf(nil, `{"alg":"ES256","typ":"at+jwt","kid":"strange-%d"}`, from+i)) + rest
	}
	return raw
}
