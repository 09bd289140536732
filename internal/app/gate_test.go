package app

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// signedFor writes the key set of a new issuer to dir/keys.jwks and returns what
// mints its tokens, with more claims from the caller.
func signedFor(t *testing.T, dir, issuer, audience string) func(more map[string]any) string {
	t.Helper()
	signer := gatetest.NewSigner(t, "k")
	set, err := jwks.Marshal([]token.Key{signer.Key()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "keys.jwks"), string(set), 0o600)
	return func(more map[string]any) string {
		own := gatetest.Claims{"iss": issuer, "aud": audience, "jti": rand.Text()}
		return gatetest.Sign(t, signer, gatetest.Good(time.Now()).With(own).With(more))
	}
}

// call asks the first room for path and returns the status and X-Token-Reason.
func (s *server) call(t *testing.T, client *http.Client, path, bearer string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Token-Reason")))
}

func TestAUsedTokenIsUsedAfterARestartToo(t *testing.T) {
	dir := t.TempDir()
	file, mint := filepath.Join(dir, "longcase.yaml"), signedFor(t, dir, "https://i.test", "https://b.example")
	write(t, file, "data: data\ngate: {listen: 127.0.0.1:0, accept: [{issuer: https://i.test, audience: https://b.example, jwks: {file: keys.jwks}}], "+
		"routes: [{path: /, once: true, upstream: 'http://127.0.0.1:9'}]}\n", 0o600)
	once := mint(nil)
	for _, want := range []string{"502 bad_gateway", "401 replayed"} { // nothing listens behind the gate
		s := start(t, file)
		if got := s.call(t, http.DefaultClient, "/", once); got != want {
			t.Errorf("the token = %s, want %s", got, want)
		}
		s.stop(t)
	}
}

func TestTheAuditLogIsOpenedAgainOnHangup(t *testing.T) {
	dir := t.TempDir()
	file, mint := filepath.Join(dir, "longcase.yaml"), signedFor(t, dir, "https://i.test", "https://b.example")
	write(t, file, "gate: {listen: 127.0.0.1:0, audit: audit.jsonl, accept: [{issuer: https://i.test, audience: https://b.example, jwks: {file: keys.jwks}}]}\n", 0o600)
	s := start(t, file)
	defer s.stop(t)
	path, raw := filepath.Join(dir, "audit.jsonl"), mint(map[string]any{"jti": "first"})
	s.call(t, http.DefaultClient, "/verify", raw)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.hangup(t, "msg=reloaded")
	s.call(t, http.DefaultClient, "/verify", mint(map[string]any{"jti": "second", "exp": 1}))

	for name, want := range map[string]gate.Record{
		path + ".1": {Edge: "verify", Allowed: true, TokenID: "first"},
		path:        {Edge: "verify", TokenID: "second", Reason: "expired"},
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var got gate.Record
		if err := json.Unmarshal(text, &got); err != nil || bytes.Count(text, []byte("\n")) != 1 {
			t.Fatalf("%s holds %q: %v", name, text, err)
		}
		if got.Edge != want.Edge || got.Allowed != want.Allowed || got.TokenID != want.TokenID || got.Reason != want.Reason || got.Issuer != "https://i.test" {
			t.Errorf("%s = %+v, want %+v", filepath.Base(name), got, want)
		}
		if strings.Contains(string(text), strings.Split(raw, ".")[2]) {
			t.Errorf("%s holds a token", name)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
}

func TestClientsAreAskedForACertificateWhereTokensAreBoundToOne(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	file, mint := filepath.Join(dir, "longcase.yaml"), signedFor(t, dir, "https://i.test", "https://b.example")
	write(t, file, "gate: {listen: 127.0.0.1:0, tls: {certificate: tls.crt, key: tls.key}, accept: [{issuer: https://i.test, audience: https://b.example, jwks: {file: keys.jwks}}], "+
		"routes: [{path: /, binding: mtls, upstream: 'http://127.0.0.1:9'}]}\n", 0o600)
	s := start(t, file)
	defer s.stop(t)
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")) // any certificate will do: the token names it
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(own.Certificate[0])
	bound := mint(map[string]any{"cnf": map[string]string{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}})
	with := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}}}}
	without := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer with.CloseIdleConnections()
	defer without.CloseIdleConnections()
	for _, tt := range []struct {
		name, want string
		client     *http.Client
		token      string
	}{
		{"with the certificate", "502 bad_gateway", with, bound},
		{"without a certificate", "401 binding_missing", without, bound},
		{"a token that is not bound", "401 binding_missing", with, mint(nil)},
		{"a token of another certificate", "401 binding_mismatch", with,
			mint(map[string]any{"cnf": map[string]string{"x5t#S256": strings.Repeat("A", 43)}})},
	} {
		if got := s.call(t, tt.client, "/", tt.token); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestAGateAsksTheIssuer has our own issuer asked, by introspection, about its
// own tokens.
// The older issuer, whose audience is the user, beside another: each has routes.
func TestUsersAndServicesHaveTheirRoutes(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Token-Reason", r.Header.Get("X-Token-Subject")) // for call
	}))
	defer upstream.Close()
	dir, secret := t.TempDir(), []byte(strings.Repeat("shared ", 5))
	file, mint := filepath.Join(dir, "longcase.yaml"), signedFor(t, dir, "https://i.test", "https://b.example")
	write(t, filepath.Join(dir, "secret"), string(secret), 0o600)
	write(t, file, "gate: {listen: 127.0.0.1:0, accept: ["+
		"{issuer: user-service, profile: jwt, subject_from: aud, algorithms: [HS256], secret: {file: secret}}, "+
		"{issuer: https://i.test, audience: https://b.example, jwks: {file: keys.jwks}}], "+
		"routes: [{path: /orders/, audience: https://b.example, upstream: '"+upstream.URL+"'}, {path: /me/, upstream: '"+upstream.URL+"'}]}\n", 0o600)
	older, err := token.NewSecretSigner("", secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	user, err := older.Sign("JWT", fmt.Appendf(nil, `{"iss":"user-service","sub":"access","aud":"bob","nbf":%d,"exp":%d}`, now.Unix(), now.Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, file)
	defer s.stop(t)
	for _, tt := range []struct{ path, raw, want string }{
		{"/me/", user, "200 bob"}, {"/orders/", mint(nil), "200 alice"},
		{"/me/", mint(nil), "401 wrong_audience"}, {"/orders/", user, "401 wrong_audience"},
		{"/elsewhere", user, "404 no_route"},
	} {
		if got := s.call(t, http.DefaultClient, tt.path, tt.raw); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.path, got, tt.want)
		}
	}
}

func TestAGateAsksTheIssuer(t *testing.T) {
	dir, secret := t.TempDir(), password.NewSecret()
	url := "http://" + freeAddress(t)
	text := strings.ReplaceAll(configOf("a", secret, 5), "http://127.0.0.1:4600", url)
	text = strings.ReplaceAll(text, "127.0.0.1:0", strings.TrimPrefix(url, "http://"))
	text += fmt.Sprintf("    - {id: g, authenticate: secret, secret: {hash: %q}, revocations: true}\n", password.HashSecret(secret))
	issuerFile, gateFile := filepath.Join(dir, "issuer.yaml"), filepath.Join(dir, "gate.yaml")
	write(t, issuerFile, text, 0o600)
	write(t, filepath.Join(dir, "g.secret"), secret, 0o600)
	write(t, gateFile, fmt.Sprintf("gate: {listen: 127.0.0.1:0, accept: [{issuer: %q, audience: https://b.example, introspect: {url: %q, client: g, secret: {file: g.secret}}}]}\n",
		url, url+"/introspect"), 0o600)
	is, g := start(t, issuerFile), start(t, gateFile)
	defer g.stop(t)
	raw := is.token(t, "a", secret)
	if got := g.call(t, http.DefaultClient, "/verify", raw); got != "200" {
		t.Errorf("a token that the issuer knows = %s", got)
	}
	if got := g.call(t, http.DefaultClient, "/verify", "opaque-and-unknown"); got != "401 revoked" {
		t.Errorf("a token that it does not know = %s", got)
	}
	is.stop(t)
	if got := g.call(t, http.DefaultClient, "/verify", "opaque-and-new"); got != "503 keys_unavailable" {
		t.Errorf("while the issuer is down = %s", got)
	}
}

func TestTheStoreOfAGateMayBecomeAnIssuers(t *testing.T) {
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "longcase.yaml"), password.NewSecret()
	text := "gate: {listen: 127.0.0.1:0, accept: [{issuer: http://127.0.0.1:4600, audience: https://b.example}], routes: [{path: /, once: true, binding: dpop}]}\n"
	write(t, file, "data: data\n"+text, 0o600)
	s := start(t, file)
	if got := s.get(t, "/.longcase/readyz"); !strings.Contains(got, `"store":"ok"`) {
		t.Errorf("readyz of a gate with a store: %s", got)
	}
	s.stop(t)
	write(t, file, configOf("a", secret, 5)+text, 0o600)
	s = start(t, file)
	defer s.stop(t)
	if got := s.ask(t, "a", secret); got != http.StatusOK {
		t.Errorf("the issuer answers %d", got)
	}
}

func TestNoncesOutliveAReloadAndARestart(t *testing.T) {
	cfg := parsed(t, "gate: {accept: [{issuer: 'https://i', audience: a}], routes: [{path: /, binding: dpop}]}")
	dir := t.TempDir()
	var keys [][]byte
	for range 2 {
		h := newHouse(Options{Stderr: io.Discard})
		h.data.Dir = dir
		if err := errors.Join(h.prepare(cfg), h.openStore(t.Context(), cfg)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			key, err := h.nonceKey()
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if err := h.close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, keys[0]) {
			t.Errorf("keys of nonces %x, want one", keys)
		}
	}
}

func TestReloadCannotOpenAStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "longcase.yaml")
	accept := "accept: [{issuer: http://127.0.0.1:9, audience: https://b.example}]"
	write(t, file, "gate: {listen: 127.0.0.1:0, "+accept+"}\n", 0o600)
	s := start(t, file)
	defer s.stop(t)
	write(t, file, "gate: {listen: 127.0.0.1:0, "+accept+", routes: [{path: /, once: true}]}\n", 0o600)
	s.hangup(t, "not reloaded, nothing changed")
	if !strings.Contains(s.log.String(), "whether there is a store") {
		t.Errorf("the log says %s", s.log)
	}
}

func TestOnlyAGateThatRemembersNeedsAStore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		route config.Route
		want  bool
	}{
		{"a plain route", config.Route{}, false},
		{"certificates", config.Route{Binding: string(verify.MTLS)}, false},
		{"proofs, which are taken once", config.Route{Binding: string(verify.DPoP)}, true},
		{"tokens that are taken once", config.Route{Once: true}, true},
	} {
		if got := stores(&config.Config{Gate: &config.Gate{Routes: []config.Route{tt.route}}}); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestEnvoyAsksTheGateOfNow(t *testing.T) {
	dir := t.TempDir()
	file, mint := filepath.Join(dir, "longcase.yaml"), signedFor(t, dir, "https://i.test", "https://b.example")
	text := "gate: {listen: 127.0.0.1:0, ext_authz: 127.0.0.1:0, accept: [{issuer: https://i.test, audience: https://b.example, jwks: {file: keys.jwks}}], routes: [{path: /, scopes: [SCOPE]}]}\n"
	write(t, file, strings.Replace(text, "SCOPE", "read", 1), 0o600)
	s := start(t, file)
	defer s.stop(t)
	conn, err := grpc.NewClient(regexp.MustCompile(`listening ext_authz grpc://(\S+)`).FindStringSubmatch(s.log.String())[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw := mint(map[string]any{"scope": "read"})
	ask := func() int32 {
		answer, err := auth.NewAuthorizationClient(conn).Check(t.Context(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
			Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
				Method: "GET", Path: "/orders", Headers: map[string]string{"authorization": "Bearer " + raw}}}}})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetStatus().GetCode()
	}
	if got := ask(); got != int32(codes.OK) {
		t.Errorf("with the scope: code %d", got)
	}
	write(t, file, strings.Replace(text, "SCOPE", "write", 1), 0o600)
	s.hangup(t, "msg=reloaded")
	if got := ask(); got != int32(codes.PermissionDenied) {
		t.Errorf("after a reload that asks for another scope: code %d", got)
	}
}
