package issuer

import (
	"net/netip"
	"net/url"
	"testing"
)

func TestOnlyTheLoopbackPortMayDiffer(t *testing.T) {
	tests := []struct {
		registered, asked string
		want              bool
	}{
		{"http://127.0.0.1/cb", "http://127.0.0.1:5000/cb", true},
		{"http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:65535/cb?a=b", true},
		{"http://[::1]/cb", "http://[::1]:5000/cb", true},
		{"http://[::1]:80", "http://[::1]:5000", true},
		{"http://localhost:3000/cb", "http://localhost:4000/cb", true},
		{"http://127.0.0.1/cb", "http://[::1]/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/CB", false},
		{"http://localhost/cb", "http://LOCALHOST:1/cb", false},
		{"http://localhost.evil.test/cb", "http://localhost.evil.test:1/cb", false},
		{"http://10.0.0.1/cb", "http://10.0.0.1:1/cb", false},
		{"https://127.0.0.1/cb", "https://127.0.0.1:1/cb", false},
		{"https://app.test/cb", "https://app.test:1/cb", false},
		{"com.example.app:/cb", "com.example.app:1/cb", false},
		{"http://::1/cb", "http://::1:5000/cb", false},
		{"http://[127.0.0.1]/cb", "http://[127.0.0.1]:1/cb", false},
	}
	for _, tt := range tests {
		if got := sameButPort(tt.asked, tt.registered); got != tt.want {
			t.Errorf("sameButPort(%q, %q) = %v", tt.asked, tt.registered, got)
		}
	}
}

func TestTheAnswerJoinsTheRedirectURI(t *testing.T) {
	for uri, want := range map[string][2]string{
		"https://a.test/cb":         {"https://a.test/cb?code=1", "https:"},
		"https://a.test/cb?":        {"https://a.test/cb?code=1", "https:"},
		"https://a.test/cb?x=%2f&":  {"https://a.test/cb?x=%2f&code=1", "https:"},
		"http://127.0.0.1/cb?x=a+b": {"http://127.0.0.1/cb?x=a+b&code=1", "http:"},
		"com.example.app:/cb":       {"com.example.app:/cb?code=1", "com.example.app:"},
	} {
		if got := withAnswer(uri, url.Values{"code": {"1"}}); got != want[0] {
			t.Errorf("withAnswer(%q) = %q, want %q", uri, got, want[0])
		}
		if got := formTarget(uri); got != want[1] {
			t.Errorf("formTarget(%q) = %q, want %q", uri, got, want[1])
		}
	}
}

func FuzzSameButPort(f *testing.F) {
	f.Add("http://127.0.0.1:1/cb", "http://127.0.0.1/cb")
	f.Add("http://[::1]:1/cb?x#y", "http://[::1]/cb?x#y")
	f.Add("http://127.0.0.1:1@evil.test/cb", "http://127.0.0.1/cb")
	f.Fuzz(func(t *testing.T, asked, registered string) {
		to, err := url.Parse(registered)
		if err != nil || !sameButPort(asked, registered) {
			return
		}
		got, err := url.Parse(asked)
		if err != nil {
			t.Fatalf("%q is taken for %q and is no URL: %v", asked, registered, err)
		}
		ip, err := netip.ParseAddr(got.Hostname())
		if got.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
			t.Errorf("%q leads to %q", asked, got.Hostname())
		}
		if got.Scheme != "http" || got.User != nil || got.Hostname() != to.Hostname() || got.RequestURI() != to.RequestURI() || got.Fragment != to.Fragment {
			t.Errorf("%q is taken for %q", asked, registered)
		}
	})
}
