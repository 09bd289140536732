package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/token"
)

// fault is what a rule finds wrong with a text. Its message continues the
// field's name; near is the nearest right spelling, if there is one.
type fault struct{ message, near string }

func wrong(message, near string) *fault { return &fault{message, near} }

// patterns are the rules that a pattern says, for the decoder and the schema.
// They are read only.
var patterns = map[string]struct {
	form *regexp.Regexp
	says string
}{
	"scope":         {regexp.MustCompile(`^[!#-\[\]-~]+$`), "is not one scope: no spaces, quotes or backslashes; each scope is an item of its own"},
	"client":        {regexp.MustCompile(`^[!-)+-~]{1,255}$`), "is not a client id: at most 255 printable ASCII characters, no spaces, no *"},
	"name":          {regexp.MustCompile(`^[^\s](.{0,253}[^\s])?$`), "begins or ends with a space, or is longer than 255 bytes"},
	"method":        {regexp.MustCompile(`^[A-Z][A-Z-]*$`), "is not an HTTP method in capitals"},
	"issuer":        {regexp.MustCompile(`^[^\s*]+$`), "is not one issuer: no spaces, no wildcards"},
	"secret-hash":   {regexp.MustCompile(`^sha256\$[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$`), "is not a hash that 'longcase client secret' prints (sha256$…); a chosen secret cannot be used"},
	"password-hash": {regexp.MustCompile(`^\$argon2id\$v=19\$m=\d{1,7},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{22,}$`), "is not a hash that 'longcase user password' prints ($argon2id$…)"},
	"aws-role":      {regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`), "is not the name of an AWS role"},
	"role-arn":      {regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]{1,576}$`), "is not the ARN of a role like arn:aws:iam::123456789012:role/NAME"},
	"session-name":  {regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`), "is not a session name: 2 to 64 letters, digits and _+=,.@-"},
	"external-id":   {regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]{2,}$`), "is not an external id: 2 to 1224 letters, digits and _+=,.@:/-"},
	"region":        {regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`), "is not an AWS region like eu-central-1"},
	"email":         {regexp.MustCompile(`^[^@\s/*]{1,128}@[A-Za-z0-9.-]{1,128}$`), "is not the e-mail address of a service account"},
	"gce-account":   {regexp.MustCompile(`^(default|[^@\s/*]{1,128}@[A-Za-z0-9.-]{1,128})$`), "is neither default nor the e-mail address of a service account"},
	"project":       {regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{0,61}[a-z0-9]$`), "is not the id of a project"},
	"account":       {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,511}$`), "is neither an e-mail address nor a client_id"},
	"number":        {regexp.MustCompile(`^[0-9]{1,20}$`), "is not a number"},
	"tenant":        {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,254}$`), "is not an Entra tenant: its id or domain"},
	"token-type":    {regexp.MustCompile(`^([a-z0-9_]+|urn:[!-~]{3,250})$`), "is not a token type: jwt, access_token, id_token, saml2 or a URN"},
	"mode":          {regexp.MustCompile(`^(0600|0640|0400|0440)$`), "is not one of 0600, 0640, 0400 and 0440"},
	"claim":         {regexp.MustCompile(`^[!-~]{1,128}$`), "is not the name of a claim: at most 128 printable characters, no spaces"},
	"ntp":           {regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$`), "is not a host, or a host and a port"},
	"credential":    {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`), "is not a name of letters, digits, dots, dashes and underscores"},
}

// maxName bounds an issuer and an audience, in bytes; verify takes no longer
// ones.
const maxName = 2048

// checkText judges s by the rule named is.
func checkText(is, s string) *fault {
	switch is {
	case "url":
		return checkURL(s)
	case "address":
		return checkAddress(s)
	case "local":
		return checkLocal(s)
	case "audience":
		return checkAudience(s)
	case "redirect":
		return checkRedirect(s)
	case "origin":
		return checkOrigin(s)
	case "route":
		return checkRoute(s)
	}
	p, ok := patterns[is]
	if !ok {
		return nil
	}
	if p.form.MatchString(s) {
		return checkBeyond(is, s)
	}
	near := ""
	switch {
	case is == "method" && p.form.MatchString(strings.ToUpper(s)):
		near = strings.ToUpper(s)
	case is == "token-type":
		near = nearest(s, tokenTypes)
	}
	if strings.HasSuffix(is, "-hash") { // it may be the secret itself
		return wrong(p.says, "")
	}
	return wrong(quote(s)+" "+p.says, near)
}

// checkBeyond judges what no pattern says, of a text that has the right form.
func checkBeyond(is, s string) *fault {
	var err error
	switch {
	case is == "password-hash":
		_, err = password.Parse(s)
	case is == "secret-hash":
		_, err = password.ParseSecretHash(s)
	case is == "name" && len(s) > 255:
		return wrong(quote(s)+" is longer than 255 bytes", "")
	case is == "token-type" && !strings.Contains(s, ":") && !slices.Contains(tokenTypes, s):
		return wrong(quote(s)+" "+patterns[is].says, nearest(s, tokenTypes))
	case is == "external-id" && len(s) > 1224:
		return wrong("is longer than 1224 characters", "")
	case is == "ntp":
		return checkTimeServer(s)
	case is == "issuer" && len(s) > maxName:
		return wrong(quote(s)+" is longer than 2048 bytes", "")
	}
	if err != nil {
		says := strings.ReplaceAll(err.Error(), password.ErrHash.Error()+": ", "")
		return wrong("cannot be used: "+strings.ReplaceAll(says, "\n", ", "), "")
	}
	return nil
}

// checkTimeServer judges the port and the address of a host that has the form
// of one.
func checkTimeServer(s string) *fault {
	u, err := url.Parse("//" + s)
	if err == nil && strings.HasPrefix(s, "[") {
		_, err = netip.ParseAddr(u.Hostname())
	}
	if err != nil || !validPort(u.Port(), u.Host) {
		return wrong(quote(s)+" has no valid address or port", "")
	}
	return nil
}

func checkName(s string) *fault { return checkText("credential", s) }

// checkURL wants https, or http on a loopback host, and nothing that an
// identifier may not have (RFC 8414 section 2).
func checkURL(s string) *fault {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return wrong("is not a URL", "")
	case u.User != nil:
		return wrong("holds a user name: a URL here has none", "")
	case strings.ContainsFunc(s, unicode.IsSpace) || strings.Contains(s, `\`):
		return wrong(quote(s)+" is not a URL", "")
	case strings.Contains(s, "*"):
		return wrong(quote(s)+" has a wildcard", "")
	case u.Scheme == "http" && u.Host != "" && !token.Loopback(u.Hostname()):
		return wrong(quote(s)+" is plain http beyond loopback", "https"+strings.TrimPrefix(s, "http"))
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Hostname() == "":
		return wrong(quote(s)+" is not an https URL", nearURL(s))
	case strings.ContainsAny(s, "?#"):
		return wrong(quote(s)+" has a query or a fragment", strings.TrimRight(s[:strings.IndexAny(s, "?#")], "/"))
	case !validPort(u.Port(), u.Host):
		return wrong(quote(s)+" has no valid port", "")
	case isPrivate(u.Hostname()):
		return wrong(quote(s)+" is a private address: name the host", "")
	}
	return nil
}

// nearURL guesses the URL of a host that was written without a scheme.
func nearURL(s string) string {
	if strings.Contains(s, "://") || strings.HasPrefix(s, "/") {
		return ""
	}
	scheme := "https://"
	if u, err := url.Parse("http://" + s); err != nil || u.Hostname() == "" {
		return ""
	} else if token.Loopback(u.Hostname()) {
		scheme = "http://"
	}
	if checkURL(scheme+s) != nil {
		return ""
	}
	return scheme + s
}

func validPort(port, host string) bool {
	if port == "" {
		return !strings.HasSuffix(host, ":")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isPrivate(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	a = a.Unmap()
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// checkAddress wants host:port; the host may be empty: every address.
func checkAddress(s string) *fault {
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.Port() == "" {
		return wrong(quote(s)+" is not a host and a port like 127.0.0.1:4600", nearAddress(s))
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil {
		return wrong(quote(s)+" has no valid port", "")
	}
	return nil
}

func nearAddress(s string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok && checkAddress(strings.TrimRight(rest, "/")) == nil {
			return strings.TrimRight(rest, "/")
		}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 4600).String()
	}
	return ""
}

// loopbackAddress reports whether a listener at address s is for this machine
// only.
func loopbackAddress(s string) bool {
	u, err := url.Parse("//" + s)
	return err == nil && token.Loopback(u.Hostname())
}

// checkAudience wants one name, byte for byte: nothing that could mean many.
func checkAudience(s string) *fault {
	switch {
	case strings.Contains(s, "*"):
		return wrong(quote(s)+" is a wildcard: a token is for one audience", "")
	case strings.ContainsFunc(s, unicode.IsSpace):
		return wrong(quote(s)+" has a space: each audience is an item of its own", "")
	case len(s) > maxName:
		return wrong(quote(s)+" is longer than 2048 bytes", "")
	}
	return nil
}

// checkRedirect wants https, http on loopback, or an app's own scheme, which
// has a dot (RFC 8252 section 7.1).
func checkRedirect(s string) *fault {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "" || strings.ContainsFunc(s, unicode.IsSpace):
		return wrong(quote(s)+" is not an absolute URI", nearURL(s))
	case strings.Contains(s, "*"):
		return wrong(quote(s)+" has a wildcard: redirect URIs are compared exactly", "")
	case strings.Contains(s, "#"):
		return wrong(quote(s)+" has a fragment", s[:strings.Index(s, "#")])
	case strings.Contains(u.Scheme, "."):
		return nil
	case u.Scheme == "http" && u.Host != "" && !token.Loopback(u.Hostname()):
		return wrong(quote(s)+" is plain http beyond loopback", "https"+strings.TrimPrefix(s, "http"))
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil:
		return wrong(quote(s)+" is neither https, nor http on loopback, nor an app's own scheme (com.example.app:/callback)", "")
	}
	return nil
}

// checkOrigin wants what a browser sends as Origin (RFC 6454 section 6.2).
func checkOrigin(s string) *fault {
	if f := checkURL(s); f != nil {
		return f
	}
	u, err := url.Parse(s)
	if err != nil {
		return wrong(quote(s)+" is not a URL", "")
	}
	if origin := strings.ToLower(u.Scheme + "://" + u.Host); s != origin {
		return wrong(quote(s)+" is not an origin: scheme, host and port in small letters", origin)
	}
	return nil
}

// checkRoute wants a path as a request has it, decoded.
func checkRoute(s string) *fault {
	switch {
	case strings.ContainsAny(s, "*"):
		return wrong(quote(s)+" has a wildcard: a path that ends in / is a prefix", strings.TrimRight(s, "*"))
	case !strings.HasPrefix(s, "/"):
		return wrong(quote(s)+" does not begin with /", "/"+s)
	case strings.ContainsAny(s, "?#%\\;"):
		return wrong(quote(s)+" is not a decoded path without query", "")
	}
	if s == "/verify" || strings.HasPrefix(s, "/.longcase/") {
		return wrong(quote(s)+" is the gate's own", "")
	}
	for _, part := range strings.Split(strings.TrimSuffix(s[1:], "/"), "/") {
		if part == "." || part == ".." || part == "" && s != "/" {
			return wrong(quote(s)+" is not a clean path", "")
		}
	}
	return nil
}
