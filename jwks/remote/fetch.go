package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/discovery"
	"github.com/longcase/longcase/jwks"
)

// The bounds of one fetch.
const (
	timeout     = 5 * time.Second // of each request
	rediscovery = time.Hour       // how long discovery's answer holds
	lostAgain   = 5 * time.Minute // between two tries of discovery while it fails and the keys do not
	usualAge    = 5 * time.Minute // of a set whose answer does not say
)

// fetcher gets one issuer's set. It belongs to one goroutine.
type fetcher struct {
	rules  rules
	client *http.Client
	now    func() time.Time
	stale  time.Duration // how long a place holds that discovery does not confirm
	dated  func(sent, received, date time.Time)

	url   string    // where the set is; empty: not known
	found time.Time // when discovery said so
	due   time.Time // when discovery is asked again
	body  []byte    // as last seen
}

// answer is a set that was fetched.
type answer struct {
	set     jwks.Set
	asked   time.Time     // before the request was sent
	age     time.Duration // how long it may be cached from then on
	changed bool          // it differs from the last one
	lost    error         // why discovery did not say where it is; the last place still answered
}

// get fetches the set, after discovery where that is due. When only discovery
// fails, the place it last named is asked.
func (f *fetcher) get(ctx context.Context) (answer, error) {
	if f.rules.keys != "" {
		return f.keys(ctx, f.rules.keys)
	}
	lost := f.find(ctx)
	if f.url == "" {
		return answer{}, lost
	}
	got, err := f.keys(ctx, f.url)
	if err != nil {
		f.due = time.Time{} // it may have moved
		return answer{}, errors.Join(err, lost)
	}
	got.lost = lost
	return got, nil
}

// find makes f.url the place that discovery names, where it is time to ask. The
// error says why it could not; the last place holds for a while.
func (f *fetcher) find(ctx context.Context) error {
	now := f.now()
	if now.Before(f.due) && now.Sub(f.found) < f.stale {
		return nil
	}
	url, err := f.discover(ctx)
	if err == nil {
		f.url, f.found, f.due = url, now, now.Add(rediscovery)
		return nil
	}
	f.due = now.Add(lostAgain)
	if now.Sub(f.found) >= f.stale {
		f.url = ""
	}
	return err
}

func (f *fetcher) keys(ctx context.Context, url string) (answer, error) {
	got := answer{asked: f.now()}
	body, header, err := f.read(ctx, url)
	if err != nil {
		return answer{}, err
	}
	got.set, err = jwks.Parse(body)
	if err != nil {
		return answer{}, fmt.Errorf("remote: %s: %w", url, err)
	}
	got.age = age(header)
	got.changed = !bytes.Equal(body, f.body)
	f.body = body
	return got, nil
}

// discover asks the issuer where its keys are, by the path rule of RFC 8414
// section 3.1 and then by OpenID Connect Discovery 1.0 section 4.
func (f *fetcher) discover(ctx context.Context) (string, error) {
	var errs []error
	for _, url := range f.rules.metadata {
		found, err := f.metadata(ctx, url)
		if err == nil {
			return found, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// metadata reads one metadata document. Its issuer must be the one it was asked
// for, byte for byte (RFC 8414 section 3.3).
func (f *fetcher) metadata(ctx context.Context, url string) (string, error) {
	body, _, err := f.read(ctx, url)
	if err != nil {
		return "", err
	}
	doc, err := discovery.Parse(body, f.rules.issuer)
	if err != nil {
		return "", fmt.Errorf("remote: %s: %w", url, err)
	}
	if err := f.rules.check(doc.Keys); err != nil {
		return "", fmt.Errorf("remote: %s: jwks_uri: %w", url, err)
	}
	return doc.Keys, nil
}

// read gets a JSON document, bounded in time and size.
func (f *fetcher) read(ctx context.Context, url string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	left := departure{now: f.now}
	req, err := http.NewRequestWithContext(left.trace(ctx), http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("remote: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := f.client.Do(req)
	received := f.now()
	if err != nil {
		return nil, nil, fmt.Errorf("remote: %w", err)
	}
	defer resp.Body.Close()
	if err := acceptable(resp); err != nil {
		return nil, nil, fmt.Errorf("remote: %s: %w", url, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, jwks.MaxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("remote: %s: %w", url, err)
	}
	if len(body) > jwks.MaxSize {
		return nil, nil, fmt.Errorf("remote: %s: the answer has more than %d bytes", url, jwks.MaxSize)
	}
	f.tellDate(resp.Header, left.time(), received)
	return body, resp.Header, nil
}

// acceptable refuses what cannot be a JSON document. Servers of static files send
// keys as text/plain, as bytes or without a type; a web page, XML or a picture is
// the answer of something else.
func acceptable(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	said := resp.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(said)
	switch kind {
	case "application/json", "text/json", "text/plain", "application/octet-stream", "binary/octet-stream":
		return nil
	case "text/html", "application/xhtml+xml":
		return fmt.Errorf("it answered a web page (%s), not JSON: check the URL", kind)
	}
	if said == "" || err == nil && strings.HasSuffix(kind, "+json") {
		return nil
	}
	return fmt.Errorf("it answered Content-Type %.80q, not JSON: check the URL", said)
}

// age is how long an answer may be cached (RFC 9111 sections 5.1 and 5.2.2).
func age(h http.Header) time.Duration {
	most, said := usualAge, false
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if s, ok := seconds(strings.Trim(value, `"`)); ok && !said {
				most, said = s, true
			}
		}
	}
	if spent, ok := seconds(h.Get("Age")); ok && said {
		most -= spent
	}
	return max(most, 0)
}

// seconds reads delta-seconds (RFC 9111 section 1.2.2), cut at a day.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return 24 * time.Hour, true
	}
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, 86400)) * time.Second, true
}
