package cassandra

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
)

// errBadPlace says that a text is not a place of this engine.
var errBadPlace = errors.New("cassandra: not a place in an export of this engine")

// A place is a letter for the table, then where in it: a token and a key, or
// what takes their place.
type place struct {
	table byte
	token int64
	key   []byte
}

// tables is the order of an export.
const tables = "sdmre"

func (p place) String() string {
	return fmt.Sprintf("%c.%d.%x", p.table, p.token, p.key)
}

func parsePlace(text store.Place) (place, error) {
	if text == "" {
		return place{}, nil
	}
	parts := strings.Split(string(text), ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains(tables, parts[0]) {
		return place{}, fmt.Errorf("%w: %.64q", errBadPlace, string(text))
	}
	token, err := strconv.ParseInt(parts[1], 10, 64)
	key, keyErr := hex.DecodeString(parts[2])
	p := place{parts[0][0], token, key}
	if errors.Join(err, keyErr) != nil || p.String() != string(text) {
		return place{}, fmt.Errorf("%w: %.64q", errBadPlace, string(text))
	}
	return p, nil
}

// compare orders places of one table.
func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.token, o.token), bytes.Compare(p.key, o.key))
}

// export is one run of Export.
type export struct {
	e     *Engine
	now   time.Time
	after place
	visit func(store.Record, store.Place) error
}

// Export implements store.Movable.
func (e *Engine) Export(ctx context.Context, after store.Place, visit func(store.Record, store.Place) error) error {
	if err := e.door.Enter(ctx); err != nil {
		return err
	}
	defer e.door.Leave()
	from, err := parsePlace(after)
	if err != nil {
		return err
	}
	x := export{e, e.cfg.Now(), from, visit}
	first := max(strings.IndexByte(tables, from.table), 0)
	for _, table := range []byte(tables[first:]) {
		if err := x.table(ctx, table); err != nil {
			return err
		}
		x.after = place{}
	}
	return nil
}

func (x export) table(ctx context.Context, table byte) error {
	switch table {
	case 'r':
		return x.feed(ctx)
	case 'e':
		return x.entries(ctx)
	}
	s := map[byte]sweep{'s': sessions{x.e}.sweep(), 'd': documents{x.e}.sweep(), 'm': marks{x.e}.sweep()}[table]
	return s.run(ctx, x.e, x.from(), func(one swept) error {
		return x.show(ctx, one.Record, place{table, one.token, one.key})
	})
}

// from is the token to go on at: a token may have several rows.
func (x export) from() int64 {
	if x.after.table == 0 {
		return -1 << 63
	}
	return x.after.token
}

// show visits a record unless it is over or lies before the place to begin at.
func (x export) show(ctx context.Context, r store.Record, at place) error {
	if x.after.table != 0 && at.compare(x.after) <= 0 || x.over(r) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return x.visit(r, store.Place(at.String()))
}

func (x export) over(r store.Record) bool {
	switch {
	case r.Session != nil:
		return !r.Session.End.After(x.now) || x.e.retired.Gone(r.Session.ID.Bucket().Unix())
	case r.Document != nil:
		return !r.Document.End.After(x.now) || x.e.retired.Gone(r.Document.ID.Bucket().Unix())
	case r.Mark != nil:
		return !r.Mark.Bucket().After(x.now) || x.e.retired.Gone(r.Mark.Bucket().Unix())
	case r.Revocation != nil:
		return !r.Revocation.End.After(x.now)
	}
	return false
}

// feed shows the revocations, whose order is that of their adding.
func (x export) feed(ctx context.Context) error {
	now, err := x.e.clock(ctx)
	if err != nil {
		return err
	}
	var all []swept
	err = revocations{x.e}.since(ctx, time.Unix(0, 0), now, func(one placed) error {
		key := fmt.Appendf(nil, "%d %d", one.class, one.nonce)
		all = append(all, swept{one.at, key, store.Record{Revocation: &one.Revocation}})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b swept) int { return place{'r', a.token, a.key}.compare(place{'r', b.token, b.key}) })
	for _, one := range all {
		if err := x.show(ctx, one.Record, place{'r', one.token, one.key}); err != nil {
			return err
		}
	}
	return nil
}

// entries shows the registry, whose order is that of its keys.
func (x export) entries(ctx context.Context) error {
	r := registry{x.e}
	return r.scan(ctx, r.e.session.Query(listEntries, r.part(), notNull(x.after.key)), func(one store.Entry) error {
		return x.show(ctx, store.Record{Entry: &one}, place{'e', 0, []byte(one.Key)})
	})
}
