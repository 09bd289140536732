package fresh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
	"golang.org/x/oauth2"
	"k8s.io/client-go/transport"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/oauth"
)

const apiHost = "api.example.com"

// api is a service in memory that takes live tokens only.
type api struct{ u *upstream }

// RoundTrip implements http.RoundTripper.
func (a api) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r, ProtoMajor: 1, ProtoMinor: 1}
	if value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !a.u.live(value) {
		resp.StatusCode = http.StatusUnauthorized
		resp.Header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	return resp, nil
}

// caller returns a function that asks the API once, through what the contender
// offers for HTTP, and reports whether it was let in.
func (k keeper) caller(u *upstream) func() bool {
	c := k.client(u)
	return func() bool {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+apiHost+"/", nil)
		if err != nil {
			return false
		}
		resp, err := c.Do(r)
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusOK
	}
}

func (k keeper) client(u *upstream) *http.Client {
	switch k.name {
	case "longcase":
		return healing(layer(u, fresh.Policy{}), api{u})
	case "x/oauth2":
		return &http.Client{Transport: &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, source{u}), Base: api{u}}}
	case "client-go":
		return &http.Client{Transport: transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(source{u}))(api{u})}
	case "cloud auth", "cloud auth, blocking":
		c := &http.Client{Transport: api{u}}
		cached := auth.NewCachedTokenProvider(provider{u}, &auth.CachedTokenProviderOptions{DisableAsyncRefresh: k.name != "cloud auth"})
		if err := httptransport.AddAuthorizationMiddleware(c, auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: cached})); err != nil {
			panic(err) // both arguments are there
		}
		return c
	default:
		return &http.Client{Transport: bare{k.make(u), api{u}}}
	}
}

func healing(l *fresh.Layer[fresh.Token], base http.RoundTripper) *http.Client {
	return &http.Client{Transport: &oauth.Transport{Base: base, Layer: l, Hosts: []string{apiHost}}}
}

// bare attaches a token and heals nothing: what there is for caches that have no
// transport of their own.
type bare struct {
	get  get
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bare) RoundTrip(r *http.Request) (*http.Response, error) {
	value, err := b.get(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+value)
	return b.base.RoundTrip(r)
}

// Heal measures the way from a 401 to the healed answer, over an upstream and an
// API that answer at once: what the healing itself costs.
func Heal(w io.Writer) error {
	const rounds = 201
	var plain, healed []time.Duration
	for range rounds {
		u := newUpstream(time.Hour)
		call := keepers()[0].caller(u)
		call()
		begin := time.Now()
		if !call() {
			return fmt.Errorf("a live token was refused")
		}
		plain = append(plain, time.Since(begin))
		u.revoke()
		begin = time.Now()
		if !call() {
			return fmt.Errorf("a revoked token was not healed")
		}
		healed = append(healed, time.Since(begin))
	}
	_, err := fmt.Fprintf(w, "a request: %.1f µs; one whose token was revoked, with the renewal and the repeat: %.1f µs\n",
		float64(median(plain))/1000, float64(median(healed))/1000)
	return err
}
