package extauthz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/verify"
)

func ask(t *testing.T, s auth.AuthorizationServer, q *auth.CheckRequest) *auth.CheckResponse {
	t.Helper()
	a, err := s.Check(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if (a.GetOkResponse() != nil) != (a.GetStatus().GetCode() == int32(codes.OK)) || (a.GetOkResponse() == nil) == (a.GetDeniedResponse() == nil) {
		t.Fatalf("an answer with two readings: %v", a)
	}
	return a
}

// options are headers of an answer by name. Each replaces what is there.
func options(t *testing.T, list []*core.HeaderValueOption) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, o := range list {
		name := o.GetHeader().GetKey()
		if _, twice := out[name]; twice || o.GetAppendAction() != core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || name != strings.ToLower(name) {
			t.Errorf("header %v", o)
		}
		out[name] = o.GetHeader().GetValue()
	}
	return out
}

func TestAnAcceptedRequestSaysWhoItIs(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	conn := serve(t, newServer(t, config(key)), nil)
	client := auth.NewAuthorizationClient(conn)
	lines := []header{
		{"authorization", "Bearer " + gatetest.Sign(t, key, good().With(claims{"scope": "orders.read a"}))},
		{"x-token-subject", "mallory"}, {"x-token-subject", "mallory"}, {"x_token_subject", "mallory"}, {"x-token-roles", "admin"}, {"x-token-roles", "x"}, {"x-other", "kept"},
	}
	for name, q := range map[string]*auth.CheckRequest{
		"headers as they came": question("GET", "/orders/7?x=1", lines...),
		"headers joined":       joined(question("GET", "/orders/7?x=1", lines...)),
	} {
		t.Run(name, func(t *testing.T) {
			a, err := client.Check(t.Context(), q)
			if err != nil || a.GetOkResponse() == nil {
				t.Fatalf("%v, %v", a, err)
			}
			want := map[string]string{"x-token-subject": "alice", "x-token-client": "web", "x-token-scope": "orders.read a", "x-token-expires": "1772366700"}
			got := options(t, a.GetOkResponse().GetHeaders())
			for name, value := range want {
				if got[name] != value || len(got) != len(want) {
					t.Errorf("headers %v, want %v", got, want)
				}
			}
			gone := a.GetOkResponse().GetHeadersToRemove()
			slices.Sort(gone)
			if strings.Join(gone, " ") != "x-token-roles x_token_subject" {
				t.Errorf("removes %q", gone)
			}
			if m := a.GetDynamicMetadata().AsMap(); m["subject"] != "alice" || m["client"] != "web" || m["issuer"] != gatetest.Issuer || m["token_id"] != "t1" {
				t.Errorf("metadata %v", m)
			}
		})
	}
}

// What a token does not say is taken away, so that the client's word is not
// taken for it.
func TestWhatTheTokenDoesNotSayIsRemoved(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	cfg := config(key)
	cfg.Routes = nil
	c := good()
	delete(c, "scope")
	a := ask(t, newServer(t, cfg), question("GET", "/x", header{"authorization", "Bearer " + gatetest.Sign(t, key, c)}, header{"x-token-scope", "admin"}))
	ok := a.GetOkResponse()
	if _, set := options(t, ok.GetHeaders())["x-token-scope"]; set || !slices.Equal(ok.GetHeadersToRemove(), []string{"x-token-scope"}) {
		t.Errorf("%v", ok)
	}
}

// A refusal has the status, headers and body that the middleware gives to the
// same request.
func TestARefusalIsThatOfEveryOtherEdge(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	cfg := config(key)
	cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: "https://far.test", Audience: gatetest.Orders, Keys: gatetest.Unreachable{}})
	s := newServer(t, cfg)
	middleware := s.cfg.Gate.(*gate.Gate).Middleware(http.NotFoundHandler())
	bearer := func(c claims) header { return header{"authorization", "Bearer " + gatetest.Sign(t, key, c)} }
	tests := []struct {
		name         string
		method, path string
		headers      []header
		status       int
		reason       string
	}{
		{"no token", "GET", "/orders/", nil, 401, "no_token"},
		{"another scheme", "GET", "/orders/", []header{{"authorization", "Basic x"}}, 401, "no_token"},
		{"another scheme, with parameters", "GET", "/orders/", []header{{"authorization", `Digest username="a", nonce="b"`}}, 401, "no_token"},
		{"two tokens", "GET", "/orders/", []header{bearer(good()), bearer(good())}, 401, "malformed"},
		{"a token and something else", "GET", "/orders/", []header{{"authorization", "Basic x"}, bearer(good())}, 401, "malformed"},
		{"nbf ahead", "GET", "/orders/", []header{bearer(good().With(claims{"nbf": start.Unix() + 50}))}, 401, "not_yet_valid"},
		{"over", "GET", "/orders/", []header{bearer(good().With(claims{"exp": start.Unix() - 60, "iat": start.Unix() - 90, "nbf": start.Unix() - 90}))}, 401, "expired"},
		{"without the scope", "POST", "/orders/", []header{bearer(good())}, 403, "insufficient_scope"},
		{"a method of no route", "PUT", "/orders/", []header{bearer(good())}, 403, "not_allowed"},
		{"a path of no route", "GET", "/mail", []header{bearer(good())}, 404, "no_route"},
		{"a path with two readings", "GET", "/orders/..%2fmail", []header{bearer(good())}, 400, "ambiguous_path"},
		{"keys that cannot be had", "GET", "/orders/", []header{bearer(good().With(claims{"iss": "https://far.test"}))}, 503, "keys_unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(tt.method, tt.path, nil)
			for _, h := range tt.headers {
				r.Header.Add(h.name, h.value)
			}
			middleware.ServeHTTP(w, r)
			for name, q := range map[string]*auth.CheckRequest{"raw": question(tt.method, tt.path, tt.headers...), "joined": joined(question(tt.method, tt.path, tt.headers...))} {
				a := ask(t, s, q)
				no := a.GetDeniedResponse()
				if int(no.GetStatus().GetCode()) != tt.status || a.GetDynamicMetadata().AsMap()["reason"] != tt.reason {
					t.Fatalf("%s: %v, want %d %s", name, a, tt.status, tt.reason)
				}
				if name == "joined" {
					continue // its words may differ, where two headers were one
				}
				if w.Code != tt.status || no.GetBody() != w.Body.String() {
					t.Errorf("body %q; the middleware: %d %q", no.GetBody(), w.Code, w.Body)
				}
				got := options(t, no.GetHeaders())
				for name := range w.Header() {
					if got[strings.ToLower(name)] != w.Header().Get(name) {
						t.Errorf("header %s is %q; the middleware: %q", name, got[strings.ToLower(name)], w.Header().Get(name))
					}
				}
			}
		})
	}
}

// As Envoy joins them, even with encode_raw_headers.
func TestJoinedCredentialsAreTakenApart(t *testing.T) {
	tests := map[string]int{
		"Bearer a": 1, "": 1, "Bearer a,Bearer b": 2, "Basic x, Bearer b": 2, "Basic x,\tDPoP b,Bearer c": 3, "Bearer a,b": 1,
		`Digest username="a", realm="b",nonce=c`: 1, `Digest username="a",Bearer b`: 2,
	}
	for value, want := range tests {
		q := question("GET", "/", header{"authorization", value}, header{"dpop", "a,b"})
		h := headersOf(q.GetAttributes().GetRequest().GetHttp())
		if len(h["Authorization"]) != want || strings.Join(h["Authorization"], ",") != value || len(h["Dpop"]) != 2 {
			t.Errorf("%q: %q, want %d", value, h, want)
		}
	}
}

// What is no question about a request is a no, whatever the routes.
func TestAnUnclearQuestionIsRefused(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	cfg := config(key)
	cfg.Routes = nil
	s := newServer(t, cfg)
	bearer := header{"authorization", "Bearer " + gatetest.Sign(t, key, good())}
	with := func(edit func(*auth.AttributeContext)) *auth.CheckRequest {
		q := question("GET", "/", bearer)
		edit(q.Attributes)
		return q
	}
	tests := map[string]*auth.CheckRequest{
		"nothing":               {},
		"no request":            with(func(a *auth.AttributeContext) { a.Request = nil }),
		"no HTTP":               with(func(a *auth.AttributeContext) { a.Request.Http = nil }),
		"no method":             with(func(a *auth.AttributeContext) { a.Request.Http.Method = "" }),
		"no path":               with(func(a *auth.AttributeContext) { a.Request.Http.Path = "" }),
		"a certificate of junk": with(func(a *auth.AttributeContext) { a.Source.Certificate = "junk" }),
		"a certificate cut off": with(func(a *auth.AttributeContext) { a.Source.Certificate = "%2" }),
		"a key for a certificate": with(func(a *auth.AttributeContext) {
			a.Source.Certificate = "-----BEGIN%20PRIVATE%20KEY-----%0AAAAA%0A-----END%20PRIVATE%20KEY-----%0A"
		}),
	}
	for name, q := range tests {
		a := ask(t, s, q)
		if no := a.GetDeniedResponse(); no.GetStatus().GetCode() != 403 || !strings.Contains(no.GetBody(), `"reason":"not_allowed"`) {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := ask(t, s, with(func(*auth.AttributeContext) {})); a.GetOkResponse() == nil {
		t.Errorf("the control is refused: %v", a)
	}
	if _, err := s.Check(t.Context(), nil); err != nil {
		t.Errorf("nil: %v", err)
	}
}

func TestAPreflightIsLeftAlone(t *testing.T) {
	s := newServer(t, config(gatetest.NewSigner(t, "k1")))
	lines := []header{{"origin", "https://page.test"}, {"access-control-request-method", "POST"}, {"x-token-subject", "mallory"}}
	ok := ask(t, s, question("OPTIONS", "/orders/7", lines...)).GetOkResponse()
	if ok == nil || len(ok.GetHeaders()) != 0 || !slices.Contains(ok.GetHeadersToRemove(), "x-token-subject") {
		t.Errorf("%v", ok)
	}
	if a := ask(t, s, question("OPTIONS", "/orders/7", lines[:1]...)); a.GetOkResponse() != nil {
		t.Error("what is no preflight passes")
	}
}

func TestATokenBoundToACertificateNeedsIt(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	s := newServer(t, config(key))
	mine, other := gatetest.Certificate(t, "me", nil), gatetest.Certificate(t, "other", nil)
	raw := gatetest.SignFor(t, key, mine)
	for name, tt := range map[string]struct {
		shown *tls.Certificate
		want  any
	}{"with it": {&mine, nil}, "without one": {nil, "binding_missing"}, "with another": {&other, "binding_mismatch"}} {
		q := question("GET", "/orders/", header{"authorization", "Bearer " + raw})
		if tt.shown != nil {
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tt.shown.Certificate[0]})
			q.Attributes.Source.Certificate = strings.ReplaceAll(url.QueryEscape(string(text)), "+", "%20")
		}
		if a := ask(t, s, q); a.GetDynamicMetadata().AsMap()["reason"] != tt.want {
			t.Errorf("%s: %v, want %v", name, a, tt.want)
		}
	}
}

func TestATokenBoundToADPoPKeyNeedsItsProof(t *testing.T) {
	key, me := gatetest.NewSigner(t, "k1"), gatetest.NewProver(t)
	s := newServer(t, config(key))
	raw := me.Token(t, key)
	at := func(method, url string) []header {
		return []header{{"authorization", "DPoP " + raw}, {"dpop", me.Proof(t, method, url, raw, "", nil)}}
	}
	for name, tt := range map[string]struct {
		headers []header
		want    any
	}{
		"with it":                    {at("GET", "https://orders.test/orders/7"), nil},
		"without one":                {at("", "")[:1], "binding_missing"},
		"for another method":         {at("POST", "https://orders.test/orders/7"), "binding_mismatch"},
		"for another path":           {at("GET", "https://orders.test/orders/8"), "binding_mismatch"},
		"for another host":           {at("GET", "https://mail.test/orders/7"), "binding_mismatch"},
		"two of them":                {append(at("GET", "https://orders.test/orders/7"), at("GET", "https://orders.test/orders/7")[1]), "binding_mismatch"},
		"for http where it is https": {at("GET", "http://orders.test/orders/7"), "binding_mismatch"},
	} {
		for kind, q := range map[string]*auth.CheckRequest{"raw": question("GET", "/orders/7?x=1", tt.headers...), "joined": joined(question("GET", "/orders/7?x=1", tt.headers...))} {
			if kind == "joined" && tt.want == nil {
				continue // the proof was used
			}
			if a := ask(t, s, q); a.GetDynamicMetadata().AsMap()["reason"] != tt.want {
				t.Errorf("%s, %s: %v, want %v", name, kind, a, tt.want)
			}
		}
	}
}

// Whoever asks over TLS shows a certificate of an authority that is named.
func TestCallersProveThemselvesOverTLS(t *testing.T) {
	ca := gatetest.Certificate(t, "ca", nil)
	server, mine, strange := gatetest.Certificate(t, "gate.test", &ca), gatetest.Certificate(t, "envoy", &ca), gatetest.Certificate(t, "stranger", nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	s := newServer(t, config(gatetest.NewSigner(t, "k1")))
	s.cfg.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
	for name, tt := range map[string]struct {
		shown []tls.Certificate
		want  bool
	}{"one of ours": {[]tls.Certificate{mine}, true}, "none": {nil, false}, "a stranger's": {[]tls.Certificate{strange}, false}} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, s, credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "gate.test", Certificates: tt.shown, MinVersion: tls.VersionTLS13}))
			_, err := auth.NewAuthorizationClient(conn).Check(t.Context(), question("GET", "/orders/"))
			if (err == nil) != tt.want {
				t.Errorf("%v", err)
			}
		})
	}
}

// elsewhere is a listener that other machines can reach.
type elsewhere struct {
	net.Listener
	addr   net.Addr
	closed bool
}

func (l *elsewhere) Addr() net.Addr { return l.addr }
func (l *elsewhere) Close() error   { l.closed = true; return nil }

func TestWithoutTLSItListensOnThisMachineOnly(t *testing.T) {
	s := newServer(t, config(gatetest.NewSigner(t, "k1")))
	for _, a := range []net.Addr{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.ParseIP("10.0.0.1"), Port: 1}, &net.TCPAddr{Port: 1}, &net.IPAddr{}} {
		l := &elsewhere{addr: a}
		if err := s.Serve(t.Context(), l); err == nil || !l.closed {
			t.Errorf("%s: %v, closed: %v", a, err, l.closed)
		}
	}
	if _, err := New(Config{Gate: s.cfg.Gate, TLS: &tls.Config{MinVersion: tls.VersionTLS13}, Open: true}); err != nil {
		t.Errorf("an open server that asks for no certificate is refused: %v", err)
	}
	for _, bad := range []Config{{}, {Gate: s.cfg.Gate, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}, {Gate: s.cfg.Gate, TLS: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("New takes %+v", bad)
		}
	}
}

func TestHealthFollowsTheGate(t *testing.T) {
	cfg := config(gatetest.NewSigner(t, "k1"))
	live := make(chan struct{})
	cfg.Revocations = func(ctx context.Context, _ func(gate.Event), seen func()) error {
		<-live
		seen()
		<-ctx.Done()
		return ctx.Err()
	}
	cfg.RevocationsFrom = gatetest.Issuer
	s := newServer(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.cfg.Gate.(*gate.Gate).Run(ctx) }()
	defer func() { cancel(); <-ended }()
	client := health.NewHealthClient(serve(t, s, nil))
	status := func() health.HealthCheckResponse_ServingStatus {
		a, err := client.Check(t.Context(), &health.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return a.GetStatus()
	}
	if got := status(); got != health.HealthCheckResponse_NOT_SERVING {
		t.Errorf("before the feed is there: %s", got)
	}
	close(live)
	for range 500 {
		if status() == health.HealthCheckResponse_SERVING {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it never serves")
}

func TestAQuestionTooLargeIsRefused(t *testing.T) {
	client := auth.NewAuthorizationClient(serve(t, newServer(t, config(gatetest.NewSigner(t, "k1"))), nil))
	q := question("GET", "/orders/", header{"x", strings.Repeat("x", maxMessage)})
	if a, err := client.Check(t.Context(), q); err == nil {
		t.Errorf("it is answered: %v", a)
	}
}

func FuzzCheck(f *testing.F) {
	key := gatetest.NewSigner(f, "k1")
	g, err := gate.New(config(key))
	if err != nil {
		f.Fatal(err)
	}
	s := &Server{cfg: Config{Gate: g}}
	other := gatetest.Sign(f, gatetest.NewSigner(f, "k1"), good())
	for _, q := range []*auth.CheckRequest{question("GET", "/orders/", header{"authorization", "Bearer " + other}), joined(question("GET", "/orders/", header{"authorization", "Bearer x"}))} {
		data, err := proto.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var q auth.CheckRequest
		if proto.Unmarshal(data, &q) != nil {
			return
		}
		a := ask(t, s, &q)
		if a.GetOkResponse() != nil && q.GetAttributes().GetRequest().GetHttp().GetMethod() != "OPTIONS" {
			t.Fatalf("%v passes", &q)
		}
		if no := a.GetDeniedResponse(); no != nil && !json.Valid([]byte(no.GetBody())) {
			t.Fatalf("body %q", no.GetBody())
		}
		if _, err := proto.Marshal(a); err != nil {
			t.Fatalf("the answer cannot be sent: %v", err)
		}
	})
}
