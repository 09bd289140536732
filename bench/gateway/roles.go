package gateway

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Role is a server that the benchmark brings itself.
type Role string

// The roles.
const (
	Upstream  Role = "upstream"         // the service behind every gateway
	Bare      Role = "bare"             // httputil.ReverseProxy and nothing else: the measure
	Crypto    Role = "crypto"           // with the hash and the signature's check before it: the floor of every uncached lane
	GolangJWT Role = "golang-jwt"       // with golang-jwt before it
	Cached    Role = "golang-jwt-cache" // and with a cache of the tokens that were good
)

// idle is how many connections a proxy keeps to its upstream.
const idle = 256

// Serve is one role: it listens on address, passes requests to upstream, and
// verifies with the key in the PEM file.
func Serve(role Role, address, upstream, key string) error {
	handler, err := handlerOf(role, upstream, key)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

func handlerOf(role Role, upstream, key string) (http.Handler, error) {
	if role == Upstream {
		return http.HandlerFunc(answer), nil
	}
	proxy := newProxy(upstream)
	if role == Bare {
		return proxy, nil
	}
	pub, err := readKey(key)
	if err != nil {
		return nil, err
	}
	check := newChecker(pub)
	switch role {
	case Crypto:
		return guarded(proxy, func(raw string) error { return signed(pub, raw) }), nil
	case GolangJWT:
		return guarded(proxy, func(raw string) error { _, err := check(raw); return err }), nil
	case Cached:
		return guarded(proxy, newShelf(check).check), nil
	default:
		return nil, fmt.Errorf("no role %q", role)
	}
}

// serviceBytes is how long the service's answer is.
const serviceBytes = 256

// answer is what the service says.
func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(strings.Repeat("service\n", serviceBytes/8)))
}

func newProxy(upstream string) http.Handler {
	target := &url.URL{Scheme: "http", Host: upstream}
	return &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: idle},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
	}
}

func guarded(next http.Handler, check func(raw string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || check(raw) != nil {
			http.Error(w, "token verification failed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func readKey(file string) (crypto.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// signed checks a token's signature and nothing else, its end included.
func signed(pub crypto.PublicKey, raw string) error {
	dot := strings.LastIndexByte(raw, '.')
	sig, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(raw[:max(dot, 0)]))
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig)
	case *ecdsa.PublicKey:
		if len(sig) == 64 && ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			return nil
		}
	}
	return errors.New("signature does not match")
}

// newChecker is golang-jwt as its documentation sets it up; it returns the
// token's end.
func newChecker(pub crypto.PublicKey) func(raw string) (time.Time, error) {
	method := "ES256"
	if _, ok := pub.(*rsa.PublicKey); ok {
		method = "RS256"
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{method}), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired())
	return func(raw string) (time.Time, error) {
		var c jwt.RegisteredClaims
		if _, err := parser.ParseWithClaims(raw, &c, func(*jwt.Token) (any, error) { return pub, nil }); err != nil {
			return time.Time{}, err
		}
		return c.ExpiresAt.Time, nil
	}
}

// shelf remembers good tokens until they end, compared in full, in 64 shards: a
// bare cache, which asks nobody whether a token or its key was withdrawn.
type shelf struct {
	verify func(raw string) (time.Time, error)
	seed   maphash.Seed
	shards [64]struct {
		sync.Mutex
		ends map[string]time.Time
	}
}

// perShard bounds a shard; a full one is emptied.
const perShard = 4096

func newShelf(verify func(raw string) (time.Time, error)) *shelf {
	return &shelf{verify: verify, seed: maphash.MakeSeed()}
}

func (s *shelf) check(raw string) error {
	shard := &s.shards[maphash.String(s.seed, raw)%uint64(len(s.shards))]
	shard.Lock()
	end, ok := shard.ends[raw]
	shard.Unlock()
	if ok {
		if time.Now().After(end) {
			return errors.New("over")
		}
		return nil
	}
	end, err := s.verify(raw)
	if err != nil {
		return err
	}
	shard.Lock()
	defer shard.Unlock()
	if shard.ends == nil || len(shard.ends) >= perShard {
		shard.ends = make(map[string]time.Time)
	}
	shard.ends[raw] = end
	return nil
}
