package remote

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// departure is when one request began to be on its way. Whatever the server writes
// into its Date it writes later: the connection is there, and no byte was sent. It
// does so before its whole header has come, which is when the client returns; the
// first byte says nothing, for it may be of an answer before the answer.
type departure struct {
	now func() time.Time

	mu sync.Mutex
	at time.Time
}

// trace returns a context that notes the departure. A transport that tells
// nothing has that of the call.
func (d *departure) trace(ctx context.Context) context.Context {
	d.at = d.now()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { // again, if the request is repeated on another one
			d.mu.Lock()
			defer d.mu.Unlock()
			d.at = d.now()
		},
	})
}

func (d *departure) time() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
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
