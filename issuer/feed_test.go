package issuer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify/early"
)

// event is one server-sent event.
type event struct{ id, kind, data string }

// readEvent reads the next event of a stream.
func readEvent(t *testing.T, from *bufio.Reader) (e event) {
	t.Helper()
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream broke off: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			return e
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		}
	}
}

// open begins a feed over a real connection.
func (r *rig) open(t *testing.T, server *httptest.Server, req *http.Request) *bufio.Reader {
	t.Helper()
	resp, err := server.Client().Do(req.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %v %s", resp.Status, resp.Header, body)
	}
	return bufio.NewReader(resp.Body)
}

func feedRequest(t *testing.T, server *httptest.Server, query string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, server.URL+"/tenant/revocations"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("gate", url.QueryEscape(testSecret))
	return req
}

func TestTheFeed(t *testing.T) {
	already := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, already) })
	r := newRig(t)
	server := httptest.NewServer(r.is.Handler())
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.is.Run(ctx) })
	defer server.Close() // after Run: its end ends the feeds
	defer running.Wait()
	defer stop()

	before := r.now().Truncate(time.Second).Add(time.Second)
	if _, err := r.is.RevokeClient(t.Context(), "web", time.Time{}); err != nil {
		t.Fatal(err)
	}
	feed := r.open(t, server, feedRequest(t, server, ""))
	first := readEvent(t, feed)
	var got entry
	if err := json.Unmarshal([]byte(first.data), &got); err != nil {
		t.Fatal(err)
	}
	if got.Kind != store.RevokedClient || got.Value != "web" || got.Before == nil || *got.Before != before.Unix() || got.End <= *got.Before || first.id == "" {
		t.Errorf("backlog %+v", first)
	}
	live := readEvent(t, feed)
	if live.kind != "live" || live.id != first.id || live.data != "" {
		t.Errorf("then %+v, want live without data", live)
	}
	if err := r.is.RevokeKey(t.Context(), "k-9"); err != nil {
		t.Fatal(err)
	}
	next := readEvent(t, feed)
	if !strings.HasPrefix(next.data, `{"kind":"kid","value":"k-9","before":null,"end":`) {
		t.Errorf("then %+v", next)
	}
	if beat := readEvent(t, feed); beat.kind != "live" || beat.id != next.id {
		t.Errorf("then %+v, want a heartbeat", beat)
	}

	resumed := map[string]*http.Request{"since": feedRequest(t, server, "?since="+url.QueryEscape(first.id)), "Last-Event-ID": feedRequest(t, server, "")}
	resumed["Last-Event-ID"].Header.Set("Last-Event-ID", first.id)
	posted, err := http.NewRequest(http.MethodPost, server.URL+"/tenant/revocations", strings.NewReader(
		url.Values{"client_id": {"gate"}, "client_secret": {testSecret}, "since": {first.id}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	posted.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resumed["posted"] = posted
	for name, req := range resumed {
		if e := readEvent(t, r.open(t, server, req)); e.data != next.data {
			t.Errorf("%s: resumed with %+v", name, e)
		}
	}
	backlog := r.open(t, server, feedRequest(t, server, ""))
	begun, last := readEvent(t, backlog), readEvent(t, backlog)
	if e := readEvent(t, r.open(t, server, feedRequest(t, server, "?since="+url.QueryEscape(begun.id)))); e.data != first.data {
		t.Errorf("resumed within a batch with %+v: the cursor of %q lies behind what follows it", e, begun.data)
	}
	if last.id != next.id {
		t.Errorf("the last of a batch has id %q, want %q", last.id, next.id)
	}
	forgotten := r.open(t, server, feedRequest(t, server, "?since=another.engine"))
	if e := readEvent(t, forgotten); e.data != first.data {
		t.Errorf("an unknown cursor is not the beginning: %+v", e)
	}

	stop() // Run's end ends every feed
	if rest, err := io.ReadAll(feed); err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTheFeedIsForThoseWhoMayFollow(t *testing.T) {
	r := newRig(t)
	ask := func(id, secret, query string) reply {
		req := httptest.NewRequest(http.MethodGet, testURL+"/revocations"+query, nil)
		if id != "" {
			req.SetBasicAuth(id, url.QueryEscape(secret))
		}
		return r.do(req)
	}
	wantError(t, ask("", "", ""), 401, "invalid_client")
	wantError(t, ask("gate", "wrong", ""), 401, "invalid_client")
	wantError(t, ask("idle", testSecret, ""), 403, "access_denied")
	wantError(t, ask("", "", "?client_id=gate&client_secret="+url.QueryEscape(testSecret)), 401, "invalid_client")
	wantError(t, ask("gate", testSecret, "?since="+strings.Repeat("x", 2000)), 400, "invalid_request")
	wantError(t, ask("gate", testSecret, "?since=1&since=2"), 400, "invalid_request")
	wantError(t, r.post("/revocations", "client_id", "web"), 403, "access_denied")
	r.engine.arm(1, errDisk, false)
	wantError(t, ask("gate", testSecret, ""), 503, "temporarily_unavailable")
	r.engine.heal()
	head := httptest.NewRequest(http.MethodHead, testURL+"/revocations", nil)
	head.SetBasicAuth("gate", url.QueryEscape(testSecret))
	if got := r.do(head); got.Status != 200 || got.Header.Get("Content-Type") != eventStream {
		t.Errorf("HEAD: %d %v", got.Status, got.Header)
	}
	if r.is.streams.Load() != 0 {
		t.Error("a feed is still counted")
	}
}

// TestAFollowerInThisProcess runs in virtual time: backlog, live, what is new,
// and a heartbeat each 2 s, also for what another node adds.
func TestAFollowerInThisProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.is.Run(ctx) })
		var mu sync.Mutex
		var values []string
		lives := 0
		running.Go(func() {
			err := r.is.Revocations(ctx, func(one store.Revocation) { mu.Lock(); defer mu.Unlock(); values = append(values, one.Value) },
				func() { mu.Lock(); defer mu.Unlock(); lives++ })
			if !errors.Is(err, context.Canceled) && !errors.Is(err, errOver) {
				t.Errorf("ended with %v", err)
			}
		})
		synctest.Wait()
		end := r.now().Add(time.Hour)
		if err := r.engine.Revocations().Add(ctx, store.Revocation{Kind: store.RevokedToken, Value: "elsewhere", End: end}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pollEach)
		synctest.Wait()
		if !r.is.early.Has(early.Token, "elsewhere") {
			t.Error("what another node ended is not known after one poll")
		}
		if err := r.is.add(ctx, store.Revocation{Kind: store.RevokedToken, Value: "here", End: end}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		if !slices.Equal(values, []string{"elsewhere", "here"}) || lives != 1 {
			t.Errorf("%v, live %d times", values, lives)
		}
		mu.Unlock()
		time.Sleep(3*beatEach + time.Millisecond)
		mu.Lock()
		if lives != 4 {
			t.Errorf("live %d times after three heartbeats", lives)
		}
		mu.Unlock()
		stop()
		running.Wait()
	})
}

// TestAFollowerEndsWithItsRight takes revocations: true from a client whose
// feed is open.
func TestAFollowerEndsWithItsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		done := make(chan reply)
		go func() {
			req := httptest.NewRequest(http.MethodGet, testURL+"/revocations", nil)
			req.SetBasicAuth("gate", url.QueryEscape(testSecret))
			done <- r.do(req)
		}()
		synctest.Wait()
		r.change("gate", func(c *Client) { c.Revocations = false })
		if got := <-done; strings.Count(string(got.Body), "event: live") != 1 {
			t.Errorf("%q", got.Body)
		}
	})
}

func TestARepeatedEntryWakesNobody(t *testing.T) {
	r := newRig(t)
	one := store.Revocation{Kind: store.RevokedSubject, Value: "alice", Before: r.now(), End: r.now().Add(time.Hour)}
	apply := func() {
		if err := r.is.early.apply([]store.Revocation{one}, r.now()); err != nil {
			t.Error(err)
		}
	}
	apply()
	change := r.is.early.change()
	apply()
	select {
	case <-change:
		t.Error("woken by what is known")
	default:
	}
	one.Before = one.Before.Add(time.Second)
	apply()
	<-change
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	r := newRig(t)
	end := r.now().Add(time.Minute)
	for _, one := range []store.Revocation{
		{Kind: store.RevokedToken, Value: "t", End: end}, {Kind: store.RevokedClient, Value: "c", Before: r.now(), End: end},
	} {
		if err := r.is.add(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	r.advance(2 * time.Hour) // more than any token lives
	if _, err := r.engine.Retire(t.Context(), r.now()); err != nil {
		t.Fatal(err)
	}
	if err := r.is.early.fresh(t.Context(), r.engine.Revocations(), r.now()); err != nil {
		t.Fatal(err)
	}
	if n := r.is.early.Len(); n != 0 {
		t.Errorf("%d entries are kept after their end", n)
	}
}

// The clock is a day ahead while another node ends a user; what the user holds
// is live again when the clock is right.
func TestAClockThatIsWrongForAWhileHidesNoEarlyEnd(t *testing.T) {
	r := newRig(t)
	token := r.session(t, "web").text("access_token")
	_, c := r.claims(t, token)
	if !r.active(t, token) {
		t.Fatal("not active to begin with")
	}
	one := store.Revocation{Kind: store.RevokedToken, Value: c.ID, End: accepted(c.Expires)}
	if err := r.engine.Revocations().Add(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	follow := func() {
		if err := r.is.early.sync(t.Context(), r.engine.Revocations(), r.now()); err != nil {
			t.Fatal(err)
		}
	}
	r.advance(24 * time.Hour)
	follow()
	r.advance(2 * time.Minute)
	follow()
	r.advance(-24*time.Hour - 2*time.Minute)
	follow()
	if r.active(t, token) {
		t.Error("an ended token is active again")
	}
}

func TestMoreEarlyEndsThanFitAreNotPassedOver(t *testing.T) {
	r := newRig(t)
	r.is.early = newEarlyEnds(1, r.is.longestLife)
	for _, value := range []string{"a", "b"} {
		if err := r.is.add(t.Context(), store.Revocation{Kind: store.RevokedToken, Value: value, End: r.now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.is.early.fresh(t.Context(), r.engine.Revocations(), r.now()); !errors.Is(err, errTooMany) {
		t.Errorf("fresh = %v", err)
	}
	if err := r.is.Ready(); err == nil {
		t.Error("ready without all early ends")
	}
}

func TestReadiness(t *testing.T) {
	r := newRig(t)
	if err := r.is.Ready(); err == nil {
		t.Error("ready before the early ends are loaded")
	}
	if err := r.is.early.fresh(t.Context(), r.engine.Revocations(), r.now()); err != nil {
		t.Fatal(err)
	}
	if err := r.is.Ready(); err != nil {
		t.Error(err)
	}
}
