package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/go-jose/go-jose/v4"
)

// What the worlds of all tests have in common.
const (
	audience  = "https://orders.example.com"
	elsewhere = "https://elsewhere.example.com"
	callback  = "http://127.0.0.1:9/callback" // nobody listens: a walk ends there
	password  = "correct horse battery staple"
)

// world is one `longcase serve` with an issuer, a gate, clients of every kind,
// a user and an upstream.
type world struct {
	*process           // the issuer, and the gate unless that is remote
	remote             *process
	Issuer, Gate, Data string
	IssuerAddress      string
	GateAddress        string
	Upstream           string
	Secret             map[string]secret
	Password           string            // hash
	key                *ecdsa.PrivateKey // of the client keyed
	rsa                *rsa.PrivateKey   // its other one
	file               string
	plan               plan
}

// secret is a client secret and its hash for the file.
type secret struct {
	Secret string `json:"secret"`
	Hash   string `json:"hash"`
}

// plan is what a test changes of the world.
type plan struct {
	Access, SessionIdle, SessionAbsolute, Code, Grace, Backdate, Leeway string
	Rotate, PublishAhead                                                string
	StaleAfter                                                          string
	Remote                                                              bool // the gate runs in a process of its own
	ByKey                                                               bool // and proves who it is by private key
}

const worldFile = `data: longcase-data
issuer:
  url: {{.Issuer}}
  listen: {{.IssuerAddress}}
  lifetimes:
    access: {{or .Plan.Access "5m"}}
    session_idle: {{or .Plan.SessionIdle "1h"}}
    session_absolute: {{or .Plan.SessionAbsolute "12h"}}
    code: {{or .Plan.Code "60s"}}
    grace: {{or .Plan.Grace "60s"}}
    backdate: {{or .Plan.Backdate "10s"}}
  signing: {algorithm: ES256, rotate: {{or .Plan.Rotate "30d"}}, publish_ahead: {{or .Plan.PublishAhead "10m"}}}
  clients:
    - id: service
      authenticate: secret
      secret: {hash: "{{.Hash "service"}}"}
      grants: [client_credentials]
      audiences: [` + audience + `]
      scopes: [orders.read, orders.write]
    - id: keyed
      authenticate: private_key_jwt
      jwks: {file: keyed.jwks}
      grants: [client_credentials]
      audiences: [` + audience + `]
      scopes: [orders.read]
    - id: several
      authenticate: secret
      secret: {hash: "{{.Hash "several"}}"}
      grants: [client_credentials]
      audiences: [` + audience + `, ` + elsewhere + `]
      scopes: [orders.read]
    - id: web
      authenticate: secret
      secret: {hash: "{{.Hash "web"}}"}
      grants: [authorization_code, refresh_token]
      redirect_uris: ["` + callback + `"]
      audiences: [` + audience + `]
      scopes: [openid, orders.read]
    - id: public
      authenticate: none
      grants: [authorization_code, refresh_token]
      redirect_uris: ["` + callback + `"]
      origins: ["http://127.0.0.1:9"]
      audiences: [` + audience + `]
      scopes: [openid, orders.read]
    - id: gate
      authenticate: secret
      secret: {hash: "{{.Hash "gate"}}"}
      grants: [client_credentials]
      audiences: [` + audience + `]
      revocations: true
    - {id: keyed-gate, authenticate: private_key_jwt, jwks: {file: keyed.jwks}, revocations: true}
  users:
    - {name: alice, password: {hash: "{{.Password}}"}}
{{if not .Plan.Remote}}` + gateFile + `{{end}}`

const gateFile = `
gate:
  listen: {{.GateAddress}}
  forward: nginx
  trusted_proxies: [127.0.0.1/32]
  accept:
    - issuer: {{.Issuer}}
      audience: ` + audience + `
      algorithms: [ES256]
      leeway: {{or .Plan.Leeway "1s"}}
  revocations:
    follow: {{.Issuer}}
    stale_after: {{or .Plan.StaleAfter "10s"}}
{{if .Plan.ByKey}}    client: keyed-gate
    key: {file: gate.pem}
{{else if .Plan.Remote}}    client: gate
    secret: {file: gate.secret}
{{end}}  routes:
    - {path: /orders/, methods: [GET], scopes: [orders.read], upstream: "{{.Upstream}}"}
    - {path: /orders/new, methods: [POST], scopes: [orders.write], upstream: "{{.Upstream}}"}
`

// newWorld starts a world as planned.
func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	w := prepare(t, p)
	w.start()
	return w
}

// prepare makes the files of a world and starts nothing but the upstream.
func prepare(t *testing.T, p plan) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{process: &process{t: t, dir: dir}, plan: p, Secret: map[string]secret{}, Data: filepath.Join(dir, "longcase-data")}
	for _, id := range []string{"service", "several", "web", "gate"} {
		var s secret
		must(t, "", &s, "client", "secret", "--json")
		w.Secret[id] = s
	}
	w.Password = strings.TrimSpace(hashPassword(t))
	w.IssuerAddress, w.GateAddress = freeAddress(t), freeAddress(t)
	w.Issuer, w.Gate = "http://"+w.IssuerAddress, "http://"+w.GateAddress
	w.key, w.rsa = newKey(t), newRSAKey(t)
	w.write("keyed.jwks", keySet(t, w))
	w.Upstream = upstream(t)
	w.file = w.write("longcase.yaml", w.fill(worldFile))
	return w
}

// start runs the server and, for a world of two processes, its gate.
func (w *world) start() {
	w.t.Helper()
	w.process = serve(w.t, w.dir, "-c", w.file)
	w.hide()
	if w.plan.Remote && w.remote == nil {
		w.startGate()
	}
	eventually(w.t, patience, "the gate is ready", w.gateReady)
}

func (w *world) gateReady() bool { return status(w.Gate+"/.longcase/readyz") == http.StatusOK }

// startGate runs a gate in a process of its own, which follows the issuer.
func (w *world) startGate() {
	w.t.Helper()
	dir := w.t.TempDir()
	writeFile(w.t, dir, "gate.secret", w.Secret["gate"].Secret+"\n")
	writeFile(w.t, dir, "gate.pem", pemOf(w.t, w.key))
	file := writeFile(w.t, dir, "gate.yaml", "data: longcase-data\n"+w.fill(gateFile))
	w.remote = serve(w.t, dir, "-c", file)
	w.hide()
}

// hide keeps texts out of the output and the data of every process.
func (w *world) hide(secrets ...string) {
	for _, p := range []*process{w.process, w.remote} {
		if p == nil {
			continue
		}
		p.hide(secrets...)
		p.hide(password)
		for _, s := range w.Secret {
			p.hide(s.Secret)
		}
	}
}

// Hash and Plan are for the template of the file.
func (w *world) Hash(id string) string { return w.Secret[id].Hash }

// Plan is what the test changed.
func (w *world) Plan() plan { return w.plan }

func (w *world) fill(text string) string {
	w.t.Helper()
	var b bytes.Buffer
	if err := template.Must(template.New("file").Parse(text)).Execute(&b, w); err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

func (w *world) write(name, text string) string {
	w.t.Helper()
	return writeFile(w.t, w.dir, name, text)
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hashPassword(t *testing.T) string {
	t.Helper()
	r := longcase(t, password+"\n", "user", "password")
	if r.code != 0 {
		t.Fatalf("user password exits %d: %s", r.code, r.stderr)
	}
	return r.stdout
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The keys of the client keyed.
const (
	keyedKid = "keyed-1"
	rsaKid   = "keyed-2"
)

func keySet(t *testing.T, w *world) string {
	t.Helper()
	return encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: w.key.Public(), KeyID: keyedKid, Algorithm: "ES256", Use: "sig"},
		{Key: w.rsa.Public(), KeyID: rsaKid, Algorithm: "RS256", Use: "sig"},
	}})
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func pemOf(t *testing.T, key crypto.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// upstream is the small service behind the gate: it says what it was asked.
func upstream(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "upstream saw %s %s for %s of %s", r.Method, r.URL.RequestURI(), r.Header.Get("X-Token-Subject"), r.Header.Get("X-Token-Client"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any // nil if the body is no JSON object
}

// code is the OAuth error or the gate's reason, empty if there is none.
func (a answer) code() string {
	for _, member := range []string{"error", "reason"} {
		if s, ok := a.json[member].(string); ok {
			return s
		}
	}
	return ""
}

func (a answer) text(member string) string {
	s, _ := a.json[member].(string)
	return s
}

// client follows no redirects and keeps no cookies.
var client = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func send(t *testing.T, r *http.Request) answer {
	t.Helper()
	a, err := try(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(r *http.Request) (answer, error) {
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	_ = json.Unmarshal(body, &a.json)
	return a, nil
}

// status returns the status of a GET, or 0 if nobody answers.
func status(url string) int {
	resp, err := client.Get(url)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// form makes a POST of pairs of names and values.
func form(to string, pairs ...string) *http.Request {
	body := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		body.Add(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequest(http.MethodPost, to, strings.NewReader(body.Encode()))
	if err != nil {
		panic(err) // the URLs are constants of the tests
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// as adds HTTP Basic authentication of a client of the world.
func (w *world) as(id string, r *http.Request) *http.Request {
	r.SetBasicAuth(id, w.Secret[id].Secret)
	return r
}

// hideAll keeps the tokens of an answer out of the log and the data.
func (w *world) hideAll(a answer) answer {
	w.hide(a.text("access_token"), a.text("refresh_token"), a.text("id_token"))
	return a
}

// token gets an access token by client credentials.
func (w *world) token(id, scope string) string {
	w.t.Helper()
	a := w.hideAll(send(w.t, w.as(id, form(w.Issuer+"/token", "grant_type", "client_credentials", "scope", scope, "audience", audience))))
	if a.status != http.StatusOK {
		w.t.Fatalf("no token for %s: %d %s", id, a.status, a.body)
	}
	return a.text("access_token")
}

// call sends a request with a token through the gate.
func (w *world) call(method, path, token string) answer {
	w.t.Helper()
	return send(w.t, w.request(method, path, token))
}

func (w *world) request(method, path, token string) *http.Request {
	r, err := http.NewRequest(method, w.Gate+path, nil)
	if err != nil {
		panic(err) // the paths are constants of the tests
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// expect asserts status and code of an answer.
func (a answer) expect(t *testing.T, status int, code string) {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("answer is %d %q, want %d %q: %s", a.status, a.code(), status, code, a.body)
	}
}
