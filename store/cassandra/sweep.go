package cassandra

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

// scanRows is how many rows one read brings: of 64 KiB each, a few megabytes,
// and few of those that ended since, each of which costs the server a little.
const scanRows = 100

// swept is one row of a table in the order of the hash of its key.
type swept struct {
	token int64
	key   []byte // tells rows of one token apart
	store.Record
}

// sweep reads a whole table in pages of the hash.
type sweep struct {
	stmt string // token first; bounds and limit are its arguments
	scan func(scan func(dest ...any) error) (swept, error)
}

// run calls visit with every row from the token from on. A stretch that is too
// much for the cluster, because it is full of what has ended, is halved.
func (s sweep) run(ctx context.Context, e *Engine, from int64, visit func(swept) error) error {
	for to := int64(math.MaxInt64); ; {
		rows, err := s.page(ctx, e, from, to)
		if tooMuch(err) && to-from != 1 && to != from {
			to = middle(from, to)
			continue
		}
		if err != nil {
			return err
		}
		next, more := to, to < math.MaxInt64
		if len(rows) == scanRows {
			if rows, err = whole(rows); err != nil {
				return err
			}
			next, more = rows[len(rows)-1].token, true
		}
		for _, one := range rows {
			if err := visitOwn(ctx, one, visit); err != nil {
				return err
			}
		}
		if !more || next == math.MaxInt64 {
			return nil
		}
		from, to = next+1, wider(from, to)
	}
}

// visitOwn leaves out what is not a record of this engine.
func visitOwn(ctx context.Context, one swept, visit func(swept) error) error {
	if err := ctx.Err(); err != nil || one.Record == (store.Record{}) {
		return err
	}
	return visit(one)
}

// whole cuts off the rows of the last token: there may be more of them on the
// next page.
func whole(rows []swept) ([]swept, error) {
	last := rows[len(rows)-1].token
	n := slices.IndexFunc(rows, func(one swept) bool { return one.token == last })
	if n == 0 {
		return nil, fmt.Errorf("%w: %d rows of one token", ErrCorrupt, len(rows))
	}
	return rows[:n], nil
}

// page reads the rows with tokens in [from, to], as many as one read brings.
func (s sweep) page(ctx context.Context, e *Engine, from, to int64) (rows []swept, err error) {
	q := e.session.Query(s.stmt, from, to, scanRows).Consistency(e.read).PageSize(scanRows)
	err = e.each(ctx, "read a table", q, func(scan func(...any) error) error {
		one, err := s.scan(scan)
		rows = append(rows, one)
		return err
	})
	slices.SortFunc(rows, func(a, b swept) int {
		return cmp.Or(cmp.Compare(a.token, b.token), bytes.Compare(a.key, b.key))
	})
	return rows, err
}

// tooMuch reports whether a shorter stretch may be read.
func tooMuch(err error) bool {
	var failure *gocql.RequestErrReadFailure
	var timeout *gocql.RequestErrReadTimeout
	return errors.As(err, &failure) || errors.As(err, &timeout)
}

func middle(from, to int64) int64 { return from + int64(uint64(to-from)/2) }

// wider is where the stretch behind [from, to] ends: four times as long.
func wider(from, to int64) int64 {
	width := uint64(to) - uint64(from)
	if left := uint64(math.MaxInt64) - uint64(to); width > left/4 {
		return math.MaxInt64
	}
	return to + int64(width*4)
}

// own strips what begins the keys of this engine from key; nil: it is another's.
func (e *Engine) own(key []byte) []byte {
	rest, ok := bytes.CutPrefix(key, e.space)
	if !ok || len(rest) != len(store.ID{}) {
		return nil
	}
	return rest
}

func (s sessions) sweep() sweep {
	return sweep{
		"SELECT token(id), id, gen, ended, about, data FROM sessions WHERE token(id) >= ? AND token(id) <= ? LIMIT ?",
		func(scan func(...any) error) (swept, error) {
			var one stored
			var token, gen int64
			var key []byte
			if err := scan(&token, &key, &gen, &one.Ended, &one.about, &one.Data); err != nil {
				return swept{}, err
			}
			id := s.e.own(key)
			if id == nil || one.about == nil {
				return swept{token: token, key: key}, nil
			}
			one.ID, one.Generation = store.ID(id), store.Generation(gen)
			err := one.fill()
			return swept{token, key, store.Record{Session: &one.Session}}, err
		},
	}
}

func (d documents) sweep() sweep {
	return sweep{
		"SELECT token(id, kind), id, kind, version, about, data FROM documents WHERE token(id, kind) >= ? AND token(id, kind) <= ? LIMIT ?",
		func(scan func(...any) error) (swept, error) {
			var one store.Document
			var token, version int64
			var key, kind, encoded []byte
			if err := scan(&token, &key, &kind, &version, &encoded, &one.Data); err != nil {
				return swept{}, err
			}
			found := swept{token: token, key: append(key[:len(key):len(key)], kind...)}
			id := d.e.own(key)
			if id == nil || encoded == nil {
				return found, nil
			}
			a, err := decodeAbout(encoded)
			one.Kind, one.ID, one.Version, one.End = store.DocumentKind(kind), store.ID(id), uint64(version), a.end
			found.Document = &one
			return found, err
		},
	}
}

func (m marks) sweep() sweep {
	return sweep{
		"SELECT token(id), id FROM marks WHERE token(id) >= ? AND token(id) <= ? LIMIT ?",
		func(scan func(...any) error) (swept, error) {
			var token int64
			var key []byte
			if err := scan(&token, &key); err != nil {
				return swept{}, err
			}
			found := swept{token: token, key: key}
			if own := m.e.own(key); own != nil {
				id := store.ID(own)
				found.Mark = &id
			}
			return found, nil
		},
	}
}
