package introspect

import (
	"container/list"
	"time"
)

// The bounds of what is kept.
const (
	maxKept  = 10_000
	maxBytes = 32 << 20
	overhead = 1 << 10 // of one answer, beside the token and the issuer's text
)

// shelf keeps answers for a short while, the latest ones where there are too
// many. It is not safe for concurrent use.
type shelf struct {
	keep  time.Duration
	kept  map[string]*list.Element // by the whole token
	order list.List                // of *book, oldest first
	bytes int
}

// book is an answer that is kept.
type book struct {
	raw    string
	answer answer
	asked  time.Time
}

func newShelf(keep time.Duration) shelf {
	return shelf{keep: keep, kept: map[string]*list.Element{}}
}

func (b *book) size() int {
	return len(b.raw) + 2*len(b.answer.claims.Raw) + overhead
}

// get returns the answer about raw that counts at now.
func (s *shelf) get(raw string, now time.Time) (answer, bool) {
	e, ok := s.kept[raw]
	if !ok {
		return answer{}, false
	}
	b := e.Value.(*book)
	if !s.counts(b, now) {
		s.drop(e)
		return answer{}, false
	}
	return b.answer, true
}

// counts reports whether b is of about now, and its token not over. A clock that
// was set back makes no answer young again.
func (s *shelf) counts(b *book, now time.Time) bool {
	age, end := now.Sub(b.asked), b.answer.claims.Expires
	return age < s.keep && age > -s.keep && (end.IsZero() || now.Before(end))
}

// put keeps what was asked at asked.
func (s *shelf) put(raw string, a answer, asked time.Time) {
	if s.keep <= 0 {
		return
	}
	if e, ok := s.kept[raw]; ok {
		s.drop(e)
	}
	b := &book{raw: raw, answer: a, asked: asked}
	s.kept[raw] = s.order.PushBack(b)
	s.bytes += b.size()
	for e := s.order.Front(); len(s.kept) > maxKept || s.bytes > maxBytes || !s.counts(e.Value.(*book), asked); e = s.order.Front() {
		s.drop(e)
		if s.order.Len() == 0 {
			return
		}
	}
}

func (s *shelf) drop(e *list.Element) {
	b := s.order.Remove(e).(*book)
	delete(s.kept, b.raw)
	s.bytes -= b.size()
}
