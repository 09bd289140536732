package oracle

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// A good token counts where RFC 6750 section 2.1 has it and nowhere else.
func TestATokenCountsInOnePlaceOnly(t *testing.T) {
	g := newGate(t, gate.Config{Issuers: world(verify.RFC9068), Routes: []gate.Route{{Path: "/", Upstream: "http://upstream.test"}}})
	raw := good(t, pairs()[token.ES256])
	for _, e := range []struct {
		name, path string
		h          http.Handler
	}{{"middleware", "/orders", g.Middleware(accepting())}, {"/verify", "/verify", g.Handler()}, {"proxy", "/orders", g.Handler()}} {
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
			r := httptest.NewRequest(http.MethodGet, e.path, nil)
			r.Header["Authorization"] = []string{scheme + raw}
			if said := said(e.h, r); !said.accepted {
				t.Errorf("%s: %q: the control is refused: %+v", e.name, scheme, said)
			}
		}
		elsewhere := elsewhere(raw)
		for i, change := range elsewhere {
			r := httptest.NewRequest(http.MethodPost, e.path, strings.NewReader("access_token="+raw))
			change(r)
			if said := said(e.h, r); said.accepted || said.status >= 500 || said.reason == "" {
				t.Errorf("%s: place %d: %+v: %v %v", e.name, i, said, r.URL, r.Header)
			}
		}
	}
}

// elsewhere put a good token where it must not count.
func elsewhere(raw string) []func(*http.Request) {
	var all []func(*http.Request)
	header := func(name string, values ...string) {
		all = append(all, func(r *http.Request) { r.Header[name] = values })
	}
	for _, value := range []string{
		raw, "Token " + raw, "JWT " + raw, "Basic " + raw, "DPoP " + raw, "Bearer" + raw, "Bearer\t" + raw, "Bearer:" + raw, "Bearer=" + raw, "Bearer, " + raw, " Bearer " + raw, "\tBearer " + raw, "Bearer Bearer " + raw,
		"Bearer " + raw + ",", "Bearer " + raw + " ", "Bearer " + raw + ", Bearer " + raw, "Bearer " + raw + " " + raw, "Bearer \"" + raw + "\"", "Bearer token=" + raw, "Bearer " + raw + "\t", "Bearer", "Bearer ", "", " ", "Ｂearer " + raw, "Bearer\u00a0" + raw,
		"Basic eDp5, Bearer " + raw, "Bearer x, Bearer " + raw, "Bearer " + raw + ";x", "Negotiate " + raw, "Bearer\x00 " + raw, "Bearer \x00" + raw,
	} {
		header("Authorization", value)
	}
	header("Authorization", "Bearer "+raw, "Bearer "+raw)
	header("Authorization", "", "Bearer "+raw)
	header("Authorization", "Bearer "+raw, "")
	header("Authorization", "Basic eDp5", "Bearer "+raw)
	for _, name := range []string{"Proxy-Authorization", "X-Authorization", "X-Access-Token", "X-Auth-Token", "Token", "Cookie", "Authentication", "X-Forwarded-Authorization", "Authorization2", "X-Original-Authorization", "Sec-Websocket-Protocol"} {
		header(name, "Bearer "+raw)
		header(name, "access_token="+raw)
	}
	for _, name := range []string{"access_token", "token", "jwt", "id_token", "authorization", "Authorization", "bearer", "assertion"} {
		all = append(all, func(r *http.Request) { r.URL.RawQuery = url.Values{name: {raw}}.Encode() })
		all = append(all, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: name, Value: raw}) })
		all = append(all, func(r *http.Request) { r.Trailer = http.Header{name: {fmt.Sprint("Bearer ", raw)}} })
		all = append(all, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.URL.RawQuery = name + "=" + raw
		})
	}
	all = append(all, func(r *http.Request) { r.URL.User = url.UserPassword("bearer", raw) }, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") })
	return all
}
