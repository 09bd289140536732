package issuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/longcase/longcase/store"
)

// The wire of the feed.
const (
	batch        = 1000             // entries
	writeTimeout = 10 * time.Second // for one batch to a slow follower
	maxCursor    = 1 << 10          // bytes
	eventStream  = "text/event-stream"
)

// serveFeed answers GET and POST /revocations with server-sent events: the live
// early ends, then new ones as they come. Last-Event-ID or since resumes.
func (is *Issuer) serveFeed(w http.ResponseWriter, r *http.Request) {
	c, since, refused := is.openFeed(w, r)
	if refused == nil && is.streams.Add(1) > maxStreams {
		is.streams.Add(-1)
		refused = refuse(temporarilyUnavailable, "too many feeds are open: try again later")
	}
	if refused != nil {
		is.refuseCall(w, r, c, refused)
		return
	}
	defer is.streams.Add(-1)
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventStream)
		noStore(w.Header())
		return
	}
	is.tell(r.Context(), is.cfg.Hooks.Followed, "feed opened", c.event)
	s := &stream{is: is, w: w, control: http.NewResponseController(w), client: c.client.ID, behind: since}
	if err := is.follow(r.Context(), since, s); err != nil && r.Context().Err() == nil && !errors.Is(err, errOver) {
		is.cfg.Log.LogAttrs(r.Context(), levelError, "a feed of revocations broke off", reasonOf(err))
		s.fail()
	}
}

// openFeed authenticates the follower: HTTP Basic for GET, any method of the
// token endpoint for POST.
func (is *Issuer) openFeed(w http.ResponseWriter, r *http.Request) (*call, store.Cursor, *refusal) {
	var c *call
	var refused *refusal
	if r.Method == http.MethodPost {
		c, refused = is.open(w, r, "revocations")
	} else {
		c, refused = is.openByHeader(r)
	}
	switch {
	case refused != nil:
		return c, "", refused
	case c.client.Authenticate == AuthNone, !c.client.Revocations:
		return c, "", refuse(accessDenied, "the client may not follow the revocations: set revocations: true for it")
	}
	since := r.Header.Get("Last-Event-ID")
	if since == "" {
		since = c.form.get("since")
	}
	if len(since) > maxCursor || strings.ContainsFunc(since, unicode.IsControl) {
		return c, "", refuse(invalidRequest, "since is no cursor of this feed: leave it out to begin at the beginning")
	}
	return c, store.Cursor(since), nil
}

// openByHeader takes credentials from nowhere but the Authorization header.
func (is *Issuer) openByHeader(r *http.Request) (*call, *refusal) {
	c := &call{now: is.cfg.Now(), event: Event{Endpoint: "revocations"}}
	var refused *refusal
	if c.form, refused = parseParameters(r.URL.RawQuery); refused != nil {
		return c, refused
	}
	cr, refused := readCredentials(r.Header, nil)
	if refused != nil {
		return c, refused
	}
	if c.client, refused = is.authenticate(r.Context(), cr, c.now); refused != nil {
		return c, refused
	}
	c.event.Client = c.client.ID
	return c, nil
}

// stream is one follower on the wire.
type stream struct {
	is      *Issuer
	w       http.ResponseWriter
	control *http.ResponseController
	client  string
	behind  store.Cursor // everything before it has been sent
	begun   bool
}

// entry is the data of one event; times are Unix seconds. Before is null but for
// clients and subjects.
type entry struct {
	Kind   store.RevocationKind `json:"kind"`
	Value  string               `json:"value"`
	Before *int64               `json:"before"`
	End    int64                `json:"end"`
}

// theBeginning is a cursor that no engine knows.
const theBeginning store.Cursor = "0"

// entries sends one batch. Its cursor lies behind the whole of it, so all but the
// last event resume before it: a stream that breaks repeats, and skips nothing.
func (s *stream) entries(_ context.Context, all []store.Revocation, at store.Cursor) error {
	for i, r := range all {
		if i%batch == 0 {
			s.begin()
		}
		e := entry{Kind: r.Kind, Value: r.Value, End: r.End.Unix()}
		if !r.Before.IsZero() {
			before := r.Before.Unix()
			e.Before = &before
		}
		if i == len(all)-1 {
			s.behind = at
		}
		if err := s.event(e); err != nil {
			return err
		}
	}
	return s.control.Flush()
}

func (s *stream) event(e entry) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.w, "id: %s\ndata: %s\n\n", cmp.Or(s.behind, theBeginning), body)
	return err
}

// live is the heartbeat: an event without data, which programs that only want
// the entries never see. A client that may follow no more hears it no more.
func (s *stream) live(ctx context.Context, at store.Cursor) error {
	switch c, known, err := s.is.lookUp(ctx, s.client); {
	case err != nil:
		return err
	case !known || !c.Revocations:
		return fmt.Errorf("client %q may not follow any more", s.client)
	}
	s.begin()
	s.behind = at
	if _, err := fmt.Fprintf(s.w, "id: %s\nevent: live\n\n", cmp.Or(at, theBeginning)); err != nil {
		return err
	}
	return s.control.Flush()
}

// begin writes the header once, and takes the server's deadlines off a stream
// that has no end.
func (s *stream) begin() {
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) //nolint:errcheck // not every writer has one
	if s.begun {
		return
	}
	s.begun = true
	s.control.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	h := s.w.Header()
	noStore(h)
	h.Set("Content-Type", eventStream)
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

// fail says 503 if nothing was said yet.
func (s *stream) fail() {
	if !s.begun {
		writeRefusal(s.w, unavailable("follow the revocations", nil))
	}
}
