package config

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/clock"
	"github.com/longcase/longcase/verify"
)

// asked stands for the issuer's introspection endpoint.
type asked struct{ verify.Introspector }

// gateOf makes the gate of c as 'serve' does, but for what files hold.
func gateOf(c *Gate) error {
	issuers := accepted(c.Accept)
	for i, a := range c.Accept {
		issuers[i].Required, issuers[i].FollowSkew = a.Required, a.FollowSkew
		if a.Introspect != nil {
			issuers[i].Keys, issuers[i].Introspect = nil, asked{}
		}
	}
	routes := make([]gate.Route, len(c.Routes))
	for i, r := range c.Routes {
		routes[i] = gate.Route{Path: r.Path, Methods: r.Methods, Audience: r.Audience, Scopes: r.Scopes, Clients: r.Clients,
			Binding: verify.Binding(r.Binding), Once: r.Once, Upstream: r.Upstream}
		if r.UpstreamTLS != nil {
			routes[i].UpstreamTLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	_, err := gate.New(gate.Config{Issuers: issuers, Routes: routes, URL: c.URL, Forward: gate.Forward(c.Forward), TrustedProxies: c.TrustedProxies,
		Rates: gate.Rates{Client: float64(c.Rates.Client), Address: float64(c.Rates.Address)}})
	return err
}

func TestAGateOfTheFileIsOneThatStarts(t *testing.T) {
	const one = "accept: [{issuer: 'https://i', audience: a}]"
	ask := func(issuer, audience string) string {
		return fmt.Sprintf("{issuer: 'https://%[1]s', audience: %[2]s, introspect: {url: 'https://%[1]s/introspect', client: g, key: {file: k}}}", issuer, audience)
	}
	const users = "{issuer: user-service, subject_from: aud, profile: jwt, jwks: {file: k}}"
	const service = "{issuer: 'https://i', audience: a}"
	many := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprintf("c%d", i)
	}
	tests := []struct{ name, gate, says string }{
		{"four issuers that are asked", "accept: [" + ask("a", "s") + "," + ask("b", "s") + "," + ask("c", "s") + "," + ask("d", "s") + "]", ""},
		{"five issuers that are asked", "accept: [" + ask("a", "s") + "," + ask("b", "s") + "," + ask("c", "s") + "," + ask("d", "s") + "," + ask("e", "s") + "]", "4 issuers at most"},
		{"one issuer that is asked for two audiences", "accept: [" + ask("a", "s") + "," + ask("a", "t") + "]", ""},
		{"one issuer that is asked and believed", "accept: [" + ask("a", "s") + ", {issuer: 'https://a', audience: t}]", "with introspect and without"},
		{"an issuer that is asked who the user is", "accept: [{issuer: i, subject_from: aud, profile: jwt, introspect: {url: 'https://i/introspect', client: g, key: {file: k}}}]", "subject_from is not for introspect"},
		{"a claim that is required twice", "accept: [{issuer: 'https://i', audience: a, required: [sid, sid]}]", "names \"sid\" twice"},
		{"32 claims", "accept: [{issuer: 'https://i', audience: a, required: [" + strings.Join(many[:32], ", ") + "]}]", ""},
		{"33 claims", "accept: [{issuer: 'https://i', audience: a, required: [" + strings.Join(many, ", ") + "]}]", "33 claims: 32 at most"},
		{"a route of Envoy's paths", "forward: envoy, trusted_proxies: [127.0.0.1/32], " + one + ", routes: [{path: /verify/x}]", "the gate's own"},
		{"that route of another's", "forward: nginx, trusted_proxies: [127.0.0.1/32], " + one + ", routes: [{path: /verify/x}]", ""},
		{"every key", "url: 'https://api/v1', forward: envoy, ext_authz: '127.0.0.1:1', trusted_proxies: [127.0.0.1/32], rates: {client: 1/h, address: 9999999/s}, " + one +
			", routes: [{path: /, binding: dpop, once: true, upstream: 'https://u', upstream_tls: {ca: c}}, {path: /m, binding: mtls}]", ""},
		{"routes of users and of a service", "accept: [" + users + ", " + service + "], routes: [{path: /me}, {path: /, audience: a}]", ""},
		{"a route of users, beside two services", "accept: [" + service + ", {issuer: 'https://i', audience: b}, " + users + "], routes: [{path: /me, once: true}]", ""},
		{"a route of users, whom two issuers name", "accept: [" + users + ", {issuer: other, subject_from: aud, profile: jwt, jwks: {file: k}}], routes: [{path: /me}]", ""},
		{"a route of one of two services", "accept: [" + service + ", {issuer: 'https://i', audience: b}], routes: [{path: /me}]", "gate.routes.audience is missing: several are accepted (a, b)"},
		{"a route of another service, beside users", "accept: [" + users + ", " + service + "], routes: [{path: /me, audience: b}]", "is not among gate.accept"},
		{"a route of an audience without a name, beside users", "accept: [" + users + ", " + service + "], routes: [{path: /me, audience: ''}]", "gate.routes.audience is empty"},
		{"single use of users' tokens that outlive the memory of it", "accept: [{issuer: u, subject_from: aud, profile: jwt, max_lifetime: 30h, jwks: {file: k}}, " + service + "], routes: [{path: /me, once: true}]", "needs max_lifetime: 24h or less"},
		{"a URL with a query", "url: 'https://api?x', " + one, "has a query"},
		{"an https upstream in capitals", one + ", routes: [{path: /, upstream: 'HTTPS://u', upstream_tls: {ca: c}}]", ""},
		{"rates that bound nothing", "rates: {}, " + one, ""},
		{"a route that no token can pass", one + ", routes: [{path: /, clients: []}]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte("gate: {"+tt.gate+"}"))
			if !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
			if err == nil && gateOf(cfg.Gate) != nil {
				t.Errorf("the gate refuses it: %v", gateOf(cfg.Gate))
			}
		})
	}
}

func TestTimeServersAreThoseTheClockTakes(t *testing.T) {
	tests := []struct{ name, servers, says string }{
		{"a host", "time.example.com", ""},
		{"a host and a port", "time.example.com:1123", ""},
		{"an address", "192.0.2.1", ""},
		{"an address of IPv6", "'[2001:db8::1]'", ""},
		{"an address of IPv6 and a port", "'[2001:db8::1]:123'", ""},
		{"a URL", "'ntp://x'", "is not a host"},
		{"two words", "a b", "is not a host"},
		{"eight", "a, b, c, d, e, f, g, h", ""},
		{"nine", "a, b, c, d, e, f, g, h, i", "8 at most"},
		{"no port", "'a:0'", "no valid address or port"},
		{"a port beyond the last", "'a:65536'", "no valid address or port"},
		{"no address", "'[1:2]'", "no valid address or port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte("clock: {ntp: ["+tt.servers+"]}"))
			if !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
			if err == nil {
				if _, err := clock.New(clock.Config{NTP: cfg.Clock.NTP}); err != nil {
					t.Errorf("the clock refuses it: %v", err)
				}
			}
		})
	}
}
