package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Incident 2 behind gateways: what a caller hears there without Longcase, and
// with it.

// What the gateways judge by themselves. HAProxy compares the signature and
// nothing else. Envoy allows 60 s, and 0 means 60.
const (
	haproxyVerifies = `
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:8080
    http-request deny deny_status 401 unless { http_auth_bearer,jwt_verify("HS256","SECRET") -m int 1 }
    default_backend orders
backend orders
    server orders 127.0.0.1:9000
`
	envoyVerifies = `
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                route_config:
                  virtual_hosts:
                    - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: orders}}]}
                http_filters:
                  - name: envoy.filters.http.jwt_authn
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
                      providers:
                        user_service:
                          issuer: user-service
                          clock_skew_seconds: 0
                          local_jwks: {inline_string: '{"keys":[{"kty":"oct","alg":"HS256","k":"SECRET"}]}'}
                      rules: [{match: {prefix: /}, requires: {provider_name: user_service}}]
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: orders
      load_assignment:
        cluster_name: orders
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}}]}]
`
	nginxAsks = `
server {
	listen 127.0.0.1:8080;
	location / {
		auth_request /_verify;
		proxy_pass http://127.0.0.1:9000;
	}
	location = /_verify {
		internal;
		proxy_pass http://127.0.0.1:4610/verify;
		proxy_pass_request_body off;
		proxy_set_header Content-Length "";
	}
}
`
)

func TestIncident2AtGatewaysWithoutLongcase(t *testing.T) {
	t.Parallel()
	user, orders := newUserService(t, "user-service", ahead), newBackend(t)
	oct := base64.RawURLEncoding.EncodeToString([]byte(user.secret))
	verifier := httptest.NewServer(plainVerifier(user, 10*time.Second))
	t.Cleanup(verifier.Close)
	at := func() addresses {
		return addresses{Front: freeAddress(t), Gate: strings.TrimPrefix(verifier.URL, "http://"), Upstream: orders.address}
	}
	over := user.over()
	for _, tt := range []struct {
		name, url string
		status    int
		over      int // for a token that ended an hour ago
	}{
		{"nginx asks a verifier of golang-jwt with a leeway of 10 s", startNginx(t, at(), nginxAsks), http.StatusUnauthorized, http.StatusUnauthorized},
		{"HAProxy jwt_verify", startHAProxy(t, at(), strings.Replace(haproxyVerifies, "SECRET", user.secret, 1)), http.StatusOK, http.StatusOK},
		{"Envoy jwt_authn", startEnvoy(t, at(), strings.Replace(envoyVerifies, "SECRET", oct, 1)), http.StatusOK, http.StatusUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var last answer
			refused := 0
			for range logins {
				last = send(t, bearing(tt.url+"/orders/1", user.login()))
				if last.status != http.StatusOK {
					refused++
				}
			}
			t.Logf("refuses %d of %d", refused, logins)
			if want := map[int]int{http.StatusUnauthorized: logins, http.StatusOK: 0}[tt.status]; refused != want || last.status != tt.status {
				t.Errorf("refuses %d of %d, the last with %d; want %d and %d", refused, logins, last.status, want, tt.status)
			}
			if said := fmt.Sprint(last.header, last.body); tt.status != http.StatusOK && strings.Contains(said, "valid yet") {
				t.Errorf("what the verifier said reaches the caller: %s", said)
			}
			if got := send(t, bearing(tt.url+"/orders/1", over)).status; got != tt.over {
				t.Errorf("a token that is over: %d, want %d", got, tt.over)
			}
		})
	}
}

// plainVerifier answers auth_request as people write it: with the reason in the
// body.
func plainVerifier(u *userService, leeway time.Duration) http.Handler {
	p := &inference{user: u, leeway: leeway}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if said := p.golang(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); said != "" {
			http.Error(rw, said, http.StatusUnauthorized)
		}
	})
}

func TestIncident2AtGatewaysWithLongcase(t *testing.T) {
	t.Parallel()
	strict, lenient := newUserService(t, "user-service", ahead), newUserService(t, "user-service-2", ahead)
	for _, g := range gateways(t) {
		t.Run(g.name, func(t *testing.T) {
			a := addresses{Front: freeAddress(t), Gate: freeAddress(t), ExtAuthz: freeAddress(t), Upstream: newBackend(t).address}
			more := fmt.Sprintf("  ext_authz: %s\n  trusted_proxies: [127.0.0.1/32]\n  routes: [{path: /orders/, upstream: \"http://%s\"}]\n", a.ExtAuthz, a.Upstream)
			if g.forward() != "" {
				more += "  forward: " + g.forward() + "\n"
			}
			j := around{address: a.Gate, gate: more}.judge(t, strict.accept+", leeway: 10s}", lenient.accept+", leeway: 30s}")
			front := g.start(t, a, g.config)
			eventually(t, patience, "the gateway asks", func() bool { return status(front+"/orders/1") == http.StatusUnauthorized })
			w := witness{claim: "nbf", reason: []string{"not_yet_valid"}}
			var last answer
			for range logins {
				token := strict.login()
				last = send(t, bearing(front+"/orders/1", token))
				w.refuses(t, last, token)
				if a := send(t, bearing(front+"/orders/1", lenient.login())); a.status != http.StatusOK {
					t.Errorf("with a leeway of 30 s: %d %s", a.status, a.body)
				}
			}
			within(t, "the refusal", last.json["skew_seconds"])
			j.reports(t, lenient.issuer)
		})
	}
}
