package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/issuer/password"
	"github.com/longcase/longcase/token"
)

// explanation is what a text says about itself. Nothing in it is verified.
type explanation struct {
	Kind     string          `json:"kind"` // jwt, jws, jwe, refresh_token, authorization_code, client_secret or opaque
	Title    string          `json:"title"`
	Header   json.RawMessage `json:"header,omitempty"`
	Claims   json.RawMessage `json:"claims,omitempty"`
	Window   *window         `json:"window,omitempty"`
	Refused  *refused        `json:"refused,omitempty"` // why every gate of ours refuses its form
	Problems []problem       `json:"problems"`

	rows [][2]string
}

// window is when a token may be used, as it says.
type window struct {
	NotBefore time.Time `json:"not_before,omitzero"`
	Issued    time.Time `json:"issued_at,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	Life      float64   `json:"life_seconds,omitempty"` // of exp - iat, or exp - nbf
	State     string    `json:"state"`                  // live, expired, not_yet_valid or endless
}

type refused struct {
	Reason token.Reason `json:"reason"`
	Detail string       `json:"detail"`
}

// problem is what is wrong with a token that a gate may take all the same, and
// what to do about it.
type problem struct {
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// explain says what raw is, as far as it shows without a key.
func explain(raw string, now time.Time) explanation {
	switch {
	case strings.HasPrefix(raw, "lc_"):
		return explainOurs(raw)
	case strings.Count(raw, ".") == 4:
		return explanation{Kind: "jwe", Title: "An encrypted token (JWE): only its recipient can read it. Longcase takes none.", Problems: []problem{}}
	case strings.Count(raw, ".") == 2:
		if x, ok := explainJWT(raw, now); ok {
			return x
		}
	}
	return explanation{Kind: "opaque", Problems: []problem{},
		Title: fmt.Sprintf("An opaque text of %d bytes: it says nothing by itself. Its issuer may, at its introspection endpoint (RFC 7662).", len(raw))}
}

// handles are the texts Longcase makes besides JWTs: their bytes after the
// prefix, and what they are. It is read only.
var handles = []struct {
	prefix, kind, title string
	size                int
}{
	{"lc_rt_", "refresh_token", "A refresh token of Longcase: it gets access tokens until its session ends, and is replaced at each use.", 45},
	{"lc_ac_", "authorization_code", "An authorization code of Longcase: it is exchanged for tokens once, within a minute or so.", 37},
}

func explainOurs(raw string) explanation {
	for _, h := range handles {
		if text, ok := strings.CutPrefix(raw, h.prefix); ok {
			return explainHandle(text, h.kind, h.title, h.size)
		}
	}
	x := explanation{Kind: "client_secret", Title: "A client secret of Longcase.", Problems: []problem{
		{"it is a secret, and now it stands where this command took it from", "replace it if others can see that place"},
	}}
	if err := password.CheckSecret(raw); err != nil {
		if !strings.HasPrefix(raw, "lc_cs_") {
			return explanation{Kind: "opaque", Title: "A text that begins like one of Longcase, and is none.", Problems: []problem{}}
		}
		x.Title = "Not a client secret of Longcase, though it begins like one."
		x.Problems = []problem{{"its checksum does not fit", "copy it whole"}}
	}
	return x
}

// explainHandle reads the parts of a refresh token or code that are not secret:
// the end of its session's bucket and its generation.
func explainHandle(text, kind, title string, size int) explanation {
	x := explanation{Kind: kind, Title: title, Problems: []problem{}}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != size {
		x.Title = "Not a " + strings.ReplaceAll(kind, "_", " ") + " of Longcase, though it begins like one."
		x.Problems = append(x.Problems, problem{"it has not the length it should have", "copy it whole"})
		return x
	}
	var end int64
	for _, c := range b[:5] {
		end = end<<8 | int64(c)
	}
	x.rows = append(x.rows, [2]string{"id", base64.RawURLEncoding.EncodeToString(b[:21])},
		[2]string{"over by", clock(time.Unix(end, 0)) + " at the latest"})
	if kind == "refresh_token" {
		var generation uint64
		for _, c := range b[21:29] {
			generation = generation<<8 | uint64(c)
		}
		x.rows = append(x.rows, [2]string{"generation", fmt.Sprintf("%d: the session was refreshed %d times before", generation, max(generation, 1)-1)})
	}
	return x
}

// jwt is a token read leniently, for display.
type jwt struct {
	header, claims map[string]any
	window         window
}

// explainJWT explains a compact JWS; false if it cannot be read at all.
func explainJWT(raw string, now time.Time) (explanation, bool) {
	parts := strings.Split(raw, ".")
	header, ok := lenient(parts[0])
	if !ok {
		return explanation{}, false
	}
	claims, ok := lenient(parts[1])
	if !ok {
		return explanation{Kind: "jws", Title: "A signed text (JWS), but no JSON Web Token: its payload cannot be read as a JSON object.",
			Header: header, Refused: refusedForm(raw), Problems: []problem{}}, true
	}
	x := explanation{Kind: "jwt", Header: header, Claims: claims, Problems: []problem{}}
	t := jwt{header: object(header), claims: object(claims)}
	t.window = windowOf(t.claims, now)
	x.Window = &t.window
	x.Refused = refusedForm(raw)
	x.Title = t.title()
	x.rows = t.words()
	for _, f := range findings {
		if f.found(t, now) {
			x.Problems = append(x.Problems, problem{f.says(t, now), f.remedy})
		}
	}
	return x, true
}

// lenient decodes base64url with or without padding, and the other alphabet,
// and wants a JSON object.
func lenient(part string) (json.RawMessage, bool) {
	part = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(part), "=")
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil || object(b) == nil {
		return nil, false
	}
	return b, true
}

func object(b []byte) map[string]any {
	var m map[string]any
	if json.Unmarshal(b, &m) != nil {
		return nil
	}
	return m
}

// refusedForm says why the strict parser refuses raw, nil if it takes it.
func refusedForm(raw string) *refused {
	j, err := token.Parse(raw)
	if err == nil {
		_, err = j.Claims()
	}
	var e *token.Error
	if !errors.As(err, &e) {
		return nil
	}
	return &refused{e.Reason, e.Detail}
}

func windowOf(claims map[string]any, now time.Time) window {
	v := window{NotBefore: instant(claims["nbf"]), Issued: instant(claims["iat"]), Expires: instant(claims["exp"])}
	switch {
	case v.Expires.IsZero():
		v.State = "endless"
	case !now.Before(v.Expires):
		v.State = "expired"
	case now.Before(v.NotBefore):
		v.State = "not_yet_valid"
	default:
		v.State = "live"
	}
	if begin := v.begin(); !begin.IsZero() && !v.Expires.IsZero() {
		v.Life = v.Expires.Sub(begin).Seconds()
	}
	return v
}

// begin is iat, else nbf.
func (v window) begin() time.Time {
	if v.Issued.IsZero() {
		return v.NotBefore
	}
	return v.Issued
}

// instant reads a NumericDate; the zero time if it is none, or out of bounds.
func instant(v any) time.Time {
	f, ok := v.(float64)
	const year9999 = 253402300799
	if !ok || f < 0 || f > year9999 {
		return time.Time{}
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

func (t jwt) title() string {
	s := "A JSON Web Token"
	switch strings.TrimPrefix(strings.ToLower(text(t.header["typ"])), "application/") {
	case "at+jwt":
		s = "An access token (RFC 9068)"
	case "dpop+jwt":
		s = "A DPoP proof (RFC 9449)"
	case "logout+jwt":
		s = "A logout token (OpenID Connect)"
	}
	switch alg := text(t.header["alg"]); {
	case strings.EqualFold(alg, "none"):
		return s + ", not signed."
	case alg != "":
		s += ", signed " + clean(alg)
	}
	if kid := text(t.header["kid"]); kid != "" {
		s += " with key " + clean(fmt.Sprintf("%q", kid))
	}
	return s + "; the signature is not checked here."
}

// claimWords are the claims people ask for, in their order. It is read only.
var claimWords = [][2]string{
	{"iss", "issuer"}, {"sub", "subject"}, {"aud", "audience"}, {"client_id", "client"}, {"azp", "authorized party"},
	{"scope", "scopes"}, {"auth_time", "signed in"}, {"sid", "session"}, {"jti", "token id"}, {"cnf", "bound to"},
}

// words names the claims; those it has no word for come last, by their name.
func (t jwt) words() [][2]string {
	rows := [][2]string{}
	said := []string{"exp", "nbf", "iat"}
	for _, w := range claimWords {
		said = append(said, w[0])
		v, ok := t.claims[w[0]]
		if at := instant(v); w[0] == "auth_time" && !at.IsZero() {
			rows = append(rows, [2]string{w[1], clock(at)})
		} else if ok {
			rows = append(rows, [2]string{w[1], text(v)})
		}
	}
	var rest [][2]string
	for name, v := range t.claims {
		if !slices.Contains(said, name) {
			rest = append(rest, [2]string{clean(name), text(v)})
		}
	}
	slices.SortFunc(rest, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return append(rows, rest...)
}

// text writes a JSON value on one line: texts bare, lists of texts with commas.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		items := make([]string, 0, len(v))
		for _, item := range v {
			items = append(items, text(item))
		}
		return strings.Join(items, ", ")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
