package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Tokens bound to a key, end to end: oidc-provider binds them, two npm clients
// make the proofs, the gate judges them.
func TestDPoPClients(t *testing.T) {
	p := newDPoPIssuer(t)
	gate := freeAddress(t)
	dir := t.TempDir()
	file := writeFile(t, dir, "gate.yaml", fmt.Sprintf(`data: longcase-data
gate:
  listen: %s
  accept:
    - %s}
  routes:
    - {path: /orders/, methods: [GET], scopes: [orders.read], binding: dpop, upstream: %q}
`, gate, p.accept(), upstream(t)))
	g := serve(t, dir, "-c", file)
	eventually(t, patience, "the gate is ready", func() bool { return status("http://"+gate+"/.longcase/readyz") == 200 })

	algorithms := []string{"ES256", "Ed25519"}
	task := map[string]any{
		"issuer": p.Issuer, "audience": audience, "scope": "orders.read", "url": "http://" + gate + "/orders/7?as=json",
		"service": map[string]any{"id": "service", "secret": providerSecret}, "algorithms": algorithms,
	}
	var want []string
	for _, alg := range algorithms {
		want = append(want, "a bound token, "+alg, "a proof is used once, "+alg)
	}
	want = append(want, "without a proof", "with another key", "a client's clock that is behind is named", "openid-client")
	if steps := dpopSteps(t, g, task); !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

// newDPoPIssuer is oidc-provider that asks for nonces, too.
func newDPoPIssuer(t *testing.T) *oidcProvider {
	t.Helper()
	at := freeAddress(t)
	p := &oidcProvider{t: t, Issuer: "http://" + at, keys: []jose.JSONWebKey{{Key: newKey(t), KeyID: "provider-1", Algorithm: "ES256", Use: "sig"}}}
	task := p.task()
	task["port"], task["dpop_nonce"] = json.Number(at[strings.LastIndexByte(at, ':')+1:]), true
	listening(t, 0, task, script(node, "clients/node/oidc-issuer.mjs")...)
	return p
}

// dpopSteps runs the clients and returns the steps that held; no token may be
// in what the gate says.
func dpopSteps(t *testing.T, g *process, task map[string]any) []string {
	t.Helper()
	words := script(node, "clients/node/dpop.mjs")
	r := command(t, encode(t, task), exec.Command(words[0], words[1:]...))
	if r.code != 0 {
		t.Errorf("the clients exit %d:\n%s", r.code, r.stderr)
	}
	var steps []string
	for lines := json.NewDecoder(bytes.NewReader([]byte(r.stdout))); lines.More(); {
		var line struct {
			Step   string
			Tokens []string
		}
		if err := lines.Decode(&line); err != nil {
			t.Fatalf("the clients said %q: %v", r.stdout, err)
		}
		steps = append(steps, line.Step)
		g.hide(line.Tokens...)
	}
	return steps
}
