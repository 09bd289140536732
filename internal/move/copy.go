package move

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/store"
)

const (
	tries    = 30      // of a call that fails for now
	maxBatch = 8 << 20 // bytes of Data between two saves of the place, one record more at most
)

// copy imports every record behind the page's place, a batch at a time: the
// place is written down only when all before it are in.
func (m *mover) copy(ctx context.Context) error {
	if m.page.Copied {
		return nil
	}
	b := batch{last: store.Place(m.page.Place)}
	var landed error // the target's, and not the source's
	err := m.Source.Export(ctx, b.last, func(r store.Record, at store.Place) error {
		b.take(r, at)
		if len(b.records) < m.SaveEach && b.bytes < maxBatch {
			return nil
		}
		landed = m.land(ctx, &b)
		return landed
	})
	switch {
	case landed != nil:
		return landed
	case err != nil:
		return fmt.Errorf("%s: %w", m.From, err)
	}
	m.page.Copied = true
	return m.land(ctx, &b)
}

// batch is what was exported and not imported yet.
type batch struct {
	records []store.Record
	bytes   int
	last    store.Place // behind the newest
}

func (b *batch) take(r store.Record, at store.Place) {
	b.last = at
	if isPage(r) {
		return
	}
	b.records = append(b.records, r)
	b.bytes += size(r)
}

// isPage reports whether r is what an earlier copy, of which the source was the
// target, wrote about itself.
func isPage(r store.Record) bool { return r.Entry != nil && r.Entry.Key == Key }

func size(r store.Record) int {
	switch {
	case r.Session != nil:
		return len(r.Session.Data)
	case r.Document != nil:
		return len(r.Document.Data)
	case r.Entry != nil:
		return len(r.Entry.Value)
	default:
		return 0
	}
}

// land imports b, writes down the place behind it and empties it.
func (m *mover) land(ctx context.Context, b *batch) error {
	all, own := errgroup.WithContext(ctx) // the first that fails is the last that is waited for
	all.SetLimit(m.Workers)
	for _, r := range b.records {
		if own.Err() != nil {
			break
		}
		all.Go(func() error { return m.importOne(own, r) })
	}
	if err := errors.Join(ctx.Err(), all.Wait()); err != nil {
		return err
	}
	for _, r := range b.records {
		m.page.Records.add(r)
	}
	m.page.Place = []byte(b.last)
	b.records, b.bytes = b.records[:0], 0
	m.Progress(Progress{Step: Copying, Records: m.page.Records})
	return m.save(ctx)
}

func (m *mover) importOne(ctx context.Context, r store.Record) error {
	err := m.patiently(ctx, func() error { return m.Target.Import(ctx, r) })
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%s: somebody else wrote %s: begin with an empty target: %w", m.To, r, err)
	}
	if err != nil {
		return fmt.Errorf("%s: import %s: %w", m.To, r, err)
	}
	return nil
}

// patiently repeats what may be repeated, while the engine says that it fails
// for now.
func (m *mover) patiently(ctx context.Context, call func() error) error {
	for try := 1; ; try++ {
		err := call()
		passes := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
		if !passes || try == tries || ctx.Err() != nil {
			return err
		}
		m.Wait(ctx, err)
	}
}
