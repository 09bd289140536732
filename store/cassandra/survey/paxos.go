package survey

import (
	"context"
	"math"
	"math/rand/v2"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// paxosRows bounds how many rows of system.paxos are read on one node.
const paxosRows = 2000

// paxos estimates how many rows of system.paxos belong to each table, on the
// first node that answers. A row stays for max(3 h, gc_grace_seconds) after the
// last lightweight transaction on its partition.
func (r *reader) paxos(ctx context.Context) {
	for _, n := range r.out.Nodes {
		if !n.Reached {
			continue
		}
		of, share, err := r.paxosOf(ctx, n.id)
		if err != nil {
			r.gap("state of lightweight transactions (system.paxos)", err, r.allow("system.paxos"))
			return
		}
		for i := range r.out.Tables {
			t := &r.out.Tables[i]
			t.PaxosRows = int64(math.Round(float64(of[t.ID]) / share))
		}
		return
	}
}

// paxosOf counts rows by table behind a random place of the ring, and says
// which share of the ring they came from.
func (r *reader) paxosOf(ctx context.Context, id string) (of map[string]int, share float64, err error) {
	begin := int64(math.MinInt64)
	of, last, n, err := r.paxosFrom(ctx, id, begin)
	if err != nil || n < paxosRows {
		return of, 1, err
	}
	if share = span(begin, last) / math.Exp2(64); share > 0.1 {
		return of, share, nil
	}
	begin = rand.Int64N(math.MaxInt64 / 2) //nolint:gosec // a place to look at, no secret
	if of, last, n, err = r.paxosFrom(ctx, id, begin); n < paxosRows {
		last = math.MaxInt64
	}
	return of, span(begin, last) / math.Exp2(64), err
}

func (r *reader) paxosFrom(ctx context.Context, id string, begin int64) (of map[string]int, last int64, n int, err error) {
	of = map[string]int{}
	_, err = r.each(ctx, id, "SELECT token(row_key), cf_id FROM system.paxos WHERE token(row_key) > ? LIMIT ?", []any{begin, paxosRows},
		func(scan func(...any) error) error {
			var table gocql.UUID
			if err := scan(&last, &table); err != nil {
				return err
			}
			n++
			of[table.String()]++
			return nil
		})
	return of, last, n, err
}
