package app

import (
	"testing"

	"github.com/longcase/longcase/internal/config"
)

func TestWhatAReloadCannotChangeIsNamedAsInTheFile(t *testing.T) {
	const accept = ", accept: [{issuer: 'https://i', audience: a}]"
	tests := []struct{ name, before, after, want string }{
		{"nothing", "gate: {ext_authz: '127.0.0.1:1'" + accept + "}", "gate: {ext_authz: '127.0.0.1:1', audit: a, rates: {client: 1/s}" + accept + "}", ""},
		{"another address for Envoy", "gate: {ext_authz: '127.0.0.1:1'" + accept + "}", "gate: {ext_authz: '127.0.0.1:2'" + accept + "}", "gate.ext_authz or gate.tls"},
		{"none for it any more", "gate: {ext_authz: '127.0.0.1:1'" + accept + "}", "gate: {listen: '127.0.0.1:4610'" + accept + "}", "gate.ext_authz or gate.tls"},
		{"a first one", "gate: {listen: '127.0.0.1:4610'" + accept + "}", "gate: {ext_authz: '127.0.0.1:1'" + accept + "}", "gate.ext_authz or gate.tls"},
		{"another address of the gate", "gate: {listen: '127.0.0.1:1'" + accept + "}", "gate: {listen: '127.0.0.1:2'" + accept + "}", "gate.listen or gate.tls"},
		{"TLS of both", "gate: {ext_authz: '127.0.0.1:1'" + accept + "}", "gate: {ext_authz: '127.0.0.1:1', tls: {certificate: c, key: k}" + accept + "}", "gate.listen or gate.tls"},
		{"no gate", "gate: {ext_authz: '127.0.0.1:1'" + accept + "}\nconsole: {}", "console: {}", "gate.listen or gate.tls"},
		{"a store", "gate: {routes: [{path: /}]" + accept + "}", "gate: {routes: [{path: /, once: true}]" + accept + "}", "whether there is a store (issuer, or a route with once or binding: dpop)"},
		{"where it is", "data: a", "data: b", "data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fixed(parsed(t, tt.before), parsed(t, tt.after)); got != tt.want {
				t.Errorf("fixed = %q, want %q", got, tt.want)
			}
		})
	}
}

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
