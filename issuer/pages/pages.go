// Package pages holds the pages a person sees at the issuer: sign in, sign out,
// and a message when a request cannot be answered.
//
// Each page is whole in itself: no script, no image, nothing fetched, one style
// sheet named by its hash in the policy that Policy returns. Everything a
// request brought is escaped by html/template.
package pages

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
)

//go:embed style.css
var style string

//go:embed pages.html
var source string

var templates = template.Must(template.New("pages").Parse(source))

// Field is a hidden field of a form.
type Field struct {
	Name, Value string
}

// Login asks for the fields username and password, posted to Action beside the
// hidden ones.
type Login struct {
	Action  string
	Hidden  []Field
	Back    template.URL // where Cancel leads: a registered redirect URI, of any scheme
	Issuer  string       // whose page this is
	Client  string       // who asks
	Name    string       // the user name to begin with; may be empty
	Problem string       // why the last attempt failed; empty at the first
}

// Write writes the page.
func (p Login) Write(w io.Writer) error {
	title := "Sign in"
	if p.Problem != "" {
		title = "Error: sign in" // read first by screen readers
	}
	return write(w, "login", title, p)
}

// Logout asks whether to end the login of this browser.
type Logout struct {
	Action string
	Hidden []Field
	Issuer string
}

// Write writes the page.
func (p Logout) Write(w io.Writer) error { return write(w, "logout", "Sign out", p) }

// Message tells something that has no further step here.
type Message struct {
	Title  string
	Detail string
	Code   string // an OAuth error code; may be empty
}

// Write writes the page.
func (p Message) Write(w io.Writer) error { return write(w, "message", p.Title, p) }

func write(w io.Writer, name, title string, page any) error {
	return templates.ExecuteTemplate(w, name, struct {
		Title string
		Style template.CSS
		Page  any
	}{title, template.CSS(style), page})
}

// Policy is the Content-Security-Policy of a page. Forms go to the issuer;
// target is a further source they may be redirected to (browsers apply
// form-action to every redirect after a submission), or empty.
func Policy(target string) string {
	sum := sha256.Sum256([]byte(style))
	if target != "" {
		target = " " + target
	}
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'" + target + "; frame-ancestors 'none'; base-uri 'none'"
}
