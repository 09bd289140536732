package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// ServeBare is the floor: it listens on address, signs one ES256 token for each
// request and does nothing else. It says ready on stderr as longcase does.
func ServeBare(address string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "ready")
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		token, err := sign(key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":300,"scope":"orders.read"}`, token)
	})}
	return server.Serve(ln)
}

// sign makes a token of the size that longcase makes.
func sign(key *ecdsa.PrivateKey) (string, error) {
	now := time.Now().Unix()
	claims := fmt.Sprintf(`{"iss":"http://127.0.0.1:4600","sub":"service","aud":"https://orders.example.com","exp":%d,"nbf":%d,"iat":%d,"jti":%q,"client_id":"service","scope":"orders.read"}`,
		now+300, now-10, now, rand.Text())
	enc := base64.RawURLEncoding
	input := enc.EncodeToString([]byte(`{"alg":"ES256","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","typ":"at+jwt"}`)) + "." + enc.EncodeToString([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + enc.EncodeToString(signature[:]), nil
}
