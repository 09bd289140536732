package aws_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	issuer  = "https://issuer.test"
	roleARN = "arn:aws:iam::123456789012:role/reader"
)

// world is a double of AWS on loopback, with a clock of its own.
type world struct {
	*clouds.AWS
	imds   aws.IMDS
	role   aws.RoleConfig
	ahead  atomic.Int64 // of this host's clock
	signer token.Signer
	before atomic.Pointer[func(*http.Request)] // called with each request
	events events
}

func newWorld(t *testing.T, cfg clouds.AWSConfig) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	if w.signer, err = token.NewSigner("k1", token.ES256, key); err != nil {
		t.Fatal(err)
	}
	cfg.Now, cfg.Issuer, cfg.Keys = w.now, issuer, jwks.FromKeys(w.signer.Key())
	w.AWS = clouds.NewAWS(cfg)
	url, client := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if before := w.before.Load(); before != nil {
			(*before)(r)
		}
		w.ServeHTTP(rw, r)
	}))
	w.imds = aws.IMDS{Endpoint: url, HTTP: client}
	w.role = aws.RoleConfig{STS: aws.STS{Endpoint: url, Region: "eu-west-1", HTTP: client}, RoleARN: roleARN}
	return w
}

// serve starts h on loopback; what goroutines it and its clients start end with
// the test.
func serve(t *testing.T, h http.Handler) (url string, client *http.Client) {
	t.Helper()
	none := goleak.IgnoreCurrent()
	server := httptest.NewServer(h)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		goleak.VerifyNone(t, none)
	})
	return server.URL, &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// policy is a layer's, whose events the world keeps.
func (w *world) policy(name string) fresh.Policy {
	return fresh.Policy{Name: name, Observe: w.events.add}
}

// jwt is a JWT by name that ends after life, by this host's clock.
func (w *world) jwt(t *testing.T, name string, life time.Duration) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{"iss": issuer, "aud": "sts.amazonaws.com", "sub": "pod", "jti": name,
		"exp": float64(time.Now().Add(life).UnixMilli()) / 1000})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.signer.Sign("JWT", payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// presented is what the calls by name presented, in order.
func (w *world) presented(call string) (all []string) {
	for _, c := range w.Log() {
		if c.Name == call {
			all = append(all, c.Credential)
		}
	}
	return all
}

// user is a layer with the keys of a user.
func (w *world) user() *fresh.Layer[aws.Keys] {
	id, secret := w.User()
	return fresh.New(func(context.Context, time.Time) (fresh.Credential[aws.Keys], error) {
		return fresh.Credential[aws.Keys]{Value: aws.Keys{AccessKeyID: id, SecretAccessKey: secret}, Life: time.Hour}, nil
	}, w.policy("user"))
}

// events is what layers did.
type events struct {
	mu  sync.Mutex
	all []fresh.Event
}

func (e *events) add(one fresh.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

func (e *events) count(layer string, kinds ...fresh.Kind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.all {
		for _, k := range kinds {
			if one.Layer == layer && one.Kind == k {
				n++
			}
		}
	}
	return n
}

// jwtFile is a layer that reads a JWT from a file, as a pod's.
func (w *world) jwtFile(path string) *fresh.Layer[fresh.Token] {
	return fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		b, err := os.ReadFile(path)
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: strings.TrimSpace(string(b))}, Recheck: time.Minute}, err
	}, w.policy("pod"))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Error(err)
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, content)
	return path
}

// fixed is a layer that always holds one token.
func fixed(value string) *fresh.Layer[fresh.Token] {
	return fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: value}, Life: time.Hour}, nil
	}, fresh.Policy{})
}

// answering is a service that always gives one answer.
func answering(status int, body string, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

// counting is a root whose values are those of next.
func counting[T comparable](next func() T) fresh.Root[T] {
	return func(context.Context, time.Time) (fresh.Credential[T], error) {
		return fresh.Credential[T]{Value: next(), Life: time.Hour}, nil
	}
}
