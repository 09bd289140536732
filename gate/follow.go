package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/clientauth"
	"github.com/longcase/longcase/token"
)

// Follow says how to follow an issuer's feed of early ends over HTTP. The
// client authenticates with its Secret or with its Key.
type Follow struct {
	Issuer   string           // issuer identifier; the audience of an assertion
	URL      string           // of the feed; default Issuer + "/revocations"
	ClientID string           // needs the right to follow
	Secret   string           // client_secret_basic
	Key      *token.Signer    // private_key_jwt, RFC 7523
	Idle     time.Duration    // silence after which the connection is given up; default 6 s
	Client   *http.Client     // default: one of its own; redirects are never followed
	Now      func() time.Time // default time.Now; dates assertions
}

// follower is a feed over server-sent events. It remembers its cursor from one
// connection to the next.
type follower struct {
	cfg    Follow
	cursor string
}

const (
	defaultIdle   = 6 * time.Second // three missed heartbeats
	headersWithin = 5 * time.Second
)

// NewFollower checks cfg and returns the feed. It does no I/O. The error names
// every field that is wrong, and no secret.
func NewFollower(cfg Follow) (Feed, error) {
	if cfg.URL == "" {
		cfg.URL = strings.TrimSuffix(cfg.Issuer, "/") + "/revocations"
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Client = streamingClient(cfg.Client)
	f := &follower{cfg: cfg}
	return f.follow, nil
}

func (cfg Follow) check() error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("gate: follow: "+format, args...)) }
	if cfg.Issuer == "" {
		add("issuer: required")
	}
	switch u, err := url.Parse(cfg.URL); {
	case err != nil:
		add("url: not a URL")
	case u.Host == "", u.Scheme != "https" && (u.Scheme != "http" || !token.Loopback(u.Hostname())):
		add("url: %q is neither https nor http on a loopback host", u.Redacted())
	case u.User != nil:
		add("url: %q: no user; the client proves itself by secret or key", u.Redacted())
	}
	if cfg.ClientID == "" {
		add("client: required; the feed is for clients with revocations: true")
	}
	if (cfg.Secret == "") == (cfg.Key == nil) {
		add("secret or key: exactly one of the two")
	}
	if cfg.Idle < time.Second {
		add("idle: %s is under 1s", cfg.Idle)
	}
	return errors.Join(wrong...)
}

// streamingClient is c without a limit on the whole exchange and without
// redirects, which would carry the credentials elsewhere.
func streamingClient(c *http.Client) *http.Client {
	stream := &http.Client{}
	if c != nil {
		*stream = *c
	}
	if stream.Transport == nil {
		t := newTransport()
		t.ResponseHeaderTimeout = headersWithin
		stream.Transport = t
	}
	stream.Timeout = 0
	stream.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return stream
}

// follow is a Feed.
func (f *follower) follow(ctx context.Context, apply func(Event), live func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(f.cfg.Idle, func() { cancel(fmt.Errorf("gate: feed: silent for %s", f.cfg.Idle)) })
	defer idle.Stop()
	resp, err := f.open(ctx)
	if err != nil {
		return firstCause(ctx, err)
	}
	defer resp.Body.Close()
	events := newEventReader(resp.Body, func() { idle.Reset(f.cfg.Idle) })
	for {
		m, err := events.next()
		if err != nil {
			return firstCause(ctx, err)
		}
		if err := f.hand(ctx, m, apply, live); err != nil {
			return err
		}
	}
}

// firstCause prefers why we gave up over the read error that followed.
func firstCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("gate: feed: %w", err)
}

// hand passes one message on. The cursor moves only once the event is taken.
func (f *follower) hand(ctx context.Context, m message, apply func(Event), live func()) error {
	switch m.event {
	case "live":
		live()
	case "", "message":
		e, err := parseEvent(m.data)
		if err != nil {
			return err
		}
		apply(e)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if m.id != "" {
		f.cursor = m.id
	}
	return nil
}

func parseEvent(data []byte) (Event, error) {
	var wire struct {
		Kind   EventKind `json:"kind"`
		Value  string    `json:"value"`
		Before int64     `json:"before"`
		End    int64     `json:"end"`
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return Event{}, fmt.Errorf("gate: feed: event is not understood: %w", err)
	}
	return Event{Kind: wire.Kind, Value: wire.Value, Before: unix(wire.Before), End: unix(wire.End)}, nil
}

func unix(s int64) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// open asks for the feed from the cursor on.
func (f *follower) open(ctx context.Context) (*http.Response, error) {
	req, err := f.request(ctx)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	resp, err := f.cfg.Client.Do(req)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answered %s, type %q%s", f.cfg.URL, resp.Status, kind, f.hint(resp.StatusCode))
	}
	return resp, nil
}

// hint says what may be wrong behind a status.
func (f *follower) hint(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return fmt.Sprintf(": it does not know client %s by this secret or key", f.cfg.ClientID)
	case http.StatusForbidden:
		return fmt.Sprintf(": does client %s have revocations: true?", f.cfg.ClientID)
	}
	return ""
}

// request asks by GET where the proof is in the header, else with a form.
func (f *follower) request(ctx context.Context) (*http.Request, error) {
	client, header, form := f.cfg.client(), http.Header{}, url.Values{}
	if err := client.Dress(header, form, f.cfg.Now()); err != nil {
		return nil, err
	}
	method := http.MethodGet
	if client.InForm() {
		method = http.MethodPost
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		if f.cursor != "" {
			form.Set("since", f.cursor)
		}
	} else if f.cursor != "" {
		header.Set("Last-Event-ID", f.cursor)
	}
	req, err := http.NewRequestWithContext(ctx, method, f.cfg.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

// client is how the follower proves itself.
func (cfg Follow) client() clientauth.Config {
	return clientauth.Config{ClientID: cfg.ClientID, Secret: cfg.Secret, Key: cfg.Key, Audience: cfg.Issuer}
}
