package e2e

import (
	"fmt"
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
	signedIn       int
}

func newUserService(t *testing.T, issuer string, ahead time.Duration) *userService {
	t.Helper()
	u := &userService{t: t, issuer: issuer, secret: "user-service-shared-secret-of-2020"}
	u.url = listening(t, ahead, map[string]any{"issuer": u.issuer, "secret": u.secret}, script(node, "clients/node/user-service.mjs")...)
	file := writeFile(t, t.TempDir(), "secret", u.secret+"\n")
	u.accept = fmt.Sprintf("{issuer: %s, profile: jwt, subject_from: aud, algorithms: [HS256], secret: {file: %s}", u.issuer, file)
	return u
}

// login signs the next user in.
func (u *userService) login() string {
	u.t.Helper()
	u.signedIn++
	return send(u.t, bearing(fmt.Sprintf("%s/login?user=user-%d", u.url, u.signedIn), "")).body
}

// over is a token that ended an hour ago.
func (u *userService) over() string {
	u.t.Helper()
	end := time.Now().Add(-time.Hour).Unix()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": u.issuer, "sub": "access", "aud": "user-0", "exp": end}).SignedString([]byte(u.secret))
	if err != nil {
		u.t.Fatal(err)
	}
	return token
}

// inference are the verifiers that an inference gateway of another make would use:
// what each says of a token, nothing where it accepts.
type inference struct {
	user    *userService
	leeway  time.Duration
	others  []*conversation
	refused map[string]int
	said    map[string]string
}

func newInference(t *testing.T, u *userService, leeway time.Duration) *inference {
	t.Helper()
	task := map[string]any{"secret": u.secret, "issuer": u.issuer, "leeway": leeway.Seconds()}
	return &inference{user: u, leeway: leeway, refused: map[string]int{}, said: map[string]string{}, others: []*conversation{
		talk(t, task, script(node, "clients/node/verifiers.mjs")...),
		talk(t, task, script(python, "clients/python/verifier.py")...),
	}}
}

// judge shows every verifier a token at once.
func (p *inference) judge(token string) {
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

func (p *inference) golang(token string) string {
	parser := jwt.NewParser(jwt.WithIssuer(p.user.issuer), jwt.WithValidMethods([]string{"HS256"}), jwt.WithLeeway(p.leeway))
	if _, err := parser.Parse(token, func(*jwt.Token) (any, error) { return []byte(p.user.secret), nil }); err != nil {
		return err.Error()
	}
	return ""
}

// cause is what a message would have to name to help: a clock, a skew or an
// amount.
var cause = regexp.MustCompile(`(?i)clock|skew|ahead|[0-9] ?s(ec|\b)`)

func TestIncident2WithoutLongcase(t *testing.T) {
	t.Parallel()
	user := newUserService(t, "user-service", ahead)
	for _, tt := range []struct {
		name    string
		leeway  time.Duration
		refused int
	}{
		{"with a leeway of 10 s every user is refused, and nobody says why", 10 * time.Second, logins},
		{"with a leeway of 30 s every user is accepted, and nobody hears of the clock", 30 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newInference(t, user, tt.leeway)
			for range logins {
				p.judge(user.login())
			}
			for name, said := range p.said {
				t.Logf("%-12s refuses %d of %d: %s", name, p.refused[name], logins, said)
				if p.refused[name] != tt.refused {
					t.Errorf("%s refuses %d of %d, want %d", name, p.refused[name], logins, tt.refused)
				}
				if cause.MatchString(said) {
					t.Errorf("%s names the cause: %s", name, said)
				}
				documented(t, said)
			}
		})
	}
}

func TestIncident2WithLongcase(t *testing.T) {
	t.Parallel()
	user := newUserService(t, "user-service", ahead)
	namesTheClock(t, witness{issuer: user.issuer, accept: user.accept, fresh: user.login, claim: "nbf", reason: []string{"not_yet_valid"}})
}

func TestIncident2AtOIDCProvider(t *testing.T) {
	t.Parallel()
	issuer := newOIDCProvider(t, ahead)
	namesTheClock(t, witness{issuer: issuer.Issuer, accept: issuer.accept(), fresh: issuer.token, claim: "iat", reason: []string{"issued_in_future"}})
}

// With NTP the gate says which of the two clocks is wrong.
func TestIncident2SaysWhoseClockItIs(t *testing.T) {
	t.Parallel()
	ntp := timeServer(t, 0)
	for _, tt := range []struct {
		name         string
		issuer, host time.Duration // ahead of NTP
		says         string
	}{
		{"the issuer's", ahead, 0, `ahead of this host \([0-9]+ tokens\); this host agrees with NTP within [0-9.]+ s: check NTP there$`},
		{"this host's", 0, -ahead, `this host's own clock is 2[01](\.[0-9])? s behind NTP \(ntp [0-9.:]+\): check NTP here$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			user := newUserService(t, "user-service", tt.issuer)
			j := around{top: "clock: {ntp: [\"" + ntp + "\"]}\n", ahead: tt.host}.judge(t, user.accept+", leeway: 10s}")
			eventually(t, patience, "the gate knows this host's clock", func() bool {
				return strings.Contains(j.get(j.gate+"/.longcase/readyz").body, ntp)
			})
			var last answer
			for range logins {
				last = j.verify(user.login())
				last.expect(t, http.StatusUnauthorized, "not_yet_valid")
			}
			t.Logf("after %d tokens: %s", logins, strings.TrimSpace(last.body))
			within(t, "the refusal", last.json["skew_seconds"])
			if !regexp.MustCompile(tt.says).MatchString(last.text("detail")) {
				t.Errorf("detail %q does not say %s", last.text("detail"), tt.says)
			}
			documented(t, strings.TrimSpace(last.body))
		})
	}
}

// A token that says nothing is the issuer's to judge, and what it says of times
// is still this gate's.
func TestIncident2ByIntrospection(t *testing.T) {
	t.Parallel()
	issuer := newOIDCProvider(t, ahead)
	accept := fmt.Sprintf("{issuer: %s, audience: %q, profile: jwt, %s", issuer.Issuer, opaque, introspect(t, issuer.Issuer+"/token/introspection", providerSecret))
	strict, lenient := newJudge(t, accept+", leeway: 10s}"), newJudge(t, accept+", leeway: 30s}")
	var last answer
	var token string
	for range logins {
		token = issuer.tokenFor(opaque)
		lenient.hide(token)
		last = strict.verify(token)
		last.expect(t, http.StatusUnauthorized, "issued_in_future")
		lenient.verify(token).expect(t, http.StatusOK, "")
	}
	within(t, "the refusal", last.json["skew_seconds"])
	issuer.end(token)
	eventually(t, patience, "the early end counts", func() bool { return lenient.verify(token).code() == "revoked" })
	lenient.verify(issuer.tokenFor(opaque)).expect(t, http.StatusOK, "")
}

// Our own nbf is 10 s before iat, so it is a matter of a fraction of a second
// which of the two is refused.
func TestIncident2AtOurOwnIssuer(t *testing.T) {
	t.Parallel()
	w := prepare(t, plan{Remote: true})
	w.process = startShifted(t, w.dir, w.file, ahead)
	accept := fmt.Sprintf("{issuer: %s, audience: %q, algorithms: [ES256]", w.Issuer, audience)
	namesTheClock(t, witness{
		issuer: w.Issuer, accept: accept, fresh: func() string { return w.token("service", "orders.read") },
		claim: "(nbf|iat)", reason: []string{"not_yet_valid", "issued_in_future"}, node: true,
	})
}

// Of two instances behind one iss, one is fast: its tokens are refused, the
// other's are not, and the fast one's clock is told apart.
func TestIncident2InACluster(t *testing.T) {
	t.Parallel()
	issuer := newOIDCProvider(t, 0, ahead)
	strict := newJudge(t, issuer.accept()+", leeway: 10s}")
	refused := 0
	var last answer
	for range 2 * logins {
		token := issuer.token()
		strict.hide(token)
		a := strict.verify(token)
		if time.Until(issuedAt(token)) < ahead/2 {
			a.expect(t, http.StatusOK, "")
			continue
		}
		a.expect(t, http.StatusUnauthorized, "issued_in_future")
		last = a
		refused++
	}
	if refused < logins/2 {
		t.Fatalf("%d of %d tokens were refused: the instances take turns", refused, 2*logins)
	}
	t.Logf("after %d tokens: %s", 2*logins, strings.TrimSpace(last.body))
	within(t, "the refusal", last.json["skew_seconds"])
	if !strings.Contains(last.text("detail"), "the clock of at least one instance of the issuer") {
		t.Errorf("detail %q names no instance", last.text("detail"))
	}
}

// A cluster of our own tells its instances apart: each token's jti names the
// node that made it. Here two nodes have one iss and a key each.
func TestIncident2InAClusterOfOurs(t *testing.T) {
	t.Parallel()
	right, fast := prepare(t, plan{Remote: true}), prepare(t, plan{Remote: true})
	fast.Issuer = right.Issuer
	fast.file = fast.write("longcase.yaml", fast.fill(worldFile))
	right.process, fast.process = serve(t, right.dir, "-c", right.file), startShifted(t, fast.dir, fast.file, ahead)
	set := writeFile(t, t.TempDir(), "both.jwks", encode(t, map[string]any{"keys": append(right.published(), fast.published()...)}))
	strict := newJudge(t, fmt.Sprintf("{issuer: %s, audience: %q, algorithms: [ES256], jwks: {file: %s}, leeway: 10s}", right.Issuer, audience, set))

	var last answer
	var good, bad string
	for range logins {
		good, bad = right.instanceToken(), fast.instanceToken()
		strict.hide(good, bad)
		strict.verify(good).expect(t, http.StatusOK, "")
		if last = strict.verify(bad); last.status != http.StatusUnauthorized {
			t.Fatalf("the fast node's token: %d %s", last.status, last.body)
		}
	}
	t.Logf("after %d tokens of each: %s", logins, strings.TrimSpace(last.body))
	within(t, "the refusal", last.json["skew_seconds"])
	says := regexp.MustCompile("the clock of the issuer's instance " + nodeOf(bad) + ` is [0-9.]+ to [0-9.]+ s ahead of this host.*, that of instance ` + nodeOf(good) + " agrees with this host")
	if !says.MatchString(last.text("detail")) {
		t.Errorf("detail %q does not say %s", last.text("detail"), says)
	}
}

// published are the keys of one instance.
func (w *world) published() []any {
	w.t.Helper()
	keys, _ := send(w.t, bearing("http://"+w.IssuerAddress+"/jwks", "")).json["keys"].([]any)
	return keys
}

// instanceToken is a token that this very instance made.
func (w *world) instanceToken() string {
	w.t.Helper()
	return w.hideAll(send(w.t, w.as("service", form("http://"+w.IssuerAddress+"/token", "grant_type", "client_credentials", "scope", "orders.read")))).text("access_token")
}
