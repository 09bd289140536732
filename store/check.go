package store

import (
	"fmt"
	"time"
)

// Bounds of what is kept beside Data, in bytes.
const (
	MaxText = 1 << 10 // Client, Subject, DocumentKind, Value of a revocation
	MaxKey  = 512     // Key of an entry
)

// Check reports why s may not be written at now: ErrTooLarge, ErrTooLate if its
// End lies beyond the bucket of its id, ErrEnded if its End has passed. Every
// engine asks it before a write.
func (s Session) Check(now time.Time) error {
	if len(s.Data) > MaxData || len(s.Client) > MaxText || len(s.Subject) > MaxText {
		return fmt.Errorf("session %s: %w", s.ID, ErrTooLarge)
	}
	return checkEnd("session", s.ID, s.End, now)
}

// Check reports why d may not be written at now, as Session.Check does.
func (d Document) Check(now time.Time) error {
	if len(d.Data) > MaxData || len(d.Kind) > MaxText {
		return fmt.Errorf("document %s: %w", d.ID, ErrTooLarge)
	}
	return checkEnd("document", d.ID, d.End, now)
}

func checkEnd(what string, id ID, end, now time.Time) error {
	switch {
	case end.After(id.Bucket()):
		return fmt.Errorf("%s %s: end %s: %w", what, id, end.UTC().Format(time.RFC3339), ErrTooLate)
	case !end.After(now):
		return fmt.Errorf("%s %s: end %s: %w", what, id, end.UTC().Format(time.RFC3339), ErrEnded)
	}
	return nil
}

// Check reports why m may not be made at now: ErrTooLate beyond MaxMark,
// ErrEnded if its bucket is over. A mark holds until its bucket is over, so one
// whose End has just passed is still a mark.
func (m Mark) Check(now time.Time) error {
	end := m.End.UTC().Format(time.RFC3339)
	switch {
	case m.End.After(now.Add(MaxMark)):
		return fmt.Errorf("mark %s: end %s: %w", m.Kind, end, ErrTooLate)
	case !Short.Bucket(m.End).After(now):
		return fmt.Errorf("mark %s: end %s: %w", m.Kind, end, ErrEnded)
	}
	return nil
}

// Check reports why r may not be added at now: ErrTooLarge, or ErrEnded if its
// End has passed.
func (r Revocation) Check(now time.Time) error {
	switch {
	case len(r.Value) > MaxText || len(r.Kind) > MaxText:
		return fmt.Errorf("revocation of a %.32s: %w", string(r.Kind), ErrTooLarge)
	case !r.End.After(now):
		return fmt.Errorf("revocation of %s %s: end %s: %w", r.Kind, r.Value, r.End.UTC().Format(time.RFC3339), ErrEnded)
	}
	return nil
}

// Bucket is the end of the bucket of a revocation added at now.
func (r Revocation) Bucket(now time.Time) time.Time {
	return ClassOf(r.End.Sub(now)).Bucket(r.End)
}

// Check reports ErrTooLarge if Key or Value is.
func (e Entry) Check() error {
	if len(e.Key) > MaxKey || len(e.Value) > MaxData {
		return fmt.Errorf("entry %.64q: %w", e.Key, ErrTooLarge)
	}
	return nil
}
