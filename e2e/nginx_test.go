package e2e

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nginxFile = `daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	server {
		listen {{.Address}};
		location / {
			auth_request /_verify;
			auth_request_set $refused $upstream_http_www_authenticate;
			auth_request_set $subject $upstream_http_x_token_subject;
			auth_request_set $client $upstream_http_x_token_client;
			auth_request_set $reason $upstream_http_x_token_reason;
			add_header X-Refused $refused always;
			add_header X-Reason $reason always;
			proxy_set_header X-Token-Subject $subject;
			proxy_set_header X-Token-Client $client;
			proxy_pass {{.Upstream}};
		}
		location = /_verify {
			internal;
			proxy_pass {{.Gate}}/verify;
			proxy_pass_request_body off;
			proxy_set_header Content-Length "";
			proxy_set_header X-Original-Method $request_method;
			proxy_set_header X-Original-URI $request_uri;
		}
	}
}
`

// startNginx runs nginx with auth_request in front of the world's upstream and
// returns its URL.
func startNginx(t *testing.T, w *world) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "longcase-nginx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers are another user under root
		t.Fatal(err)
	}
	address, file := freeAddress(t), filepath.Join(dir, "nginx.conf")
	text := strings.NewReplacer("{{.Dir}}", dir, "{{.Address}}", address, "{{.Upstream}}", w.Upstream, "{{.Gate}}", w.Gate).Replace(nginxFile)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), nginx(t), "-p", dir, "-c", file)
	var said strings.Builder
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("nginx: %v: %s", err, said.String())
		}
	})
	eventually(t, patience, "nginx answers", func() bool { return status("http://"+address+"/") != 0 })
	return "http://" + address
}

func nginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("nginx is not installed: run e2e/setup")
	return ""
}

func TestNginxAsksTheGate(t *testing.T) {
	w := newWorld(t, plan{Access: "5s"})
	front := *w
	front.Gate = startNginx(t, w)
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
			front.call(tt.method, tt.path, tt.token).expectReason(t, tt.status, tt.reason)
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
		front.call("GET", "/orders/1", read).expectReason(t, http.StatusUnauthorized, "expired")
	})
}

// expectReason asserts what nginx passes on of a refusal: the status and the
// headers, not the body.
func (a answer) expectReason(t *testing.T, status int, reason string) {
	t.Helper()
	if a.status != status || a.header.Get("X-Reason") != reason {
		t.Errorf("nginx says %d %q (%s), want %d %q", a.status, a.header.Get("X-Reason"), a.header.Get("X-Refused"), status, reason)
	}
}
