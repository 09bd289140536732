package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Incident 2: a user service whose clock is 21 s fast signs tokens whose nbf
// lies in the future, and the inference gateway refuses good users. Nothing in
// what it says names a clock.

// ahead is how far the clocks of the issuers are ahead of this host.
const ahead = 21 * time.Second

// logins is how many users sign in, and after how many fresh tokens the skew has
// to be known.
const logins = 20

// userService is the incident's own: HS256, typ JWT, a day's life, no jti, the
// user in aud.
type userService struct {
	t              *testing.T
	url, secret    string
	issuer, accept string
}

func newUserService(t *testing.T, ahead time.Duration) *userService {
	t.Helper()
	u := &userService{t: t, issuer: "user-service", secret: "user-service shared secret of 2020"}
	u.url = listening(t, ahead, map[string]any{"issuer": u.issuer, "secret": u.secret}, script(node, "clients/node/user-service.mjs")...)
	file := writeFile(t, t.TempDir(), "secret", u.secret+"\n")
	u.accept = fmt.Sprintf("{issuer: %s, profile: jwt, subject_from: aud, algorithms: [HS256], secret: {file: %s}", u.issuer, file)
	return u
}

// login signs a user in.
func (u *userService) login(user string) string {
	u.t.Helper()
	r, err := http.NewRequest(http.MethodGet, u.url+"/login?user="+user, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	return send(u.t, r).body
}

// plain are the verifiers that an inference gateway of another make would use:
// what each says of a token, nothing where it accepts.
type plain struct {
	user    *userService
	leeway  time.Duration
	others  []*conversation
	refused map[string]int
	said    map[string]string
}

func newPlain(t *testing.T, u *userService, leeway time.Duration) *plain {
	t.Helper()
	task := map[string]any{"secret": u.secret, "issuer": u.issuer, "leeway": leeway.Seconds()}
	return &plain{user: u, leeway: leeway, refused: map[string]int{}, said: map[string]string{}, others: []*conversation{
		talk(t, task, script(node, "clients/node/verifiers.mjs")...),
		talk(t, task, script(python, "clients/python/verifier.py")...),
	}}
}

// judge shows every verifier a token at once.
func (p *plain) judge(token string) {
	said := map[string]string{"golang-jwt": p.golang(token)}
	for _, c := range p.others {
		c.ask(token, &said)
	}
	for name, err := range said {
		if p.said[name] = err; err != "" {
			p.refused[name]++
		}
	}
}

func (p *plain) golang(token string) string {
	parser := jwt.NewParser(jwt.WithIssuer(p.user.issuer), jwt.WithValidMethods([]string{"HS256"}), jwt.WithLeeway(p.leeway))
	if _, err := parser.Parse(token, func(*jwt.Token) (any, error) { return []byte(p.user.secret), nil }); err != nil {
		return err.Error()
	}
	return ""
}

// names reports whether a message helps: it names a clock, a skew or an amount.
var names = regexp.MustCompile(`(?i)clock|skew|ahead|[0-9] ?s(ec|\b)`)

func TestIncident2WithoutLongcase(t *testing.T) {
	t.Parallel()
	user := newUserService(t, ahead)
	for _, tt := range []struct {
		name    string
		leeway  time.Duration
		refused int
	}{
		{"with a leeway of 10 s every user is refused, and nobody says why", 10 * time.Second, logins},
		{"with a leeway of 30 s every user is accepted, and nobody hears of the clock", 30 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlain(t, user, tt.leeway)
			for i := range logins {
				p.judge(user.login(fmt.Sprintf("user-%d", i+1)))
			}
			for name, said := range p.said {
				t.Logf("%-12s refuses %d of %d: %s", name, p.refused[name], logins, said)
				if p.refused[name] != tt.refused {
					t.Errorf("%s refuses %d of %d, want %d", name, p.refused[name], logins, tt.refused)
				}
				if names.MatchString(said) {
					t.Errorf("%s names the cause: %s", name, said)
				}
			}
		})
	}
}

func TestIncident2WithLongcase(t *testing.T) {
	t.Parallel()
	user := newUserService(t, ahead)
	namesTheClock(t, witness{accept: user.accept, fresh: func() string { return user.login("alice") }, claim: "nbf", reason: []string{"not_yet_valid"}})
}

func TestIncident2AtOIDCProvider(t *testing.T) {
	t.Parallel()
	issuer := newOIDCProvider(t, ahead)
	namesTheClock(t, witness{accept: issuer.accept(), fresh: issuer.token, claim: "iat", reason: []string{"issued_in_future"}, dated: true})
}

// Our own nbf is 10 s before iat, so it is a matter of a fraction of a second
// which of the two is refused.
func TestIncident2AtOurOwnIssuer(t *testing.T) {
	t.Parallel()
	w := prepare(t, plan{Remote: true})
	w.process = startShifted(t, w)
	accept := fmt.Sprintf("{issuer: %s, audience: %q, algorithms: [ES256]", w.Issuer, audience)
	namesTheClock(t, witness{
		accept: accept, fresh: func() string { return w.token("service", "orders.read") },
		claim: "(nbf|iat)", reason: []string{"not_yet_valid", "issued_in_future"}, dated: true, node: true,
	})
}

// witness is an issuer whose clock is ahead, as a gate meets it.
type witness struct {
	accept string        // the entry of the gate's accept, open at its end
	fresh  func() string // a token nobody has seen
	claim  string        // the claim that is in the future
	reason []string      // one of which is why
	dated  bool          // its answers have a Date, so the gate knows before the first token
	node   bool          // its tokens name the node that made them
}

// namesTheClock asserts what a gate says of the witness: with a leeway of 10 s
// it refuses and names 21 s, with one of 30 s it accepts and reports them too.
func namesTheClock(t *testing.T, w witness) {
	t.Helper()
	strict, lenient := newJudge(t, w.accept+", leeway: 10s}"), newJudge(t, w.accept+", leeway: 30s}")
	var last answer
	for range logins {
		token := w.fresh()
		strict.hide(token)
		lenient.hide(token)
		last = strict.verify(token)
		w.refuses(t, last, token)
		lenient.verify(token).expect(t, http.StatusOK, "")
	}
	t.Logf("after %d tokens: %s", logins, strings.TrimSpace(last.body))
	within(t, "the refusal", last.json["skew_seconds"])
	lenient.reports(t)
	strict.reports(t)
}

func (w witness) refuses(t *testing.T, a answer, token string) {
	t.Helper()
	known := false
	for _, r := range w.reason {
		known = known || a.code() == r
	}
	if a.status != http.StatusUnauthorized || !known {
		t.Fatalf("answer is %d %q, want 401 and one of %q: %s", a.status, a.code(), w.reason, a.body)
	}
	says := regexp.MustCompile(`^` + w.claim + ` is [0-9.]+ s in the future \(leeway 10 s\); .*ahead of this host`)
	if !says.MatchString(a.text("detail")) {
		t.Errorf("detail %q does not say %s", a.text("detail"), says)
	}
	if id := nodeOf(token); w.node && !strings.Contains(a.text("detail"), id) {
		t.Errorf("detail %q does not name the node %q", a.text("detail"), id)
	}
}

// within asserts that a figure of seconds names the truth within one.
func within(t *testing.T, who string, figure any) {
	t.Helper()
	s, ok := figure.(float64)
	if !ok || math.Abs(s-ahead.Seconds()) > 1 {
		t.Errorf("%s names %v s, the truth is %v", who, figure, ahead)
	}
}

// nodeOf is the node that one of our own tokens names in its jti.
func nodeOf(token string) string {
	var c struct{ JTI string }
	if json.Unmarshal(segment(token, 1), &c) != nil {
		return ""
	}
	parts := strings.Split(c.JTI, ".")
	if len(parts) != 3 || parts[0] != "lc" {
		return ""
	}
	return parts[1]
}

// judge is a gate that accepts one issuer and is asked by /verify.
type judge struct {
	*process
	gate, console string
}

func newJudge(t *testing.T, accept string) *judge {
	t.Helper()
	gate, console := freeAddress(t), freeAddress(t)
	dir := t.TempDir()
	file := writeFile(t, dir, "gate.yaml", fmt.Sprintf("gate:\n  listen: %s\n  accept:\n    - %s\nconsole: {listen: %s}\n", gate, accept, console))
	j := &judge{process: serve(t, dir, "-c", file), gate: "http://" + gate, console: "http://" + console}
	eventually(t, patience, "the gate has the issuer's keys", func() bool { return status(j.gate+"/.longcase/readyz") == http.StatusOK })
	return j
}

func (j *judge) request(token string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, j.gate+"/verify", nil)
	if err != nil {
		panic(err) // the address is one
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func (j *judge) verify(token string) answer {
	j.t.Helper()
	return send(j.t, j.request(token))
}

// reports asserts that metrics and readiness name the skew although nothing
// may be refused for it.
func (j *judge) reports(t *testing.T) {
	t.Helper()
	skew := regexp.MustCompile(`(?m)^longcase_issuer_clock_skew_seconds\{[^}]*\} ([0-9.e+-]+)$`)
	metrics := j.get(j.console + "/metrics").body
	found := skew.FindStringSubmatch(metrics)
	if found == nil {
		t.Error("no metric of the skew")
		return
	}
	var value float64
	fmt.Sscan(found[1], &value)
	within(t, "the metric", value)
	if ready := j.get(j.gate + "/.longcase/readyz"); ready.status != http.StatusOK || !strings.Contains(ready.body, "ahead of this host") {
		t.Errorf("readyz says %d %s", ready.status, ready.body)
	}
}

func (j *judge) get(url string) answer {
	j.t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		j.t.Fatal(err)
	}
	return send(j.t, r)
}
