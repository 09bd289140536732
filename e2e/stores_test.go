package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
)

// elsewhereHonoured is how long another node of a store may take to learn of a
// change: its poll and the gate's second.
const elsewhereHonoured = 5 * time.Second

// dataPassword stands in the URL of a database that asks for none; nobody may
// show it.
const dataPassword = "hunter2-of-the-database"

// remote is a database that can be killed and started again.
type remote struct {
	fresh func(name string) string // an empty place, as data: names it
	kill  func()
	start func()
}

func TestNodesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	pg := servertest.StartPostgres(t, "")
	shared(t, remote{func(name string) string { return withPassword(pg.CreateDatabase(name)) }, pg.Kill, pg.Start})
	t.Run("a database that cannot be is refused", func(t *testing.T) { cannotBe(t, pg) })
}

func TestNodesOnCassandra(t *testing.T) {
	t.Setenv("LONGCASE_CASSANDRA_SYNC", "group") // one replica: what it acknowledged must outlive a kill
	c := servertest.StartCassandra(t, 1)
	shared(t, remote{c.URL, func() { c.Kill(0) }, func() { c.Start(0) }})
}

func withPassword(data string) string {
	return strings.Replace(data, "longcase@", "longcase:"+dataPassword+"@", 1)
}

// shared is what holds on every store that several nodes share.
func shared(t *testing.T, r remote) {
	t.Run("two nodes", func(t *testing.T) { twoNodes(t, r.fresh("two")) })
	t.Run("a store that is lost comes back", func(t *testing.T) { lostAndBack(t, r, r.fresh("lost")) })
}

// newNode makes one node on a store: the first, or another like of.
func newNode(t *testing.T, p plan, data string, of *world) *world {
	t.Helper()
	n := prepare(t, p)
	at := n.Issuer
	if of != nil {
		n.Secret, n.Password, n.key, n.rsa, n.Upstream = of.Secret, of.Password, of.key, of.rsa, of.Upstream
		n.write("keyed.jwks", keySet(t, n))
		n.Issuer = of.Issuer // the issuer's name is one, wherever it listens
	}
	n.write("kek", strings.Repeat("k", 32))
	once := `    - {path: /once/, methods: [GET], once: true, upstream: "` + n.Upstream + `"}`
	text := strings.Replace(n.fill(worldFile), "  routes:\n", "  routes:\n"+once+"\n", 1)
	text = strings.Replace(text, "data: longcase-data\n", fmt.Sprintf("data: %q\nkeys: {encrypt_with: {file: kek}}\n", data), 1)
	n.file = n.write("longcase.yaml", text)
	n.Issuer = at
	return n
}

// launchNode starts a node and keeps the database's password out of what it
// says. The first one makes the tables, which takes a Cassandra its time.
func (w *world) launchNode() *world {
	w.t.Helper()
	w.process = begin(w.t, w.dir, "-c", w.file)
	w.hide(dataPassword)
	select {
	case <-w.ready:
	case <-w.exited:
		w.t.Fatalf("serve exits %d:\n%s", w.cmd.ProcessState.ExitCode(), w.output())
	case <-time.After(4 * patience):
		w.t.Fatalf("serve is not ready:\n%s", w.output())
	}
	eventually(w.t, patience, "the gate is ready", w.gateReady)
	return w
}

func twoNodes(t *testing.T, data string) {
	a := newNode(t, plan{Grace: "10m", PublishAhead: "2s"}, data, nil).launchNode()
	b := newNode(t, plan{Grace: "10m", PublishAhead: "2s"}, data, a).launchNode()
	t.Run("a token of one is good at the other", func(t *testing.T) {
		b.call("GET", "/orders/1", a.token("service", "orders.read")).expect(t, http.StatusOK, "")
		a.call("GET", "/orders/1", b.token("service", "orders.read")).expect(t, http.StatusOK, "")
	})
	t.Run("a session goes from one to the other", func(t *testing.T) { goesBetween(t, a, b) })
	t.Run("raced refreshes on both have one winner", func(t *testing.T) { racesOnBoth(t, a, b) })
	t.Run("what is used once is used once on both", func(t *testing.T) { onceOnBoth(t, a, b) })
	t.Run("what one ends the other refuses", func(t *testing.T) { endsOnBoth(t, a, b) })
	t.Run("a client that one is told of is known to the other", func(t *testing.T) { knownToBoth(t, a, b) })
	t.Run("keys turn on both", func(t *testing.T) { turnsOnBoth(t, a, b) })
	t.Run("a node ends and comes back while the other serves", func(t *testing.T) { restarts(t, a, b) })
	t.Run("a node that is killed loses nothing", func(t *testing.T) { killedBeside(t, a, b) })
	t.Run("a node 10 minutes ahead is not ready", func(t *testing.T) { aheadIsNotReady(t, data, a) })
}

func goesBetween(t *testing.T, a, b *world) {
	s := b.redeem(a.signIn("web"))
	s.expect(t, http.StatusOK, "")
	for _, at := range []*world{a, b, b, a} {
		next := at.refresh("web", s.text("refresh_token"))
		next.expect(t, http.StatusOK, "")
		b.call("GET", "/orders/1", next.text("access_token")).expect(t, http.StatusOK, "")
		s = next
	}
	if n := len(b.sessions(t)); n != 1 {
		t.Errorf("session list shows %d, want 1", n)
	}
}

func racesOnBoth(t *testing.T, a, b *world) {
	token := a.session("web").text("refresh_token")
	for range long(5) {
		answers := make([]answer, 16)
		var all sync.WaitGroup
		for i := range answers {
			at := []*world{a, b}[i%2]
			all.Go(func() { answers[i], _ = try(at.refreshRequest("web", token)) })
		}
		all.Wait()
		next := answers[0].text("refresh_token")
		for _, one := range answers {
			a.hideAll(one).expect(t, http.StatusOK, "")
			if got := one.text("refresh_token"); got != next || got == token {
				t.Fatalf("racers hold %.30s… and %.30s…", got, next)
			}
		}
		token = next
	}
}

func onceOnBoth(t *testing.T, a, b *world) {
	token := a.token("service", "orders.read")
	a.call("GET", "/once/1", token).expect(t, http.StatusOK, "")
	b.call("GET", "/once/1", token).expect(t, http.StatusUnauthorized, "replayed")

	as := *a // an assertion is for the issuer, whichever node it is sent to
	signed := assertion(t, &as, keyedKid, false, nil)
	send := func(at *world) answer {
		return send(t, form(at.Issuer+"/token", "grant_type", "client_credentials", "client_assertion_type", jwtBearer, "client_assertion", signed))
	}
	send(b).expect(t, http.StatusOK, "")
	send(a).expect(t, http.StatusUnauthorized, "invalid_client")
}

func endsOnBoth(t *testing.T, a, b *world) {
	refused := func(at *world, token, reason string, end func()) {
		t.Helper()
		at.call("GET", "/orders/1", token).expect(t, http.StatusOK, "")
		end()
		var last answer
		eventually(t, elsewhereHonoured, "the other node's gate refuses", func() bool {
			last = at.call("GET", "/orders/1", token)
			return last.status != http.StatusOK
		})
		last.expect(t, http.StatusUnauthorized, reason)
	}
	token := a.token("service", "orders.read")
	refused(b, token, "revoked", func() {
		send(t, a.as("service", form(a.Issuer+"/revoke", "token", token))).expect(t, http.StatusOK, "")
	})
	s := a.session("web")
	refused(b, s.text("access_token"), "revoked", func() { must(t, "", nil, "session", "revoke", "--subject", "alice", "-c", a.file) })
	b.refresh("web", s.text("refresh_token")).expect(t, http.StatusBadRequest, "invalid_grant")
}

func knownToBoth(t *testing.T, a, b *world) {
	var added secret
	must(t, "", &added, "client", "add", "--id", "added", "--grant", "client_credentials", "--audience", audience, "--json", "-c", a.file)
	b.hide(added.Secret)
	ask := func() answer {
		r := form(b.Issuer+"/token", "grant_type", "client_credentials")
		r.SetBasicAuth("added", added.Secret)
		return b.hideAll(send(t, r))
	}
	eventually(t, elsewhereHonoured, "the other node knows the client", func() bool { return ask().status == http.StatusOK })
	must(t, "", nil, "client", "remove", "added", "-c", a.file)
	eventually(t, elsewhereHonoured, "the other node forgets the client", func() bool { return ask().status == http.StatusUnauthorized })
}

func turnsOnBoth(t *testing.T, a, b *world) {
	old := a.token("service", "orders.read")
	must(t, "", nil, "keys", "rotate", "-c", a.file)
	eventually(t, patience, "the successor signs on the other node", func() bool { return kidOf(b.token("service", "orders.read")) != kidOf(old) })
	eventually(t, patience, "and on the first", func() bool { return kidOf(a.token("service", "orders.read")) != kidOf(old) })
	fresh := b.token("service", "orders.read")
	for _, at := range []*world{a, b} {
		set := send(t, get(at.Issuer+"/jwks"))
		if !strings.Contains(set.body, kidOf(old)) || !strings.Contains(set.body, kidOf(fresh)) {
			t.Errorf("the key set lacks one of the two: %s", set.body)
		}
		at.call("GET", "/orders/1", old).expect(t, http.StatusOK, "")
		at.call("GET", "/orders/1", fresh).expect(t, http.StatusOK, "")
	}
	must(t, "", nil, "keys", "revoke", kidOf(fresh), "-c", a.file)
	b.call("GET", "/orders/1", a.token("service", "orders.read")).expect(t, http.StatusOK, "") // by a key that is a moment old
	eventually(t, elsewhereHonoured, "the other node's gate refuses the revoked key's tokens", func() bool {
		return b.call("GET", "/orders/1", fresh).code() == "key_revoked" // for a moment the key may be unknown
	})
	eventually(t, elsewhereHonoured, "the other node signs with another key", func() bool { return kidOf(b.token("service", "orders.read")) != kidOf(fresh) })
	b.call("GET", "/orders/1", b.token("service", "orders.read")).expect(t, http.StatusOK, "")
}

func get(url string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err) // the URLs are constants of the tests
	}
	return r
}

func restarts(t *testing.T, a, b *world) {
	s := a.session("web")
	if code := a.stop(); code != 0 {
		t.Errorf("serve exits %d at SIGTERM: %s", code, a.output())
	}
	s = b.refresh("web", s.text("refresh_token"))
	s.expect(t, http.StatusOK, "")
	a.launchNode()
	a.refresh("web", s.text("refresh_token")).expect(t, http.StatusOK, "")
}

func killedBeside(t *testing.T, a, b *world) {
	held := make([]string, 4)
	for i := range held {
		held[i] = a.session("web").text("refresh_token")
	}
	rotations := 0
	for range long(2) {
		rotations += killDuringLoad(a, held)
		for i, token := range held {
			next := b.refresh("web", token)
			next.expect(t, http.StatusOK, "")
			held[i] = next.text("refresh_token")
		}
		a.launchNode()
	}
	if rotations == 0 {
		t.Error("nothing was rotated under load")
	}
}

// aheadIsNotReady starts a third node whose clock is wrong.
func aheadIsNotReady(t *testing.T, data string, a *world) {
	c := newNode(t, plan{}, data, a)
	c.process = startShifted(t, c.dir, c.file, 10*time.Minute)
	c.hide(dataPassword)
	got := send(t, get(c.Issuer+"/.longcase/readyz"))
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "ahead of the store's") ||
		!strings.Contains(got.body, "10m0") && !strings.Contains(got.body, "9m59") {
		t.Errorf("readyz says %d %s", got.status, got.body)
	}
}

func lostAndBack(t *testing.T, r remote, data string) {
	a := newNode(t, plan{Grace: "10m"}, data, nil).launchNode()
	b := newNode(t, plan{Grace: "10m"}, data, a).launchNode()
	l := startRefreshing(t, a, b)
	time.Sleep(time.Second)
	r.kill()
	eventually(t, patience, "nothing is refreshed any more", func() bool { return l.refused.count() > 0 })
	for _, at := range []*world{a, b} {
		eventually(t, patience, "a node is not ready", func() bool { return !isReady(at) })
	}
	c := newNode(t, plan{Grace: "10m"}, data, a)
	waits(t, c)
	stopped := newNode(t, plan{}, data, a)
	waits(t, stopped)
	if code := stopped.stop(); code != 0 {
		t.Errorf("a server that waits exits %d at SIGTERM:\n%s", code, stopped.output())
	}
	time.Sleep(time.Second)
	r.start()
	for _, at := range []*world{a, b, c} {
		eventually(t, 4*patience, "a node is ready again", func() bool { return isReady(at) })
	}
	<-c.ready
	before := l.done.count()
	eventually(t, patience, "sessions are refreshed again", func() bool { return l.done.count() > before+20 })
	for _, token := range l.stop() {
		c.refresh("web", token).expect(t, http.StatusOK, "")
	}
	l.none(t)
	for _, at := range []*world{a, b} {
		if n := strings.Count(at.output(), "the store cannot be reached;"); n == 0 || n > 5 {
			t.Errorf("a lost store is told %d times:\n%.4000s", n, at.output())
		}
	}
}

func isReady(w *world) bool { return status(w.Issuer+"/.longcase/readyz") == http.StatusOK }

// waits starts a node whose store is away, and looks at what it says.
func waits(t *testing.T, c *world) {
	t.Helper()
	c.process = begin(t, c.dir, "-c", c.file)
	c.hide(dataPassword)
	eventually(t, patience, "the node says that it waits", func() bool { return strings.Contains(c.output(), "the store cannot be used yet") })
	ready := send(t, get(c.Issuer+"/.longcase/readyz"))
	if ready.status != http.StatusServiceUnavailable || !strings.Contains(ready.body, `"store"`) || strings.Contains(ready.body, dataPassword) {
		t.Errorf("readyz says %d %s", ready.status, ready.body)
	}
	if got := status(c.Issuer + "/.longcase/healthz"); got != http.StatusOK {
		t.Errorf("healthz says %d", got)
	}
	refused := send(t, c.as("service", form(c.Issuer+"/token", "grant_type", "client_credentials")))
	refused.expect(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if refused.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := status(c.Gate + "/orders/1"); got != http.StatusServiceUnavailable {
		t.Errorf("the gate says %d", got)
	}
	if r := longcase(t, "", "keys", "list", "-c", c.file); r.code != 3 || !strings.Contains(r.stderr, "waits for its store") {
		t.Errorf("administration exits %d: %s", r.code, r.stderr)
	}
}

// begin starts a server and does not wait until it is ready.
func begin(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"serve"}, args...)...)
	p := &process{t: t, cmd: cmd, dir: dir, exited: make(chan struct{}), secrets: map[string]bool{}, ready: make(chan struct{})}
	cmd.Dir, cmd.Stdout = dir, &p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(p.check)
	return p
}

// counter counts from many goroutines.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// refreshing refreshes sessions on nodes all the time.
type refreshing struct {
	nodes         []*world
	quit          chan struct{}
	all           sync.WaitGroup
	held          []string // one goroutine each, until it has ended
	done, refused counter

	mu    sync.Mutex
	wrong []string
}

func startRefreshing(t *testing.T, nodes ...*world) *refreshing {
	t.Helper()
	l := &refreshing{nodes: nodes, quit: make(chan struct{}), held: make([]string, 6)}
	for i := range l.held {
		l.held[i] = nodes[0].session("web").text("refresh_token")
	}
	for i := range l.held {
		l.all.Go(func() { l.loop(i) })
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *refreshing) loop(i int) {
	for {
		select {
		case <-l.quit:
			return
		case <-time.After(5 * time.Millisecond):
		}
		at := l.nodes[rand.IntN(len(l.nodes))]
		a, err := try(at.refreshRequest("web", l.held[i]))
		switch {
		case err == nil && a.status == http.StatusOK:
			l.held[i] = a.text("refresh_token")
			l.done.add()
		case err == nil && a.status == http.StatusServiceUnavailable && a.code() == "temporarily_unavailable":
			l.refused.add()
			time.Sleep(50 * time.Millisecond) // less than Retry-After asks for
		default:
			l.mu.Lock()
			l.wrong = append(l.wrong, fmt.Sprintf("%v %d %s", err, a.status, a.body))
			l.mu.Unlock()
		}
	}
}

// stop ends the load and returns the tokens that are held.
func (l *refreshing) stop() []string {
	l.mu.Lock()
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.mu.Unlock()
	l.all.Wait()
	return l.held
}

func (l *refreshing) none(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) > 0 {
		t.Errorf("%d false refusals, the first: %s", len(l.wrong), l.wrong[0])
	}
	t.Logf("%d refreshed, %d refused while the store was away", l.done.count(), l.refused.count())
}

// cannotBe are databases that are refused at the start; their passwords are not
// in the refusal.
func cannotBe(t *testing.T, pg *servertest.Postgres) {
	for _, tt := range []struct {
		name, data, says string
		code             int
	}{
		{"one that is not there", withPassword(pg.URL("nobody")), "nobody", 3},
		{"a user who is not there", "postgres://stranger:" + dataPassword + "@" + pg.Address() + "/postgres", "stranger", 3},
		{"plain, on another machine", "postgres://u:" + dataPassword + "@192.0.2.1/l?sslmode=disable", "verify-full", 2},
		{"a variable that is not set", "postgres://u:${LONGCASE_E2E_NONE}@" + pg.Address() + "/l", "LONGCASE_E2E_NONE", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, plan{}, tt.data, nil)
			r := longcase(t, "", "serve", "-c", n.file, "--data", filepath.Join(n.dir, "d"))
			if r.code != tt.code || !strings.Contains(r.stderr, tt.says) || strings.Contains(r.stderr, dataPassword) || strings.Contains(r.stderr, "\nready\n") {
				t.Errorf("exits %d: %s", r.code, r.stderr)
			}
		})
	}
}
