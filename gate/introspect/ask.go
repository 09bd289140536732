package introspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

// maxBody is how large an answer may be.
const maxBody = 64 << 10

// answer is what the issuer said of a token, or why it could not be asked.
type answer struct {
	claims token.Claims
	err    *token.Error // nil: active
	lasts  bool         // it is the issuer's word
}

// refusal is err as an error that is nil where it is.
func (a answer) refusal() error {
	if a.err == nil {
		return nil
	}
	return a.err
}

// cannotAsk is the answer of nobody. why may be shown to the caller, err may
// not.
func cannotAsk(err error, why string, args ...any) answer {
	e := token.Refuse(token.KeysUnavailable, "the issuer's introspection endpoint cannot be asked: "+why, args...)
	e.Err = err
	return answer{err: e}
}

// ask waits for a turn and asks once.
func (s *Source) ask(ctx context.Context, raw string, now time.Time) answer {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return cannotAsk(ctx.Err(), "%d other questions are under way", s.cfg.Most)
	}
	req, err := s.request(ctx, raw, now)
	if err != nil {
		return cannotAsk(err, "this gate's own client cannot prove itself")
	}
	sent := s.cfg.Now()
	resp, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return cannotAsk(err, "it cannot be reached")
	}
	defer func() { _ = resp.Body.Close() }()
	s.dated(resp.Header, sent)
	return s.read(resp)
}

// request is the question (RFC 7662 section 2.1).
func (s *Source) request(ctx context.Context, raw string, now time.Time) (*http.Request, error) {
	header, form := http.Header{}, url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	if err := s.cfg.Client.Dress(header, form, now); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	header.Set("Accept", "application/json")
	if s.cfg.Client.Key == nil {
		header["Idempotency-Key"] = nil // sends nothing: net/http may repeat it where an old connection broke
	}
	req.Header = header
	return req, nil
}

// dated tells of the issuer's clock.
func (s *Source) dated(h http.Header, sent time.Time) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || h.Get("Age") != "" || s.cfg.Dated == nil {
		return
	}
	s.cfg.Dated(sent, s.cfg.Now(), date)
}

// read reads what the issuer says (RFC 7662 section 2.2). Nothing of it is
// believed unless all of it is clear.
func (s *Source) read(resp *http.Response) answer {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return cannotAsk(fmt.Errorf("introspect: %s refuses %s", s.cfg.URL, s.cfg.Client), "it refuses this gate's own client (%d); check its id, its secret or key, and its right to introspect", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return cannotAsk(fmt.Errorf("introspect: %s answered %d", s.cfg.URL, resp.StatusCode), "it answered %d", resp.StatusCode)
	case kind != "application/json":
		return cannotAsk(fmt.Errorf("introspect: %s answered %.80q", s.cfg.URL, kind), "it answered something other than application/json")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("introspect: %s answered more than %d bytes", s.cfg.URL, maxBody)
	}
	if err != nil {
		return cannotAsk(err, "its answer cannot be read")
	}
	a, err := parse(body)
	if err != nil {
		return cannotAsk(fmt.Errorf("introspect: %s: %w", s.cfg.URL, err), "its answer is not clear")
	}
	return a
}

// parse reads the body of an answer.
func parse(body []byte) (answer, error) {
	claims, err := token.ReadClaims(body)
	if err != nil {
		return answer{}, err
	}
	active, ok := claims.Member("active")
	switch {
	case ok && bytes.Equal(active, []byte("true")):
		return answer{claims: claims, lasts: true}, nil
	case ok && bytes.Equal(active, []byte("false")):
		return answer{err: token.Refuse(token.Revoked, "the issuer says that the token is not active: over, revoked or not its own"), lasts: true}, nil
	}
	return answer{}, errors.New(`"active" is not true or false`)
}
