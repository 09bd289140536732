package grpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func with(t *testing.T, pairs ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

func TestAnAcceptedCallHasTheClaimsAndNobodyElsesWord(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	w := newWorld(t, config(key))
	client := testpb.NewTestServiceClient(w.dial(t, nil))
	pairs := []string{"authorization", "bearer " + gatetest.Sign(t, key, good()), "x-token-subject", "mallory", "x_token.client", "m", "x-other", "kept"}
	if _, err := client.EmptyCall(with(t, pairs...), &testpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	w.check(t)
	w.seen.claims = token.Claims{}
	s, err := client.FullDuplexCall(with(t, pairs...))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.CloseSend()
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	w.check(t)
}

func (w *world) check(t *testing.T) {
	t.Helper()
	if !w.seen.known || w.seen.claims.Subject != "alice" || w.seen.claims.ClientID != "web" {
		t.Errorf("the handler saw %+v, %v", w.seen.claims, w.seen.known)
	}
	if md := w.seen.md; len(md["x-token-subject"])+len(md["x_token.client"]) > 0 || len(md["x-other"]) != 1 || len(md["authorization"]) != 1 {
		t.Errorf("the handler saw the metadata %v", md)
	}
}

// refusal is what a client is told.
type refusal struct {
	code    codes.Code
	message string
	info    *errdetails.ErrorInfo
	retry   *errdetails.RetryInfo
}

func refusalOf(t *testing.T, err error) refusal {
	t.Helper()
	s := status.Convert(err)
	r := refusal{code: s.Code(), message: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			r.info = d
		case *errdetails.RetryInfo:
			r.retry = d
		default:
			t.Errorf("detail %v", d)
		}
	}
	if r.info == nil {
		t.Fatalf("%v has no ErrorInfo", err)
	}
	return r
}

// check says that every part of a refusal tells the same.
func (r refusal) check(t *testing.T, kind string, trailer metadata.MD) {
	t.Helper()
	said := r.info.GetMetadata()["detail"]
	title, detail, _ := strings.Cut(r.message, ": ")
	if title == "" || detail == "" || detail != said || strings.Contains(r.message, "eyJ") || r.info.GetDomain() != "longcase" {
		t.Errorf("%s: message %q, %v", kind, r.message, r.info)
	}
	if got := trailer["x-token-reason"]; len(got) != 1 || got[0] != r.info.GetReason() {
		t.Errorf("%s: x-token-reason %q", kind, got)
	}
	if (r.retry != nil) != (r.code == codes.Unavailable) {
		t.Errorf("%s: retry %v", kind, r.retry)
	}
}

// Unary calls and streams are refused alike: code, reason and trailer.
func TestRefusals(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	cfg := config(key)
	cfg.Issuers = append(cfg.Issuers, verify.Issuer{URL: "https://far.test", Audience: gatetest.Orders, Keys: gatetest.Unreachable{}})
	cfg.Routes = []gate.Route{
		{Path: service, Methods: []string{"POST"}, Scopes: []string{"orders.read"}, Audience: gatetest.Orders},
		{Path: service + "UnaryCall", Scopes: []string{"orders.write"}, Audience: gatetest.Orders},
		{Path: service + "HalfDuplexCall", Scopes: []string{"orders.write"}, Audience: gatetest.Orders},
		{Path: service + "UnimplementedCall", Methods: []string{"GET"}, Audience: gatetest.Orders},
		{Path: service + "StreamingInputCall", Methods: []string{"GET"}, Audience: gatetest.Orders},
	}
	w := newWorld(t, cfg)
	bearer := func(c claims) []string { return []string{"authorization", "Bearer " + gatetest.Sign(t, key, c)} }
	tests := []struct {
		name      string
		method    string // unary; empty: EmptyCall
		streaming string // empty: FullDuplexCall
		metadata  []string
		code      codes.Code
		reason    string
		challenge string
	}{
		{"no token", "", "", nil, codes.Unauthenticated, "no_token", `Bearer realm="https://orders.test"`},
		{"two of them", "", "", append(bearer(good()), bearer(good())...), codes.Unauthenticated, "malformed", `error="invalid_token"`},
		{"two in one value", "", "", []string{"authorization", "Bearer a, Bearer b"}, codes.Unauthenticated, "malformed", `error="invalid_token"`},
		{"none that is one", "", "", []string{"authorization", "Bearer x"}, codes.Unauthenticated, "malformed", `error="invalid_token"`},
		{"over", "", "", bearer(good().With(claims{"exp": start.Add(-time.Hour).Unix(), "iat": start.Add(-2 * time.Hour).Unix(), "nbf": 1})), codes.Unauthenticated, "expired", `error="invalid_token"`},
		{"for another", "", "", bearer(good().With(claims{"aud": "https://mail.test"})), codes.Unauthenticated, "wrong_audience", `error="invalid_token"`},
		{"without the scope", service + "UnaryCall", service + "HalfDuplexCall", bearer(good()), codes.PermissionDenied, "insufficient_scope", `scope="orders.write"`},
		{"of an issuer whose keys are far away", "", "", bearer(good().With(claims{"iss": "https://far.test"})), codes.Unavailable, "keys_unavailable", ""},
		{"a method that its route does not take", service + "UnimplementedCall", service + "StreamingInputCall", bearer(good()), codes.PermissionDenied, "not_allowed", `Bearer realm=`},
		{"a method without a route", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch", bearer(good()), codes.Unimplemented, "no_route", ""},
	}
	conn := w.dial(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, call := range map[string]func(*metadata.MD) error{
				"unary": func(md *metadata.MD) error {
					return unary(with(t, tt.metadata...), conn, cmp.Or(tt.method, service+"EmptyCall"), md)
				},
				"stream": func(md *metadata.MD) error {
					return streaming(with(t, tt.metadata...), conn, cmp.Or(tt.streaming, service+"FullDuplexCall"), md)
				},
			} {
				var trailer metadata.MD
				r := refusalOf(t, call(&trailer))
				r.check(t, kind, trailer)
				if r.code != tt.code || r.info.GetReason() != tt.reason {
					t.Errorf("%s: %v, want %s, %s", kind, r, tt.code, tt.reason)
				}
				if got := strings.Join(trailer["www-authenticate"], ";"); !strings.Contains(got, tt.challenge) || (got == "") != (tt.challenge == "") {
					t.Errorf("%s: www-authenticate %q lacks %q", kind, got, tt.challenge)
				}
			}
		})
	}
	if w.seen.md != nil {
		t.Errorf("a refused call came through with %v", w.seen.md)
	}
}

func unary(ctx context.Context, conn *grpc.ClientConn, method string, trailer *metadata.MD) error {
	return conn.Invoke(ctx, method, &testpb.Empty{}, &testpb.Empty{}, grpc.Trailer(trailer))
}

func streaming(ctx context.Context, conn *grpc.ClientConn, method string, trailer *metadata.MD) error {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	err = s.RecvMsg(&testpb.Empty{})
	*trailer = s.Trailer()
	return err
}

func TestACallTooManyIsToldHowLongToWait(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	cfg := config(key)
	cfg.Rates.Client = 1
	client := testpb.NewTestServiceClient(newWorld(t, cfg).dial(t, nil))
	ctx := with(t, "authorization", "Bearer "+gatetest.Sign(t, key, good()))
	if _, err := client.EmptyCall(ctx, &testpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	_, err := client.EmptyCall(ctx, &testpb.Empty{})
	if r := refusalOf(t, err); r.code != codes.ResourceExhausted || r.info.GetReason() != "rate_limited" || r.retry.GetRetryDelay().AsDuration() < time.Second {
		t.Errorf("the second call: %v", r)
	}
}

func TestTheSkewIsTold(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	client := testpb.NewTestServiceClient(newWorld(t, config(key)).dial(t, nil))
	ahead := start.Add(70 * time.Second).Unix()
	_, err := client.EmptyCall(with(t, "authorization", "Bearer "+gatetest.Sign(t, key, good().With(claims{"iat": ahead, "nbf": ahead}))), &testpb.Empty{})
	if r := refusalOf(t, err); r.info.GetReason() != "not_yet_valid" || r.info.GetMetadata()["skew_seconds"] != "70" {
		t.Errorf("%v", r)
	}
}

func TestExemptMethodsNeedNoToken(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	w := newWorld(t, config(key))
	client := healthpb.NewHealthClient(w.dial(t, nil))
	if _, err := client.Check(with(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("an exempt method: %v", err)
	}
	if _, err := client.List(with(t), &healthpb.HealthListRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("its neighbour: %v", err)
	}
	for _, bad := range []string{"", "/", "grpc.health.v1.Health/Check", "/grpc.health.v1.Health", "/grpc.health.v1.Health/", "/grpc.health.v1.Health/*", "/a/b/c"} {
		if _, err := New(Config{Gate: new(gate.Gate), Exempt: []string{bad}}); err == nil {
			t.Errorf("Exempt takes %q", bad)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a guard without a gate")
	}
}

// A token that is bound to a certificate needs the connection of that
// certificate.
func TestATokenBoundToACertificate(t *testing.T) {
	key := gatetest.NewSigner(t, "k1")
	server, mine, other := gatetest.Certificate(t, "orders.test", nil), gatetest.Certificate(t, "me", nil), gatetest.Certificate(t, "other", nil)
	w := newWorld(t, config(key), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13,
	})))
	roots := x509.NewCertPool()
	roots.AddCert(server.Leaf)
	raw := gatetest.SignFor(t, key, mine)
	for name, tt := range map[string]struct {
		shown []tls.Certificate
		want  string
	}{
		"with it": {[]tls.Certificate{mine}, ""}, "without one": {nil, "binding_missing"}, "with another": {[]tls.Certificate{other}, "binding_mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.dial(t, credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: tt.shown, MinVersion: tls.VersionTLS13}))
			_, err := testpb.NewTestServiceClient(conn).EmptyCall(with(t, "authorization", "Bearer "+raw), &testpb.Empty{})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if r := refusalOf(t, err); r.code != codes.Unauthenticated || r.info.GetReason() != tt.want {
				t.Errorf("%v, want %s", r, tt.want)
			}
		})
	}
}

// A DPoP proof is for POST to the URL of the full method, and asked for with a
// nonce where the route says so.
func TestATokenBoundToADPoPKey(t *testing.T) {
	key, me := gatetest.NewSigner(t, "k1"), gatetest.NewProver(t)
	cfg := config(key)
	cfg.Routes = []gate.Route{{Path: service, Audience: gatetest.Orders}, {Path: service + "UnaryCall", Audience: gatetest.Orders, Binding: verify.DPoP}}
	w := newWorld(t, cfg)
	conn := w.dial(t, nil)
	raw := me.Token(t, key)
	const at = "http://orders.test" + service
	proof := func(by gatetest.Prover, url string) string { return by.Proof(t, "POST", url, raw, "", nil) }
	for name, tt := range map[string]struct {
		method, scheme, proof, want, says string
	}{
		"with its proof":                   {"EmptyCall", "DPoP", proof(me, at+"EmptyCall"), "", ""},
		"without a proof":                  {"EmptyCall", "DPoP", "", "binding_missing", "DPoP "},
		"as a bearer token":                {"EmptyCall", "Bearer", proof(me, at+"EmptyCall"), "binding_missing", "DPoP "},
		"with a proof for another method":  {"EmptyCall", "DPoP", proof(me, at+"Other"), "binding_mismatch", "invalid_dpop_proof"},
		"with the proof of another key":    {"EmptyCall", "DPoP", proof(gatetest.NewProver(t), at+"EmptyCall"), "binding_mismatch", "invalid_token"},
		"without the nonce that is wanted": {"UnaryCall", "DPoP", proof(me, at+"UnaryCall"), "binding_missing", "use_dpop_nonce"},
	} {
		t.Run(name, func(t *testing.T) {
			var trailer metadata.MD
			pairs := []string{"authorization", tt.scheme + " " + raw}
			if tt.proof != "" {
				pairs = append(pairs, "dpop", tt.proof)
			}
			err := unary(with(t, pairs...), conn, service+tt.method, &trailer)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if r := refusalOf(t, err); r.info.GetReason() != tt.want || !strings.Contains(strings.Join(trailer["www-authenticate"], ";"), tt.says) {
				t.Errorf("%v with %v, want %s, %s", r, trailer, tt.want, tt.says)
			}
			if (len(trailer["dpop-nonce"]) == 1) != (tt.method == "UnaryCall") {
				t.Errorf("nonce %q", trailer["dpop-nonce"])
			}
		})
	}
}

func TestEveryStatusOfARefusalRefuses(t *testing.T) {
	for code := range 600 {
		if codeOf(code) == codes.OK {
			t.Errorf("status %d is OK", code)
		}
	}
}
