package dpop

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

func TestURLsThatAreOne(t *testing.T) {
	for want, spellings := range map[string][]string{
		"https://api.test/orders/7": {
			"HTTPS://api.test/orders/7", "https://API.Test/orders/7", "https://api.test:443/orders/7", "https://api.test:/orders/7",
			"https://api.test:0443/orders/7", "https://api.test/%6Frders/%37", "https://api.test/orders/./7", "https://api.test/x/../orders/7",
			"https://api.test/../orders/7", "https://api.test/x/%2e%2E/orders/7", "https://api.test/orders/7?a=b", "https://api.test/orders/7#x?y",
		},
		"https://api.test/":        {"https://api.test", "https://api.test?x", "https://api.test/.", "https://api.test/x/.."},
		"http://api.test:443/":     {"http://api.test:443"},
		"http://api.test/":         {"http://api.test:80", "http://api.test:00080/"},
		"https://[::1]:8443/":      {"https://[0:0:0:0:0:0:0:1]:8443", "https://[::0001]:8443/"},
		"https://api.test/a%2Fb":   {"https://api.test/a%2fb"},
		"https://api.test/%C3%A4":  {"https://api.test/ä", "https://api.test/%c3%a4"},
		"https://api.test/a%7Cb":   {"https://api.test/a|b"},
		"https://api.test//a//":    {"https://api.test//a//", "https://api.test//a/./%2e//"},
		"https://api.test/a;b=c,d": {"https://api.test/a;b=c,d"},
	} {
		for _, s := range append(spellings, want) {
			if got, err := normalize(s); got != want || err != nil {
				t.Errorf("normalize(%q) = %q, %v, want %q", s, got, err, want)
			}
		}
	}
}

func TestURLsThatAreOthers(t *testing.T) {
	here, err := normalize(called)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"http://api.test/orders/7", "https://api.test:8443/orders/7", "https://api.test./orders/7", "https://evil.test/orders/7",
		"https://api.test/orders/7/", "https://api.test/Orders/7", "https://api.test//orders/7", "https://api.test/orders%2F7",
		"https://api.test/orders/7;x", "https://api.test/orders/%2537", "https://api.test.evil.test/orders/7",
		"https://api.test@evil.test/orders/7", "https://evil.test/https://api.test/orders/7",
	} {
		if got, err := normalize(s); err == nil && got == here {
			t.Errorf("%q passes for %q", s, called)
		}
	}
}

func TestURLsThatAreNone(t *testing.T) {
	for _, s := range []string{
		"", "/orders/7", "//api.test/orders/7", "api.test/orders/7", "https:api.test", "https:/api.test/", "https://", "https:///x", "https://:443/",
		"ftp://api.test/", "javascript://api.test/", "https://user@api.test/", "https://user:pass@api.test/", "https://api.test:65536/",
		"https://api.test:port/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://api.test/%", "https://api.test/%4", "https://api.test/%zz",
		"https://api.test/%+1", "https://api.test/a b", "https://api.test/a\nb", "https://api.test\\@evil.test/", "https://api%2etest/", "https://äpi.test/",
		" https://api.test/", "https://api.test /",
	} {
		if got, err := normalize(s); err == nil {
			t.Errorf("normalize(%q) = %q", s, got)
		}
	}
}

// However the parts are spelt, the URL is the same; net/url is the oracle for
// what the path means.
func TestSpellingsOfAPathAreOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segments := rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9._~!$&'()*+,;=:@%/|ä-]{0,6}`), 1, 5).Draw(t, "segments")
		var plain, spelt []string
		for _, s := range segments {
			plain = append(plain, url.PathEscape(s))
			spelt = append(spelt, respell(t, url.PathEscape(s)))
		}
		a, errA := normalize("https://api.test/" + strings.Join(plain, "/"))
		b, errB := normalize("HTTPS://Api.Test:443/" + strings.Join(spelt, "/"))
		if errA != nil || errB != nil || a != b {
			t.Fatalf("%q (%v) and %q (%v)", a, errA, b, errB)
		}
		u, err := url.Parse(a)
		if err != nil || u.Scheme+"://"+u.Host+u.EscapedPath() != a {
			t.Fatalf("%q reads %v, %v", a, u, err)
		}
		base, _ := url.Parse("https://api.test/" + strings.Join(plain, "/"))
		if want := base.ResolveReference(&url.URL{Path: base.Path, RawPath: base.RawPath}); want.Path != u.Path && !strings.Contains(want.Path, "//") {
			t.Fatalf("%q means %q, want %q", a, u.Path, want.Path)
		}
	})
}

// respell escapes some unreserved characters and writes some escapes small.
func respell(t *rapid.T, s string) string {
	const hex = "0123456789abcdef"
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			out.WriteString(strings.ToLower(s[i : i+3]))
			i += 2
		case unreserved(c) && rapid.Bool().Draw(t, "escape"):
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{called, "HTTPS://A:443/%7e/../x?y#z", "http://[::1]:80//./..", "https://a/%2e%2e/%2F", "https://a:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := normalize(s)
		if err != nil {
			return
		}
		if twice, err := normalize(once); twice != once || err != nil {
			t.Errorf("normalize(%q) = %q, and that gives %q, %v", s, once, twice, err)
		}
		if u, err := url.Parse(once); err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
			t.Errorf("normalize(%q) = %q, which reads %v, %v", s, once, u, err)
		}
	})
}

// Whatever else is changed in a URL and however the result is spelt, a proof for
// it is not one for this request.
func TestGeneratedURLsOfOthersAreRefused(t *testing.T) {
	h := newHolder(t, token.EdDSA)
	rapid.Check(t, func(r *rapid.T) {
		scheme, host, path := "https", "api.test", "/orders/7"
		letter := rapid.StringMatching(`[a-z0-9]{1,3}`).Draw(r, "letter")
		switch rapid.IntRange(0, 9).Draw(r, "change") {
		case 0:
			scheme = "http"
		case 1:
			host = letter + host
		case 2:
			host += "." + letter
		case 3:
			host += ":" + rapid.StringMatching(`[1-3][0-9]{1,3}`).Draw(r, "port")
		case 4:
			path += "/"
		case 5:
			path += letter
		case 6:
			path = "/" + letter + path
		case 7:
			path = "/orders%2F7"
		case 8:
			path = strings.ToUpper(path)
		case 9:
			at := rapid.IntRange(0, len(path)-1).Draw(r, "at")
			path = path[:at] + "/" + path[at:] // an empty segment, or one cut in two
		}
		htu := randomCase(r, scheme) + "://" + randomCase(r, host) + respell(r, path)
		proof := h.prove(t, h.header().json(t), good().with(members{"htu": htu}).json(t))
		if _, err := Check([]string{proof}, want(), start); !errors.Is(err, token.BindingMismatch) {
			r.Fatalf("htu %q passes for %q: %v", htu, called, err)
		}
		same := randomCase(r, "https") + "://" + randomCase(r, "api.test") + respell(r, "/orders/7") + "?x#y"
		proof = h.prove(t, h.header().json(t), good().with(members{"htu": same}).json(t))
		if _, err := Check([]string{proof}, want(), start); err != nil {
			r.Fatalf("htu %q does not pass for %q: %v", same, called, err)
		}
	})
}

func randomCase(t *rapid.T, s string) string {
	out := []byte(s)
	for i := range out {
		if rapid.Bool().Draw(t, "upper") {
			out[i] = strings.ToUpper(s)[i]
		}
	}
	return string(out)
}
