package discovery_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/longcase/longcase/discovery"
)

func TestPlaces(t *testing.T) {
	tests := map[string][]string{
		"https://a.test":         {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test/":        {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"http://[::1]:80/x/y%2F": {"http://[::1]:80/.well-known/oauth-authorization-server/x/y%2F", "http://[::1]:80/x/y%2F/.well-known/openid-configuration"},
	}
	for issuer, want := range tests {
		u, err := url.Parse(issuer)
		if err != nil {
			t.Fatal(err)
		}
		if got := discovery.Places(u); !slices.Equal(got, want) {
			t.Errorf("Places(%s) = %q, want %q", issuer, got, want)
		}
	}
}

func TestADocumentSpeaksForItsIssuerAlone(t *testing.T) {
	const good = `{"issuer":"https://a.test","jwks_uri":"https://a.test/k","token_endpoint":"https://a.test/t",
		"device_authorization_endpoint":"https://a.test/d","mtls_endpoint_aliases":{"token_endpoint":"https://m.a.test/t"},
		"token_endpoint_auth_methods_supported":["client_secret_post"],"token_endpoint_auth_signing_alg_values_supported":["PS256"],"unknown":1}`
	doc, err := discovery.Parse([]byte(good), "https://a.test")
	if err != nil || doc.Keys != "https://a.test/k" || doc.Token != "https://a.test/t" || doc.Device != "https://a.test/d" ||
		doc.MutualTLS != (discovery.Endpoints{Token: "https://m.a.test/t"}) || len(doc.Methods) != 1 || len(doc.Algorithms) != 1 {
		t.Errorf("Parse = %+v, %v", doc, err)
	}
	for name, body := range map[string]string{
		"another issuer": `{"issuer":"https://b.test"}`, "a slash more": `{"issuer":"https://a.test/"}`, "other case": `{"issuer":"https://A.test"}`,
		"no issuer": `{}`, "cut off": good[:40], "an array": `[]`, "a number for a URL": `{"issuer":"https://a.test","jwks_uri":1}`, "nothing": ``,
	} {
		if doc, err := discovery.Parse([]byte(body), "https://a.test"); err == nil {
			t.Errorf("%s: %+v", name, doc)
		}
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		url         string
		open, local bool // may be asked for an issuer elsewhere, on loopback
	}{
		{"https://a.test/t", true, true},
		{"https://a.test:8443/t?x=y", true, true},
		{"http://a.test/t", false, false},
		{"http://127.0.0.1:4600/t", false, true},
		{"http://localhost/t", false, true},
		{"http://tokens.localhost/t", false, false},
		{"https://[::1]/t", false, true},
		{"https://localhost./t", false, true},
		{"https://0.0.0.0/t", false, true},
		{"https://[::]/t", false, true},
		{"https://[::1%25lo]/t", false, true},
		{"https://[::ffff:0.0.0.0]/t", false, true},
		{"https://user@a.test/t", false, false},
		{"https://a.test/t#f", false, false},
		{"https:a.test", false, false},
		{"https://:443/", false, false},
		{"ftp://a.test/t", false, false},
		{"/t", false, false},
		{"", false, false},
		{"https://a.test/\x00", false, false},
	}
	for _, tt := range tests {
		for local, want := range map[bool]bool{false: tt.open, true: tt.local} {
			if err := discovery.CheckURL(tt.url, local); (err == nil) != want {
				t.Errorf("%q for an issuer on loopback %v: %v, want %v", tt.url, local, err, want)
			}
		}
	}
}

// Whatever a document says, an address that passes is https, or leads from
// loopback to loopback.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://a.test","jwks_uri":"https://a.test/k"}`))
	f.Add([]byte(`{"issuer":"https://a.test","token_endpoint":"http://127.0.0.1/token","mtls_endpoint_aliases":{"token_endpoint":"ftp://x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := discovery.Parse(body, "https://a.test")
		if err != nil {
			return
		}
		for _, s := range []string{doc.Keys, doc.Token, doc.Device, doc.MutualTLS.Token, doc.MutualTLS.Device} {
			if discovery.CheckURL(s, false) != nil {
				continue
			}
			if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
				t.Errorf("%q may be asked", s)
			}
		}
	})
}
