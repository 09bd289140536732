package gate

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

func TestEachDecisionIsRecordedOnce(t *testing.T) {
	key := newSigner(t, "k1")
	long := strings.Repeat("x", 3000)
	accepted := Record{
		Time: start, Method: "GET", Path: "/x", Route: "/", Peer: "192.0.2.7", Allowed: true,
		Issuer: issuerA, Subject: "alice", Client: "web", TokenID: "t1", KeyID: "k1",
	}
	tests := []struct {
		name string
		send sent
		want func(Record) Record
	}{
		{"accepted", asking("Bearer " + sign(t, key, good())), func(r Record) Record { return r }},
		{"no token", asking(), func(r Record) Record {
			return Record{Time: start, Method: "GET", Path: "/x", Route: "/", Peer: r.Peer, Reason: "no_token", Detail: token.NoToken.Meaning().Remedy}
		}},
		{"forged", asking("Bearer " + sign(t, newSigner(t, "k2"), good())), func(r Record) Record {
			return Record{Time: start, Method: "GET", Path: "/x", Route: "/", Peer: r.Peer, Reason: "unknown_key"}
		}},
		{"no scope", asking("Bearer " + sign(t, key, good().With(claims{"scope": "x"}))), func(r Record) Record {
			r.Allowed, r.Reason = false, "insufficient_scope"
			return r
		}},
		{"long names", asking("Bearer " + sign(t, key, good().With(claims{"sub": long, "jti": long, "client_id": long}))), func(r Record) Record {
			r.Allowed, r.Reason, r.Subject, r.Client, r.TokenID = false, "client_not_allowed", token.Clip(long), token.Clip(long), token.Clip(long)
			return r
		}},
		{"a long path", sent{"GET", "/" + long + "?secret=1", asking("Bearer " + sign(t, key, good())).header}, func(r Record) Record {
			r.Path = token.Clip("/" + long)
			return r
		}},
		{"an ambiguous path", sent{"GET", "/a/../b?secret=1", http.Header{}}, func(r Record) Record {
			return Record{Time: start, Method: "GET", Path: "/a/../b", Peer: r.Peer, Reason: reasonAmbiguous}
		}},
	}
	for _, e := range edges {
		var heard []Record
		g := newEdgeGate(t, key, e.forward, func(c *Config) { c.Hooks.Audit = func(r Record) { heard = append(heard, r) } })
		for _, tt := range tests {
			heard = nil
			e.ask(g, tt.send)
			if len(heard) != 1 {
				t.Fatalf("%s %s, %s: %d records", e.name, e.forward, tt.name, len(heard))
			}
			want := tt.want(accepted)
			if want.Edge = e.name; e.name == edgeVerify {
				want.Peer = "10.1.2.3" // it says nothing of whom it asks for
			}
			got := heard[0]
			if want.Detail == "" && want.Reason != "" && got.Detail != "" {
				want.Detail = got.Detail
			}
			if got.Skew = nil; got != want {
				t.Errorf("%s %s, %s:\n%+v, want\n%+v", e.name, e.forward, tt.name, got, want)
			}
			checkLine(t, got, tt.send)
		}
	}
}

// A fragment comes from a proxy that tells of it, and a token stood in many.
func TestAFragmentIsNotRecorded(t *testing.T) {
	var got Record
	cfg := config(newSigner(t, "k1"))
	cfg.Hooks.Audit = func(r Record) { got = r }
	mustNew(t, cfg).Judge(context.Background(), Request{Edge: EdgeExtAuthz, Method: "GET", Target: "/a#access_token=secret"})
	if got.Path != "/a" {
		t.Errorf("path %q", got.Path)
	}
}

// checkLine wants a line of JSON that holds neither token nor query.
func checkLine(t *testing.T, r Record, q sent) {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	checkNoToken(t, string(line), q)
	if strings.Contains(string(line), "secret") || len(line) > 3000 {
		t.Errorf("%d bytes: %s", len(line), line)
	}
}
