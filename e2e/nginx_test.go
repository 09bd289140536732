package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// nginxBefore runs nginx as documented in front of the world's gate and
// upstream, and returns its URL.
func nginxBefore(t *testing.T, w *world) string {
	t.Helper()
	a := addresses{Front: freeAddress(t), Gate: w.GateAddress, Upstream: strings.TrimPrefix(w.Upstream, "http://")}
	return startNginx(t, a, page(t, "nginx.md", "nginx"))
}

func TestNginxAsksTheGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{Access: "5s"})
	front := *w
	front.Gate = nginxBefore(t, w)
	session := w.session("web")
	read, write := w.token("service", "orders.read"), w.token("service", "orders.read orders.write")
	other := w.hideAll(send(t, w.as("several", form(w.Issuer+"/token", "grant_type", "client_credentials", "audience", elsewhere)))).text("access_token")

	tests := []struct {
		name, method, path, token string
		status                    int
		reason                    string
	}{
		{"a user's token is let through", "GET", "/orders/1?x=1", session.text("access_token"), 200, ""},
		{"a client's token is let through", "GET", "/orders/1", read, 200, ""},
		{"the exact route wins", "POST", "/orders/new", write, 200, ""},
		{"without the scope", "POST", "/orders/new", read, 403, "insufficient_scope"},
		{"with another method", "POST", "/orders/1", write, 403, "not_allowed"},
		{"for another audience", "GET", "/orders/1", other, 401, "wrong_audience"},
		{"without a token", "GET", "/orders/1", "", 401, "no_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			front.call(tt.method, tt.path, tt.token).expect(t, tt.status, tt.reason)
		})
	}
	t.Run("who calls is passed on", func(t *testing.T) {
		r := front.request("GET", "/orders/1", session.text("access_token"))
		r.Header.Set("X-Token-Subject", "mallory")
		if a := send(t, r); !strings.Contains(a.body, "for alice of web") {
			t.Errorf("the upstream says %q", a.body)
		}
	})
	t.Run("when it is over", func(t *testing.T) {
		time.Sleep(7 * time.Second)
		front.call("GET", "/orders/1", read).expect(t, http.StatusUnauthorized, "expired")
	})
}
