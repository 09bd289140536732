package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/internal/gatetest"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// script is an issuer's feed: each connection gets the next of its parts and
// is then cut, the last one stays open.
type script struct {
	parts []string
	mu    sync.Mutex
	asked []*http.Request
	forms []map[string][]string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	n := len(s.asked)
	s.asked, s.forms = append(s.asked, r.Clone(context.Background())), append(s.forms, r.PostForm)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	fmt.Fprint(w, s.parts[min(n, len(s.parts)-1)])
	w.(http.Flusher).Flush()
	if n >= len(s.parts)-1 {
		<-r.Context().Done()
	}
}

func (s *script) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.asked...)
}

func mustFollow(t *testing.T, cfg Follow) Feed {
	t.Helper()
	feed, err := NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

func tokenEvent(id, jti string) string {
	data := fmt.Sprintf("data: {\"kind\":\"token\",\"value\":%q,\"end\":%d}\n\n", jti, at(900).Unix())
	if id != "" {
		data = "id: " + id + "\n" + data
	}
	return data
}

const beat = "event: live\n\n"

func TestAFollowerResumesWhereItWas(t *testing.T) {
	key := newSigner(t, "k1")
	feed := &script{parts: []string{
		tokenEvent("", "t1") + tokenEvent("c1", "t2") + "id: c1\n" + beat + tokenEvent("", "t3"), // t3's batch is cut
		": a comment\nretry: 5\n" + tokenEvent("c2", "t3") + "data: {\"kind\":\"token\",",        // cut within an event
		"id: c3\r\n" + strings.ReplaceAll(tokenEvent("", "t4")+beat, "\n", "\r\n"),
	}}
	s := serve(t, feed)
	cfg := config(key)
	cfg.Revocations = mustFollow(t, Follow{Issuer: s.URL + "/", ClientID: "gate b", Secret: "s+e:c ret"})
	g := mustNew(t, cfg)
	run(t, g)
	eventually(t, "four entries are there", func() bool { return g.Revocations() == 4 && g.Ready() == nil })
	requests := feed.requests()
	var cursors []string
	for _, r := range requests {
		cursors = append(cursors, r.Header.Get("Last-Event-ID"))
		id, secret, _ := r.BasicAuth()
		if r.Method != "GET" || r.URL.Path != "/revocations" || id != "gate+b" || secret != "s%2Be%3Ac+ret" || r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("%s %s as %q, %q", r.Method, r.URL, id, secret)
		}
	}
	if got := fmt.Sprint(cursors); got != "[ c1 c2]" {
		t.Errorf("asked from %s, want from the beginning, then c1, then c2", got)
	}
	for jti, want := range map[string]string{"t1": "revoked", "t2": "revoked", "t3": "revoked", "t4": "revoked", "t5": ""} {
		if got := reasonAt(g, sign(t, key, good().With(claims{"jti": jti}))); got != want {
			t.Errorf("%s: reason %q, want %q", jti, got, want)
		}
	}
}

func TestAFollowerMayUseAKey(t *testing.T) {
	client := newSigner(t, "client-key")
	feed := &script{parts: []string{"id: c1\n" + beat, "id: c2\n" + beat}}
	s := serve(t, feed)
	cfg := config(newSigner(t, "k1"))
	cfg.Revocations = mustFollow(t, Follow{Issuer: s.URL, ClientID: "gate-b", Key: &client, Now: fixed})
	run(t, mustNew(t, cfg))
	eventually(t, "it has asked twice", func() bool { return len(feed.requests()) == 2 })
	seen := map[string]bool{}
	for i, r := range feed.requests() {
		form := feed.forms[i]
		if r.Method != "POST" || r.Header.Get("Authorization") != "" || fmt.Sprint(form["client_assertion_type"]) != "[urn:ietf:params:oauth:client-assertion-type:jwt-bearer]" {
			t.Fatalf("%s with %v", r.Method, form)
		}
		if since := fmt.Sprint(form["since"]); since != []string{"[]", "[c1]"}[i] {
			t.Errorf("asked from %s", since)
		}
		j, err := token.Parse(form["client_assertion"][0])
		if err != nil || j.Verify(client.Key()) != nil {
			t.Fatalf("assertion: %v", err)
		}
		c, _ := j.Claims()
		if c.Issuer != "gate-b" || c.Subject != "gate-b" || fmt.Sprint(c.Audience) != "["+s.URL+"]" || !c.IssuedAt.Equal(start) || !c.Expires.Equal(at(60)) || c.ID == "" || seen[c.ID] {
			t.Errorf("assertion %+v", c)
		}
		seen[c.ID] = true
	}
}

// once runs feed until it breaks.
func once(t *testing.T, feed Feed) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := feed(ctx, func(Event) {}, func() {})
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the feed did not break: %v", err)
	}
	return err
}

func TestAFollowerBelievesOnlyAFeed(t *testing.T) {
	elsewhere := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("credentials were carried to %s", r.URL)
	}))
	for name, h := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) },
		"a page":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: {}\n\n") },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"broken JSON":       stream("data: {\n\n"),
		"a number too far":  stream("data: {\"kind\":\"token\",\"value\":\"x\",\"end\":1e99}\n\n"),
		"a line too long":   stream("data: " + strings.Repeat("x", 1<<17) + "\n\n"),
		"an event too long": stream(strings.Repeat("data: "+strings.Repeat("x", 1<<10)+"\n", 100) + "\n"),
		"the end":           stream(beat),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, h)
			err := once(t, mustFollow(t, Follow{Issuer: s.URL, ClientID: "gate-b", Secret: "canary-secret"}))
			if strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}

func stream(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, body)
	}
}

// pipe is a transport whose answers are written by the test, in memory.
type pipe func(*http.Request) io.ReadCloser

func (p pipe) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Status: "200 OK", Request: r, Body: p(r),
		Header: http.Header{"Content-Type": {"text/event-stream"}},
	}, nil
}

// A connection that died without a word is given up before the feed is stale.
func TestADeadConnectionIsGivenUp(t *testing.T) {
	key := newSigner(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		client := &http.Client{Transport: pipe(func(r *http.Request) io.ReadCloser {
			n := opened.Add(1)
			out, in := io.Pipe()
			context.AfterFunc(r.Context(), func() { in.CloseWithError(r.Context().Err()) })
			go func() {
				for i := 0; n > 1 || i < 5; i++ { // the first falls silent after five beats
					if _, err := io.WriteString(in, beat); err != nil || !sleep(r.Context(), 2*time.Second) {
						return
					}
				}
			}()
			return out
		})}
		g := mustNew(t, liveConfig(key, mustFollow(t, Follow{Issuer: issuerA, ClientID: "gate-b", Secret: "s", Client: client})))
		defer inBubble(t, g)()
		for range 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			if got := reasonAt(g, sign(t, key, gatetest.Good(time.Now()))); got != "" {
				t.Fatalf("reason %q", got)
			}
		}
		if n := opened.Load(); n != 2 {
			t.Errorf("opened %d times, want twice", n)
		}
	})
}

func TestFollowNamesEveryWrongField(t *testing.T) {
	key := newSigner(t, "k")
	_, err := NewFollower(Follow{URL: "http://tokens.example.com/revocations", Secret: "canary", Key: &key, Idle: time.Millisecond})
	if err == nil {
		t.Fatal("NewFollower succeeds")
	}
	contains(t, "error", err.Error(), "issuer", "url", "client", "exactly one", "idle")
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error holds the secret: %v", err)
	}
	for _, url := range []string{"http://gate:canary@tokens.example.com/", "https://gate:canary@tokens.example.com/", "https://gate:canary@%zz/"} {
		if _, err := NewFollower(Follow{Issuer: issuerA, URL: url, ClientID: "gate", Secret: "s"}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("with a password in the URL: %v", err)
		}
	}
}

func TestAFeedInTheClearIsOnLoopback(t *testing.T) {
	for url, want := range map[string]bool{
		"http://LocalHost:4600": true, "http://[::ffff:127.0.0.1]:4600": true, "http://127.0.0.1:4600": true,
		"http://feed.localhost": false, "http://localhost.example.com": false,
	} {
		if _, err := NewFollower(Follow{Issuer: url, ClientID: "gate", Secret: "s"}); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// rotating is an issuer that can withdraw a key: metadata, key set and feed.
type rotating struct {
	url     string
	mu      sync.Mutex
	keys    []token.Key
	fetched int
	news    chan string
}

func (is *rotating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": is.url, "jwks_uri": is.url + "/jwks"})
	case "/jwks":
		is.mu.Lock()
		is.fetched++
		body, _ := jwks.Marshal(is.keys)
		is.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	case "/revocations":
		is.serveFeed(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (is *rotating) serveFeed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, beat)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case s := <-is.news:
			fmt.Fprint(w, s)
			w.(http.Flusher).Flush()
		}
	}
}

func (is *rotating) set(keys ...token.Key) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.keys = keys
}

func (is *rotating) fetches() int {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.fetched
}

// An emergency: the old key goes, a new one nobody has seen signs. The feed's
// word makes the gate fetch the keys; no good token is refused meanwhile.
func TestAWithdrawnKeyIsRefusedAtOnce(t *testing.T) {
	old, staying, fresh := newSigner(t, "old"), newSigner(t, "staying"), newSigner(t, "fresh")
	is := &rotating{news: make(chan string)}
	s := httptest.NewServer(is)
	t.Cleanup(s.Close)
	is.url = s.URL
	is.set(old.Key(), staying.Key())
	cfg := config(old)
	cfg.Now, cfg.Issuers = time.Now, []verify.Issuer{{URL: s.URL, Audience: orders}}
	cfg.Revocations = mustFollow(t, Follow{Issuer: s.URL, ClientID: "gate-b", Secret: "s"})
	g := mustNew(t, cfg)
	run(t, g)
	eventually(t, "keys and feed are there", func() bool { return g.Ready() == nil })
	mine := func(key token.Signer) string {
		return sign(t, key, gatetest.Good(time.Now()).With(claims{"iss": s.URL}))
	}
	ofOld := mine(old)
	if got := reasonAt(g, ofOld) + reasonAt(g, mine(staying)); got != "" {
		t.Fatalf("reason %q before anything happened", got)
	}
	before := is.fetches()
	is.set(staying.Key(), fresh.Key())
	is.news <- fmt.Sprintf("id: 1\ndata: {\"kind\":\"kid\",\"value\":\"old\",\"end\":%d}\n\n", time.Now().Add(time.Hour).Unix())
	eventually(t, "the old key is refused", func() bool {
		if got := reasonAt(g, mine(staying)); got != "" {
			t.Fatalf("a good token is refused: %s", got)
		}
		return reasonAt(g, ofOld) == string(token.KeyRevoked)
	})
	eventually(t, "the keys were fetched again", func() bool { return is.fetches() > before })
	if got := reasonAt(g, mine(fresh)); got != "" {
		t.Errorf("the new key's token: reason %q", got)
	}
	if got := reasonAt(g, ofOld); got != string(token.KeyRevoked) {
		t.Errorf("once it is out of the set: reason %q", got)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(tokenEvent("c1", "t1") + beat))
	f.Add([]byte("id: a\x00b\ndata\ndata: x\r\n\r\n: comment\n\ndata: y"))
	f.Add([]byte("event: live\n\nevent: x\ndata:\n\n"))
	f.Add([]byte("data: {\"kind\":\"client\",\"value\":\"c\",\"before\":-1,\"end\":9223372036854775807}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		lines := 0
		er := newEventReader(bytes.NewReader(in), func() { lines++ })
		for {
			m, err := er.next()
			if err != nil {
				break
			}
			if len(m.data) > maxEvent || strings.ContainsAny(m.id, "\n\x00") {
				t.Fatalf("message %+v", m)
			}
			if e, err := parseEvent(m.data); err == nil && e.Check() == nil && (e.Value == "" || e.End.Before(time.Unix(1, 0))) {
				t.Fatalf("event %+v", e)
			}
		}
		if lines > bytes.Count(in, []byte("\n")) {
			t.Fatal("more lines than there are")
		}
	})
}
