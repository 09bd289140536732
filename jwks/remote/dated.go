package remote

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// exchange is when one request was on its way. Its clock reads enclose the
// instant at which the server wrote its Date, as closely as this side can tell:
// from when the connection was there, before a byte was sent, to when the first
// byte had come.
type exchange struct {
	now func() time.Time

	mu             sync.Mutex
	sent, received time.Time
}

// trace returns a context that notes the exchange's instants. A transport that
// tells nothing has the whole call's.
func (x *exchange) trace(ctx context.Context) context.Context {
	x.sent = x.now()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { // again, if the request is repeated on another one
			x.mu.Lock()
			defer x.mu.Unlock()
			x.sent, x.received = x.now(), time.Time{}
		},
		GotFirstResponseByte: func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.received = x.now()
		},
	})
}

// between returns the instants of the answer that was just got.
func (x *exchange) between() (sent, received time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.received.IsZero() {
		x.received = x.now()
	}
	return x.sent, x.received
}

// tellDate passes on the Date of an answer that comes from its server itself. It
// is the word of whoever answers: of a proxy before the issuer, the proxy's.
func (f *fetcher) tellDate(h http.Header, sent, received time.Time) {
	if f.dated == nil || cached(h) {
		return
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		f.dated(sent, received, date)
	}
}

// cached reports whether a cache kept the answer: RFC 9111 section 5.1 has each
// say so by Age; RFC 9211 and habit know other words.
func cached(h http.Header) bool {
	if len(h.Values("Age")) > 0 {
		return true
	}
	for _, name := range []string{"Cache-Status", "X-Cache", "X-Cache-Status", "Cf-Cache-Status", "X-Proxy-Cache"} {
		for _, value := range h.Values(name) {
			value = strings.ToLower(value)
			if strings.Contains(value, "hit") || strings.Contains(value, "stale") || strings.Contains(value, "revalidated") {
				return true
			}
		}
	}
	return false
}
