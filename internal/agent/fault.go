package agent

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

const (
	maxWords = 600
	maxRetry = 5 * time.Minute
)

// unavailable is the refusal for a credential that cannot be had: 503, whatever
// the reason, since clients repeat it, and what is wrong for good today is put
// right by somebody else tomorrow. Retry-After is there where the layer says when.
func unavailable(name string, err error) (*refusal, [][2]string) {
	refused := no(http.StatusServiceUnavailable, ByUpstream, "%s", words(name, err))
	var e *fresh.Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 {
		return refused, nil
	}
	wait := min(e.RetryAfter, maxRetry)
	after := strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
	return refused, [][2]string{{"Retry-After", after}}
}

// words are an error as a client may read it: the layers from the outermost to
// the one at fault, the reason, and its detail. Other causes are for the log.
func words(name string, err error) string {
	said := []string{name}
	var detail string
	for rest := err; rest != nil; {
		var e *fresh.Error
		if !errors.As(rest, &e) {
			break
		}
		if e.Layer != "" && said[len(said)-1] != e.Layer {
			said = append(said, e.Layer)
		}
		detail = string(e.Reason)
		if e.Detail != "" {
			detail += ": " + e.Detail
		}
		rest = e.Err
	}
	switch {
	case detail != "":
	case errors.Is(err, render.ErrEnded):
		detail = "ended: a renewal did not come in time"
	default:
		detail = "unavailable: it did not come in time"
	}
	return oneLine(strings.Join(append(said, detail), ": "))
}

// oneLine keeps what prints, and not too much of it.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "") + "…"
	}
	return s
}
