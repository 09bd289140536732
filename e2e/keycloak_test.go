package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keycloak is a real Keycloak with the realm of keycloak/realm.json, its clock
// 21 s ahead. It keeps its state across restarts.
type keycloak struct {
	t      *testing.T
	dir    string
	port   string
	URL    string
	Issuer string
	secret string
	cmd    *exec.Cmd
	exited chan struct{}
	said   *notes
}

const realm = "orders"

func newKeycloak(t *testing.T) *keycloak {
	t.Helper()
	address := freeAddress(t)
	k := &keycloak{t: t, dir: t.TempDir(), URL: "http://" + address, said: &notes{}, secret: "Keycloak's secret"}
	k.port = address[strings.LastIndex(address, ":")+1:]
	k.Issuer = k.URL + "/realms/" + realm
	t.Cleanup(func() {
		if k.exited != nil {
			k.stop()
		}
		if t.Failed() {
			t.Logf("Keycloak said:\n%.8000s", k.said)
		}
	})
	k.start()
	settings, err := os.ReadFile("keycloak/realm.json")
	if err != nil {
		t.Fatal(err)
	}
	k.administer("/admin/realms", strings.Replace(string(settings), "SECRET", k.secret, 1))
	return k
}

// start returns when Keycloak answers.
func (k *keycloak) start() {
	k.t.Helper()
	k.cmd = exec.Command("keycloak/start", k.dir, k.port)
	k.cmd.Env = append(os.Environ(), fmt.Sprintf("AHEAD=%g", ahead.Seconds()))
	k.cmd.Stdout, k.cmd.Stderr = k.said, k.said
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.exited = make(chan struct{})
	go func() {
		_ = k.cmd.Wait() // 143, which is how Java says SIGTERM
		close(k.exited)
	}()
	eventually(k.t, 4*patience, "Keycloak answers", func() bool {
		select {
		case <-k.exited:
			k.t.Fatal("Keycloak ends: was e2e/setup run?")
		default:
		}
		return status(k.URL+"/realms/master") == http.StatusOK
	})
}

// stop ends Keycloak as an operator does. Once is enough.
func (k *keycloak) stop() {
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { _ = k.cmd.Process.Kill() })
	defer timer.Stop()
	<-k.exited
}

// administer creates something through the administrators' API.
func (k *keycloak) administer(path, what string) {
	k.t.Helper()
	login := send(k.t, form(k.URL+"/realms/master/protocol/openid-connect/token",
		"grant_type", "password", "client_id", "admin-cli", "username", "admin", "password", "admin"))
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, k.URL+path, strings.NewReader(what))
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+login.text("access_token"))
	if a := send(k.t, r); a.status != http.StatusCreated {
		k.t.Fatalf("Keycloak says %d to POST %s: %s", a.status, path, a.body)
	}
}

// turn lets the realm sign with a new key from now on. It is published with its
// first signature, not before.
func (k *keycloak) turn() {
	k.t.Helper()
	k.administer("/admin/realms/"+realm+"/components", encode(k.t, map[string]any{
		"name": "next", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider", "parentId": realm,
		"config": map[string][]string{"priority": {"200"}, "enabled": {"true"}, "active": {"true"}, "algorithm": {"RS256"}, "keySize": {"2048"}},
	}))
}

// accept is the entry of a gate, open at its end. Keycloak's tokens have typ
// JWT and several audiences.
func (k *keycloak) accept() string {
	return fmt.Sprintf("{issuer: %s, audience: %q, profile: jwt, algorithms: [RS256]", k.Issuer, audience)
}

func (k *keycloak) token() string {
	k.t.Helper()
	token, err := k.mint()
	if err != nil {
		k.t.Fatal(err)
	}
	return token
}

func (k *keycloak) mint() (string, error) {
	r := form(k.Issuer+"/protocol/openid-connect/token", "grant_type", "client_credentials")
	r.SetBasicAuth("service", url.QueryEscape(k.secret))
	a, err := try(r)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("no token: %d %s", a.status, a.body)
	}
	return a.text("access_token"), err
}

// TestKeycloak starts one for all that is asked of it: that takes 15 s.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	k := newKeycloak(t)
	t.Run("its clock is named", func(t *testing.T) {
		namesTheClock(t, witness{issuer: k.Issuer, accept: k.accept(), fresh: k.token, claim: "iat", reason: []string{"issued_in_future"}})
	})
	t.Run("asked about its tokens", func(t *testing.T) {
		url := k.Issuer + "/protocol/openid-connect/token/introspect"
		j := newJudge(t, fmt.Sprintf("{issuer: %s, audience: %q, profile: jwt, %s, leeway: 30s}", k.Issuer, audience, introspect(t, url, k.secret)))
		token := k.token()
		j.verify(token).expect(t, http.StatusOK, "")
		j.verify(spoiled(token)).expect(t, http.StatusUnauthorized, "revoked")
	})
	j := newJudge(t, k.accept()+", leeway: 30s}")
	drill := startDrill(t, j, k.mint)
	t.Run("a turn of the realm's key refuses nobody", func(t *testing.T) {
		before := kidOf(k.token())
		drill.some(t)
		k.turn()
		eventually(t, patience, "the new key signs", func() bool { return kidOf(k.token()) != before })
		drill.some(t)
		drill.none(t)
	})
	t.Run("a restart refuses nobody", func(t *testing.T) {
		drill.some(t)
		unseen := k.token()
		k.stop()
		j.verify(unseen).expect(t, http.StatusOK, "")
		drill.some(t)
		k.start()
		drill.some(t)
		j.verify(k.token()).expect(t, http.StatusOK, "")
		drill.none(t)
	})
}
