package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// witness is an issuer whose clock is ahead, as a gate meets it.
type witness struct {
	issuer string        // iss
	accept string        // the entry of the gate's accept, open at its end
	fresh  func() string // a token nobody has seen
	claim  string        // the claim that is in the future
	reason []string      // one of which is why
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
	lenient.reports(t, w.issuer)
	strict.reports(t, w.issuer)
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

// documented asserts that docs/incident-2.md shows what was said, but for its
// numbers.
func documented(t *testing.T, said string) {
	t.Helper()
	text, err := os.ReadFile("../docs/incident-2.md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`[0-9][0-9.]*`)
	bare := func(s string) string { return numbers.ReplaceAllString(s, "0") }
	if !strings.Contains(bare(string(text)), bare(said)) {
		t.Errorf("docs/incident-2.md does not show %s", said)
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

// issuedAt is a token's iat.
func issuedAt(token string) time.Time {
	var c struct{ IAT int64 }
	_ = json.Unmarshal(segment(token, 1), &c)
	return time.Unix(c.IAT, 0)
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

// judge is a gate that is asked by /verify, or by a gateway in front.
type judge struct {
	*process
	gate, console string
}

// newJudge starts a gate with the entries of accept.
func newJudge(t *testing.T, accept ...string) *judge {
	t.Helper()
	return around{}.judge(t, accept...)
}

// around is what else a gate has.
type around struct {
	address string        // default a free one
	gate    string        // further lines of the gate's
	top     string        // and of the file
	ahead   time.Duration // of this host's clock
}

func (r around) judge(t *testing.T, accept ...string) *judge {
	t.Helper()
	dir, console := t.TempDir(), freeAddress(t)
	if r.address == "" {
		r.address = freeAddress(t)
	}
	text := fmt.Sprintf("gate:\n  listen: %s\n%s  accept:\n    - %s\nconsole: {listen: %s}\n%s",
		r.address, r.gate, strings.Join(accept, "\n    - "), console, r.top)
	file := writeFile(t, dir, "gate.yaml", text)
	j := &judge{process: startShifted(t, dir, file, r.ahead), gate: "http://" + r.address, console: "http://" + console}
	eventually(t, patience, "the gate has the issuer's keys", func() bool { return status(j.gate+"/.longcase/readyz") == http.StatusOK })
	return j
}

func (j *judge) request(token string) *http.Request { return bearing(j.gate+"/verify", token) }

// bearing is a GET, with a token unless that is empty.
func bearing(url, token string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err) // the tests make the addresses
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func (j *judge) verify(token string) answer {
	j.t.Helper()
	return send(j.t, j.request(token))
}

// reports asserts that metrics and readiness name the skew, whether or not
// anything is refused for it.
func (j *judge) reports(t *testing.T, issuer string) {
	t.Helper()
	bound := regexp.MustCompile(`(?m)^longcase_issuer_clock_skew_seconds\{bound="(?:low|high)",issuer="` + regexp.QuoteMeta(issuer) + `",[^}]*\} ([0-9.e+-]+)$`)
	var sum float64
	found := bound.FindAllStringSubmatch(j.get(j.console+"/metrics").body, -1)
	for _, f := range found {
		value, _ := strconv.ParseFloat(f[1], 64)
		sum += value
	}
	if len(found) != 2 {
		t.Errorf("the metric of the skew has %d values, want 2", len(found))
	}
	within(t, "the metric", sum/2)
	if ready := j.get(j.gate + "/.longcase/readyz"); ready.status != http.StatusOK || !strings.Contains(ready.body, "ahead of this host") {
		t.Errorf("readyz says %d %s", ready.status, ready.body)
	}
}

func (j *judge) get(url string) answer {
	j.t.Helper()
	return send(j.t, bearing(url, ""))
}
