package cassandra

import (
	"bytes"
	"context"
	"slices"

	"github.com/longcase/longcase/store"
)

// List keeps the lowest ids of what it reads: the whole table.
func (s sessions) List(ctx context.Context, after store.ID, limit int) ([]store.Session, error) {
	if err := s.e.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.e.door.Leave()
	now := s.e.cfg.Now()
	page := page{after: after, limit: max(limit, 0)}
	err := s.sweep().run(ctx, s.e, -1<<63, func(one swept) error {
		if one.Session.End.After(now) && !s.e.retired.Gone(one.Session.ID.Bucket().Unix()) {
			page.add(*one.Session)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	page.cut()
	return page.all, nil
}

// page is the lowest ids behind after: at most limit, twice that for a moment.
type page struct {
	after store.ID
	limit int
	all   []store.Session
	full  bool // all has been cut to limit: what lies behind its last is no longer wanted
	last  store.ID
}

func (p *page) add(one store.Session) {
	if bytes.Compare(one.ID[:], p.after[:]) <= 0 || p.full && bytes.Compare(one.ID[:], p.last[:]) > 0 {
		return
	}
	p.all = append(p.all, one)
	if len(p.all) >= 2*p.limit+scanRows {
		p.cut()
	}
}

func (p *page) cut() {
	slices.SortFunc(p.all, func(a, b store.Session) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if len(p.all) > p.limit {
		clear(p.all[p.limit:])
		p.all = p.all[:p.limit]
	}
	if p.full = len(p.all) == p.limit && p.limit > 0; p.full {
		p.last = p.all[p.limit-1].ID
	}
}
