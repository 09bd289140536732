package pages_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/longcase/longcase/issuer/pages"
)

const hostile = `"><script>alert(1)</script>'&{{.}}`

func render(t *testing.T, p interface{ Write(io.Writer) error }) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func every() map[string]interface{ Write(io.Writer) error } {
	hidden := []pages.Field{{Name: hostile, Value: hostile}}
	return map[string]interface{ Write(io.Writer) error }{
		"login":   pages.Login{Action: "/authorize", Hidden: hidden, Back: "app.test:/cb?" + hostile, Issuer: hostile, Client: hostile, Name: hostile, Problem: hostile},
		"logout":  pages.Logout{Action: "/end_session", Hidden: hidden, Issuer: hostile},
		"message": pages.Message{Title: hostile, Detail: hostile, Code: hostile},
	}
}

func TestWhatARequestBringsIsEscaped(t *testing.T) {
	for name, p := range every() {
		if html := render(t, p); strings.Contains(html, "<script") || strings.Contains(html, `"">`) {
			t.Errorf("%s: markup came through:\n%s", name, html)
		}
	}
}

func TestNothingOnAPageIsForbiddenByItsPolicy(t *testing.T) {
	for name, p := range every() {
		html := render(t, p)
		m := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(html)
		if m == nil {
			t.Fatalf("%s: no style", name)
		}
		sum := sha256.Sum256([]byte(m[1]))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(pages.Policy(""), want) {
			t.Errorf("%s: the policy does not name the style sheet %s", name, want)
		}
		if found := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<link|<img|\ssrc=|javascript:`).FindString(strings.ReplaceAll(html, m[1], "")); found != "" {
			t.Errorf("%s: has %q", name, found)
		}
	}
}

func TestPolicyIsStrict(t *testing.T) {
	for target, want := range map[string]string{"": "form-action 'self';", "https:": "form-action 'self' https:;"} {
		got := pages.Policy(target)
		for _, want := range []string{want, "default-src 'none';", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(got, want) {
				t.Errorf("Policy(%q) = %s, want %s", target, got, want)
			}
		}
		if strings.Contains(got, "unsafe") {
			t.Errorf("Policy(%q) = %s", target, got)
		}
	}
}

func TestLoginPageHasWhatAPersonNeeds(t *testing.T) {
	first := render(t, pages.Login{Action: "/authorize", Back: "app.test:/cb?error=access_denied&state=1", Issuer: "tokens.example.com", Client: "web-app"})
	again := render(t, pages.Login{Action: "/authorize", Client: "web-app", Name: "alice", Problem: "The user name or the password is wrong."})
	for what, page := range map[string]struct{ html, want string }{
		"language":                   {first, `<html lang="en">`},
		"label of the name":          {first, `<label for="username">`},
		"label of the password":      {first, `<label for="password">`},
		"a password manager's hint":  {first, `autocomplete="current-password"`},
		"who asks":                   {first, `<strong>web-app</strong>`},
		"focus on the name":          {first, `required autofocus>` + "\n" + `<label for="password">`},
		"a way back":                 {first, `href="app.test:/cb?error=access_denied&amp;state=1">Cancel`},
		"summary that is read aloud": {again, `role="alert">The user name`},
		"the field names its error":  {again, `aria-describedby="problem"`},
		"title says error first":     {again, `<title>Error: `},
		"the name is kept":           {again, `value="alice"`},
	} {
		if !strings.Contains(page.html, page.want) {
			t.Errorf("%s: no %s in\n%s", what, page.want, page.html)
		}
	}
	if strings.Contains(first, "problem\"") {
		t.Error("the first page tells a problem")
	}
}
