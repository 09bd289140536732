package config

import (
	"strings"
	"testing"
)

func TestGateRefusals(t *testing.T) {
	tests := []struct{ name, gate, says string }{
		{"introspection with a key", "accept: [{issuer: 'https://i', audience: a, introspect: {url: 'https://i/introspect', client: g, key: {file: k}}}]", ""},
		{"an opaque issuer of any name", "accept: [{issuer: legacy, audience: a, profile: jwt, introspect: {url: 'https://i/introspect', client: g, secret: {file: k}}}]", ""},
		{"introspection as nobody", "accept: [{issuer: 'https://i', audience: a, introspect: {url: 'https://i/introspect', client: g}}]", "has neither secret nor key"},
		{"introspection and keys", "accept: [{issuer: 'https://i', audience: a, jwks: {file: k}, introspect: {url: 'https://i/introspect', client: g, key: {file: k}}}]", "gate.accept.jwks has no effect beside introspect"},
		{"introspection over plain http", "accept: [{issuer: 'https://i', audience: a, introspect: {url: 'http://i/introspect', client: g, key: {file: k}}}]", "plain http beyond loopback"},
		{"a proof behind a proxy", "forward: nginx, trusted_proxies: [127.0.0.1/32], accept: [A], routes: [{path: /, binding: dpop}]", "needs gate.url"},
		{"a proof behind a proxy that is named", "url: 'https://api', forward: nginx, trusted_proxies: [127.0.0.1/32], accept: [A], routes: [{path: /, binding: dpop}]", ""},
		{"a certificate that nobody sees", "accept: [A], routes: [{path: /, binding: mtls}]", "needs gate.tls, or gate.trusted_proxies"},
		{"a certificate from a proxy", "trusted_proxies: [127.0.0.1/32], accept: [A], routes: [{path: /, binding: mtls}]", ""},
		{"another binding", "accept: [A], routes: [{path: /, binding: mtl}]", `unknown gate.routes.binding "mtl"`},
		{"authorities of a plain upstream", "accept: [A], routes: [{path: /, upstream: 'http://127.0.0.1:1', upstream_tls: {ca: c}}]", "is for an https upstream"},
		{"half a certificate", "accept: [A], routes: [{path: /, upstream: 'https://u', upstream_tls: {certificate: c}}]", "one of certificate and key"},
		{"single use of tokens that outlive the memory of it", "accept: [{issuer: 'https://i', audience: a, max_lifetime: 30h}], routes: [{path: /, once: true}]", "needs max_lifetime: 24h or less"},
		{"rates", "accept: [A], rates: {client: 100/s, address: 5000/h}", ""},
		{"a rate without a unit", "accept: [A], rates: {client: 100}", "gate.rates.client is a rate like 100/s"},
		{"a rate of nothing", "accept: [A], rates: {address: 0/s}", "nothing would pass"},
		{"a claim with a space", "accept: [{issuer: 'https://i', audience: a, required: ['a b']}]", "is not the name of a claim"},
		{"ext_authz beyond loopback", "ext_authz: '0.0.0.0:4611', accept: [A]", "is plain beyond loopback"},
		{"ext_authz beyond loopback in a trusted network", "plain: true, ext_authz: '0.0.0.0:4611', accept: [A]", ""},
		{"ext_authz where the gate listens", "listen: 127.0.0.1:4610, ext_authz: localhost:4610, accept: [A]", "gate listens on localhost:4610 already"},
		{"envoy without trusted proxies", "forward: envoy, accept: [A]", "gate.trusted_proxies, which is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.ReplaceAll(tt.gate, "[A]", "[{issuer: 'https://i', audience: a}]")
			if _, err := Parse("f", []byte("gate: {"+text+"}")); !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
		})
	}
}

func TestARateIsPerSecond(t *testing.T) {
	cfg := mustParse(t, "gate: {accept: [{issuer: 'https://i', audience: a}], rates: {client: 90/m, address: 7200/h}}")
	if got, want := cfg.Gate.Rates, (Rates{Client: 1.5, Address: 2}); got != want {
		t.Errorf("rates = %v, want %v", got, want)
	}
}
