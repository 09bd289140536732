package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestClientsAreKeptInTheRegistry(t *testing.T) {
	w := newWorld(t, plan{})
	var added secret
	must(t, "", &added, "client", "add", "--id", "added", "--grant", "client_credentials", "--audience", audience,
		"--scope", "orders.read", "--json", "-c", w.file)
	w.Secret["added"] = added
	w.hide(added.Secret)
	eventually(t, patience, "the new client gets a token", func() bool {
		a := send(t, w.as("added", form(w.Issuer+"/token", "grant_type", "client_credentials", "scope", "orders.read")))
		return a.status == http.StatusOK
	})
	w.call("GET", "/orders/1", w.token("added", "orders.read")).expect(t, http.StatusOK, "")

	var shown struct{ ID, Source string }
	must(t, "", &shown, "client", "show", "added", "--json", "-c", w.file)
	if shown.ID != "added" || shown.Source != "registry" {
		t.Errorf("client show says %+v", shown)
	}
	if ids := w.clientIDs(t); !slices.Contains(ids, "added") || !slices.Contains(ids, "service") {
		t.Errorf("client list says %v", ids)
	}
	t.Run("an id that is taken is refused", func(t *testing.T) {
		for _, id := range []string{"added", "service"} {
			r := longcase(t, "", "client", "add", "--id", id, "--grant", "client_credentials", "--audience", audience, "-c", w.file)
			if r.code != 1 {
				t.Errorf("adding %s exits %d: %s", id, r.code, r.stderr)
			}
		}
	})
	t.Run("a client of the file cannot be removed", func(t *testing.T) {
		if r := longcase(t, "", "client", "remove", "service", "-c", w.file); r.code != 1 {
			t.Errorf("exits %d: %s", r.code, r.stderr)
		}
	})
	must(t, "", nil, "client", "remove", "added", "-c", w.file)
	eventually(t, patience, "the removed client gets no token", func() bool {
		a := send(t, w.as("added", form(w.Issuer+"/token", "grant_type", "client_credentials")))
		return a.status == http.StatusUnauthorized && a.code() == "invalid_client"
	})
	if r := longcase(t, "", "client", "show", "added", "-c", w.file); r.code != 1 {
		t.Errorf("showing what was removed exits %d", r.code)
	}
}

func (w *world) clientIDs(t *testing.T) []string {
	t.Helper()
	var list struct{ Clients []struct{ ID string } }
	must(t, "", &list, "client", "list", "--json", "-c", w.file)
	var ids []string
	for _, c := range list.Clients {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestClientsOutliveARestart(t *testing.T) {
	w := newWorld(t, plan{})
	var added secret
	must(t, "", &added, "client", "add", "--id", "added", "--grant", "client_credentials", "--audience", audience, "--json", "-c", w.file)
	w.Secret["added"] = added
	token := w.token("service", "orders.read")
	key := w.active(t)
	if code := w.stop(); code != 0 {
		t.Errorf("serve exits %d", code)
	}
	w.start()
	w.token("added", "")
	if w.active(t) != key {
		t.Error("the signing key did not outlive the restart")
	}
	w.call("GET", "/orders/1", token).expect(t, http.StatusOK, "")
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	w := newWorld(t, plan{})
	one, two := w.session("web"), w.session("public")
	list := w.sessions(t)
	if len(list) != 2 {
		t.Fatalf("session list shows %v", list)
	}
	for _, s := range list {
		if s["client"] == "web" {
			must(t, "", nil, "session", "revoke", s["id"].(string), "-c", w.file)
		}
	}
	w.refresh("web", one.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
	two = w.refresh("public", two.text("refresh_token"))
	two.expect(t, http.StatusOK, "")
	if r := longcase(t, "", "session", "revoke", "no-such-session", "-c", w.file); r.code != 1 && r.code != 2 {
		t.Errorf("revoking what is not there exits %d: %s", r.code, r.stderr)
	}
}

func TestTokensOfTheCommandLine(t *testing.T) {
	w := newWorld(t, plan{})
	get := exec.Command(binary, "token", "get", "--issuer", w.Issuer, "--client", "service", "--audience", audience, "--scope", "orders.read")
	get.Env = append(os.Environ(), "LONGCASE_CLIENT_SECRET="+w.Secret["service"].Secret)
	r := command(t, "", get)
	token := strings.TrimSpace(r.stdout)
	if r.code != 0 || strings.Count(token, ".") != 2 {
		t.Fatalf("token get exits %d: %s%s", r.code, r.stdout, r.stderr)
	}
	w.hide(token)
	w.call("GET", "/orders/1", token).expect(t, http.StatusOK, "")

	verify := []string{"token", "verify", "--issuer", w.Issuer, "--json", "-", "--audience"}
	var verdict struct {
		Accepted bool
		Reason   string
	}
	must(t, token, &verdict, append(verify, audience)...)
	if !verdict.Accepted {
		t.Errorf("token verify says %+v", verdict)
	}
	if r := longcase(t, token, append(verify, elsewhere)...); r.code != 1 || !strings.Contains(r.stdout, "wrong_audience") {
		t.Errorf("for another audience token verify exits %d: %s", r.code, r.stdout)
	}
	if r := longcase(t, token, "token", "inspect", "-"); r.code != 0 || !strings.Contains(r.stdout, "service") {
		t.Errorf("token inspect exits %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestExitCodes(t *testing.T) {
	w := prepare(t, plan{}) // nothing runs
	broken := w.write("broken.yaml", strings.Replace(w.fill(worldFile), "access: 5m", "acces: 5m", 1))
	endless := w.write("endless.yaml", strings.Replace(w.fill(worldFile), "session_absolute: 12h", "", 1))
	wildcard := w.write("wildcard.yaml", strings.Replace(w.fill(worldFile), "audiences: ["+audience+"]", `audiences: ["*"]`, 1))
	open := w.write("open.yaml", strings.Replace(w.fill(worldFile), "listen: "+w.IssuerAddress, "listen: 0.0.0.0:4600", 1))
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a right file", []string{"config", "check", "-c", w.file}, 0, ""},
		{"a misspelt key", []string{"config", "check", "-c", broken}, 2, `did you mean "access"?`},
		{"a misspelt key at serve", []string{"serve", "-c", broken}, 2, `did you mean "access"?`},
		{"a session without an end", []string{"serve", "-c", endless}, 2, "session_absolute"},
		{"a wildcard audience", []string{"serve", "-c", wildcard}, 2, "audience"},
		{"plain http for everybody", []string{"serve", "-c", open}, 2, "plain: true"},
		{"no such file", []string{"serve", "-c", filepath.Join(w.dir, "absent.yaml")}, 2, "absent.yaml"},
		{"no such command", []string{"serv"}, 2, "serv"},
		{"no such flag", []string{"version", "--colour"}, 2, "colour"},
		{"nobody to ask", []string{"client", "list", "-c", w.file}, 3, "serve"},
		{"no issuer", []string{"token", "verify", "--issuer", w.Issuer, "--audience", audience, "-"}, 3, ""},
	}
	const someToken = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJ4In0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := longcase(t, someToken, tt.args...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("longcase %v exits %d, want %d; says %q, want %q", tt.args, r.code, tt.code, r.stderr, tt.says)
			}
		})
	}
}

func curlLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "curl ") && strings.HasSuffix(line, "\n") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// TestQuickStart runs what `longcase serve` prints when it is started without a
// file: every curl line works as it stands.
func TestQuickStart(t *testing.T) {
	p := serve(t, t.TempDir())
	var lines []string
	eventually(t, patience, "four curl lines are printed", func() bool {
		lines = curlLines(p.output())
		return len(lines) >= 4
	})
	var all strings.Builder
	for _, line := range lines {
		r := command(t, "", exec.Command("bash", "-euo", "pipefail", "-c", line))
		if r.code != 0 || r.stdout == "" {
			t.Errorf("%s\nexits %d and says %s%s", line, r.code, r.stdout, r.stderr)
		}
		all.WriteString(r.stdout)
	}
	for _, want := range []string{`"access_token"`, `"service":"orders (demo)"`, `"client":"demo"`, `"malformed"`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %s in what curl shows:\n%s", want, all.String())
		}
	}
}
