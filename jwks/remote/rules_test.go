package remote_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
)

func TestDiscoveryAsksWhereTheRFCsSay(t *testing.T) {
	tests := []struct{ issuer, path string }{
		{"https://tokens.example.com", "/.well-known/oauth-authorization-server"},
		{"https://tokens.example.com/", "/.well-known/oauth-authorization-server"},
		{"https://tokens.example.com/a/b", "/.well-known/oauth-authorization-server/a/b"},
		{"https://tokens.example.com/a/b", "/a/b/.well-known/openid-configuration"},
		{"https://tokens.example.com", "/.well-known/openid-configuration"},
	}
	for _, tt := range tests {
		t.Run(tt.issuer+" at "+tt.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := newIssuer("a")
				is.url = tt.issuer
				delete(is.mux, "/.well-known/oauth-authorization-server")
				is.mux[tt.path] = func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"https://keys.elsewhere.example/jwks"}`, tt.issuer)
				}
				if err := ask(run(t, is, nil), "a"); err != nil {
					t.Errorf("%v; asked %q", err, is.asked)
				}
			})
		})
	}
}

func TestWhatAnIssuerMustNotAnswer(t *testing.T) {
	metadata := func(issuer, keys string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, keys)
		}
	}
	tests := []struct {
		name  string
		path  string
		serve http.HandlerFunc
		says  string
	}{
		{"metadata of another issuer", "meta", metadata("https://evil.example", issuerURL+"/jwks"), "speaks for issuer"},
		{"metadata of an issuer with one slash more", "meta", metadata(issuerURL+"/", issuerURL+"/jwks"), "speaks for issuer"},
		{"keys over http", "meta", metadata(issuerURL, "http://tokens.example.com/jwks"), "not https"},
		{"keys on loopback", "meta", metadata(issuerURL, "https://127.0.0.1/jwks"), "on loopback"},
		{"keys on loopback by http", "meta", metadata(issuerURL, "http://localhost/jwks"), "not https"},
		{"keys in a file", "meta", metadata(issuerURL, "file:///etc/passwd"), "no https URL"},
		{"no keys", "meta", metadata(issuerURL, ""), "no https URL"},
		{"a user in the URL", "meta", metadata(issuerURL, "https://me:secret@tokens.example.com/jwks"), "has a user"},
		{"metadata that is no JSON", "meta", text("application/json", "{"), "not a metadata document"},
		{"a redirect of metadata", "meta", http.RedirectHandler("https://evil.example/", http.StatusFound).ServeHTTP, "redirect to https://evil.example/ is not followed"},
		{"a redirect of keys", "keys", http.RedirectHandler(issuerURL+"/other", http.StatusTemporaryRedirect).ServeHTTP, "is not followed"},
		{"a web page", "keys", text("text/html; charset=utf-8", `{"keys":[]}`), "web page"},
		{"XML", "keys", text("application/xml", `{"keys":[]}`), "application/xml"},
		{"a picture", "meta", text("image/png", `{}`), "image/png"},
		{"a type that is none", "keys", text("json; =", `{"keys":[]}`), "Content-Type"},
		{"a redirect of metadata on the same host", "meta", http.RedirectHandler(issuerURL+"/meta", http.StatusPermanentRedirect).ServeHTTP, "is not followed"},
		{"101 keys", "keys", text("application/json", `{"keys":[`+strings.Repeat("{},", jwks.MaxKeys)+`{}]}`), "101 keys"},
		{"an error with a body", "keys", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"keys":[]}`)
		}, "500"},
		{"more than 512 KiB", "keys", text("application/json", `{"keys":[]`+strings.Repeat(" ", jwks.MaxSize)+`}`), "more than 524288 bytes"},
		{"no set", "keys", text("application/json", `[]`), "not a JWK Set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := newIssuer("a")
				where := map[string]string{"meta": "/.well-known/oauth-authorization-server", "keys": "/jwks"}[tt.path]
				is.mux[where] = tt.serve
				s := run(t, is, nil)
				err := ask(s, "a")
				if !errors.Is(err, token.KeysUnavailable) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
					t.Errorf("Keys = %v, want %s that says %q", err, token.KeysUnavailable, tt.says)
				}
			})
		})
	}
}

func text(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, body)
	}
}

func TestABadAnswerDoesNotReplaceAGoodSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		is.maxAge = "max-age=10"
		s := run(t, is, nil)
		time.Sleep(time.Second)
		is.set(func() { is.body = []byte("<html>captive portal</html>") })
		time.Sleep(time.Hour)
		if err := ask(s, "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestKeysFromAURLNeedNoDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer("a")
		clear(is.mux)
		is.mux["/keys.json"] = is.jwks
		s := run(t, is, func(c *remote.Config) { c.URL = issuerURL + "/keys.json" })
		if err := ask(s, "a"); err != nil || len(is.asked) != 1 {
			t.Errorf("%v; asked %q", err, is.asked)
		}
	})
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	tests := []struct {
		name string
		cfg  remote.Config
		says []string
	}{
		{"nothing", remote.Config{}, []string{"no https URL"}},
		{"http beyond loopback", remote.Config{Issuer: "http://tokens.example.com"}, []string{"not https"}},
		{"no host", remote.Config{Issuer: "https:///x"}, []string{"no https URL"}},
		{"a query, and a negative Stale", remote.Config{Issuer: "https://x.example/?a=b", Stale: -1}, []string{"query", "Stale"}},
		{"http keys of an https issuer", remote.Config{Issuer: issuerURL, URL: "http://tokens.example.com/jwks"}, []string{"not https"}},
		{"a name below localhost", remote.Config{Issuer: "http://tokens.localhost"}, []string{"not https"}},
		{"any address of this machine", remote.Config{Issuer: "https://0.0.0.0"}, []string{"on loopback"}},
		{"loopback in a name", remote.Config{Issuer: "http://localhost.evil.example"}, []string{"not https"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := remote.New(tt.cfg)
			for _, says := range tt.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("New = %v, want %q", err, says)
				}
			}
		})
	}
	for _, good := range []string{"http://127.0.0.1:4600", "http://localhost:1/x", "http://[::1]:2", issuerURL} {
		if _, err := remote.New(remote.Config{Issuer: good}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// The client that New makes, with real sockets: an issuer on loopback is served,
// and a special address, to which no packet could go, is not even dialled.
func TestTheDialerRefusesPrivateAddresses(t *testing.T) {
	is := newIssuer("a")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { is.mux[r.URL.Path](w, r) }))
	defer server.Close()
	is.url = server.URL
	quiet := func(c *remote.Config) {
		c.Client = nil
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := ask(run(t, is, quiet), "a"); err != nil {
		t.Errorf("an issuer on loopback: %v", err)
	}
	is.url = "https://255.255.255.255"
	if err := ask(run(t, is, quiet), "a"); !errors.Is(err, token.KeysUnavailable) || !strings.Contains(err.Error(), "private") {
		t.Errorf("a special address: %v", err)
	}
}
