package survey

import "strings"

// row is what the cells of one row say.
type row struct {
	token   int64
	written int64 // of the newest cell, microseconds
	left    int   // of the longest TTL, seconds
	cells   int
	endless int // cells without a TTL
}

// cells are TTL and write time of each column of a row, in pairs.
type cells struct {
	ttls  []*int
	times []*int64
}

func newCells(n int) cells { return cells{make([]*int, n), make([]*int64, n)} }

// into is where they are scanned to.
func (c cells) into() []any {
	var into []any
	for i := range c.ttls {
		into = append(into, &c.ttls[i], &c.times[i])
	}
	return into
}

func (c cells) row(token int64) row {
	w := row{token: token}
	for i, at := range c.times {
		if at == nil {
			continue // no such cell
		}
		w.cells++
		w.written = max(w.written, *at)
		if c.ttls[i] == nil {
			w.endless++
		} else {
			w.left = max(w.left, *c.ttls[i])
		}
	}
	return w
}

// token is the hash of the table's key, in CQL.
func (t *Table) token() string {
	keys := make([]string, len(t.key))
	for i, c := range t.key {
		keys[i] = quoted(c.name)
	}
	return "token(" + strings.Join(keys, ", ") + ")"
}
