package azure

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/longcase/longcase/fresh"
)

// Credential hands the layer's token to an Azure SDK client. The layer is for
// one resource: a request for the scope of another is an error that names both.
// A claims challenge (Continuous Access Evaluation) invalidates the lease that
// was handed out before it.
//
// The SDK keeps tokens of its own and, on a plain 401, does not tell: give the
// client Policy too.
func Credential(layer *fresh.Layer[fresh.Token]) azcore.TokenCredential {
	return &credentialOf{layer: layer}
}

type credentialOf struct {
	layer *fresh.Layer[fresh.Token]

	mu     sync.Mutex
	last   fresh.Lease[fresh.Token] // handed out last
	claims string                   // the last challenge
	after  uint64                   // it was about leases up to this generation
}

// GetToken implements azcore.TokenCredential.
func (c *credentialOf) GetToken(ctx context.Context, want policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if want.Claims != "" {
		c.challenged(want.Claims)
	}
	lease, err := c.layer.Get(ctx)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	if err := serves(lease.Value.Scope, want.Scopes); err != nil {
		return azcore.AccessToken{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if lease.Generation >= c.last.Generation {
		c.last = lease
	}
	return azcore.AccessToken{Token: lease.Value.Value, ExpiresOn: lease.Expires}, nil
}

// challenged invalidates the lease that a challenge is about: the one handed out
// last, unless the same challenge has been answered with it.
func (c *credentialOf) challenged(claims string) {
	c.mu.Lock()
	last := c.last
	if last.Generation == 0 || claims == c.claims && last.Generation > c.after {
		c.mu.Unlock()
		return
	}
	c.claims, c.after = claims, last.Generation
	c.mu.Unlock()
	c.layer.Invalidate(last)
}

// serves compares the one scope that is wanted with what was granted; an empty
// one is not known.
func serves(granted string, want []string) error {
	if granted == "" || len(want) == 0 {
		return nil
	}
	for _, scope := range want {
		if resource(scope) != resource(granted) {
			return fresh.Fail(fresh.Misconfigured, "this credential is for %s; a client asked for %.200q: give each resource a layer of its own", granted, scope)
		}
	}
	return nil
}

// resource is a scope without /.default and trailing slashes.
func resource(scope string) string {
	return strings.ToLower(strings.TrimRight(strings.TrimSuffix(scope, "/.default"), "/"))
}

// Policy puts the layer's token into every request that has a Bearer token, just
// before it is sent, and repeats a request that is answered 401 once, with a
// renewed one. It belongs to a client that has Credential of the same layer:
//
//	policy.ClientOptions{PerRetryPolicies: []policy.Policy{azure.Policy(layer)}}
//
// An error of the layer is not retried by the SDK: the layer does that.
func Policy(layer *fresh.Layer[fresh.Token]) policy.Policy { return &heal{layer} }

type heal struct{ layer *fresh.Layer[fresh.Token] }

// Do implements policy.Policy.
func (h *heal) Do(req *policy.Request) (*http.Response, error) {
	if !strings.HasPrefix(req.Raw().Header.Get("Authorization"), "Bearer ") {
		return req.Next()
	}
	lease, err := h.attach(req)
	if err != nil {
		return nil, final{err}
	}
	resp, err := req.Next()
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !h.layer.Invalidate(lease) || challenge(resp) {
		return resp, err
	}
	if again, err := h.attach(req); err != nil || again.Generation == lease.Generation || req.RewindBody() != nil {
		return resp, nil //nolint:nilerr // the refusal stands where nothing better can be had
	}
	_ = resp.Body.Close()
	return req.Next()
}

// final is an error that azcore does not retry.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// NonRetriable is how azcore asks.
func (final) NonRetriable() {}

// challenge reports whether the SDK will answer the refusal itself, with claims,
// and repeat the request.
func challenge(resp *http.Response) bool {
	return strings.Contains(resp.Header.Get("WWW-Authenticate"), "insufficient_claims")
}

func (h *heal) attach(req *policy.Request) (fresh.Lease[fresh.Token], error) {
	lease, err := h.layer.Get(req.Raw().Context())
	if err == nil {
		req.Raw().Header.Set("Authorization", "Bearer "+lease.Value.Value)
	}
	return lease, err
}
