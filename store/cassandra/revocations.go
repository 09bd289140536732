package cassandra

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

type revocations struct{ e *Engine }

const (
	insertRevocation = "INSERT INTO revocations (part, at, nonce, entry) VALUES (?, ?, ?, ?) USING TTL ?"
	listRevocations  = "SELECT part, at, nonce, entry FROM revocations WHERE part IN ? AND at >= ?"
)

const (
	feedSlow   = 10 * time.Second // an Add that took longer is written once more
	feedRepeat = 30 * time.Second // Since goes back so far: feedSlow, and how far the nodes' clocks may differ
	feedSkew   = time.Minute      // how far ahead of the clock a stamp is looked for
	feedParts  = 16               // asked for in one read
)

// span is where the revocations of one class lie: in partitions of a fixed width
// of the time when they were added, so that neither a look at the newest nor one
// at all that live reads much that has ended.
type span struct {
	class store.Class
	width time.Duration // 0: one partition for all
	life  time.Duration // how long one stays at most
}

func spans() []span {
	late := lateSeconds*time.Second + feedSkew
	return []span{
		{store.Short, 10 * time.Minute, time.Hour + time.Duration(store.Short) + late},
		{store.Medium, 6 * time.Hour, 48*time.Hour + time.Duration(store.Medium) + late},
		{class: store.Long}, // rare: revocations seldom outlive an access token
	}
}

func spanOf(c store.Class) span {
	for _, s := range spans() {
		if s.class == c {
			return s
		}
	}
	return span{class: store.Long}
}

// period numbers the partition of what is added at.
func (s span) period(at time.Time) int64 {
	if s.width == 0 {
		return 0
	}
	return at.Unix() / int64(s.width/time.Second)
}

// periods are those in which what was added in [from, to] and has not ended
// lies.
func (s span) periods(from, to time.Time) (all []int64) {
	if s.width == 0 {
		return []int64{0}
	}
	if first := to.Add(-s.life); from.Before(first) {
		from = first
	}
	for p := s.period(from); p <= s.period(to.Add(feedSkew)); p++ {
		all = append(all, p)
	}
	return all
}

// part is the partition of a period: class, then number.
func (r revocations) part(s span, period int64) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.class))
	return r.e.key(binary.BigEndian.AppendUint64(b, uint64(period)))
}

// classOf reads the class of a partition.
func (r revocations) classOf(part []byte) store.Class {
	if len(part) != len(r.e.space)+16 {
		return store.Long
	}
	return store.Class(binary.BigEndian.Uint64(part[len(r.e.space):]))
}

func (r revocations) Add(ctx context.Context, one store.Revocation) error {
	if err := r.e.door.Enter(ctx); err != nil {
		return err
	}
	defer r.e.door.Leave()
	return r.add(ctx, one, r.e.cfg.Now())
}

// add writes one until it took so short that no follower can have passed the
// place where it lies.
func (r revocations) add(ctx context.Context, one store.Revocation, now time.Time) error {
	if err := one.Check(now); err != nil {
		return err
	}
	bucket := one.Bucket(now)
	if err := r.e.retired.Check(bucket.Unix()); err != nil {
		return err
	}
	seconds, err := ttl(bucket, now)
	if err != nil {
		return fmt.Errorf("revocation of %s %s: %w", one.Kind, one.Value, err)
	}
	for began := time.Now(); ; began = time.Now() {
		err := r.insert(ctx, one, spanOf(store.ClassOf(one.End.Sub(now))), seconds)
		if err != nil || time.Since(began) < feedSlow {
			return err
		}
	}
}

func (r revocations) insert(ctx context.Context, one store.Revocation, s span, seconds int) error {
	at, err := r.e.clock(ctx)
	if err != nil {
		return err
	}
	if err := r.e.writable(ctx); err != nil { // last: what follows has its time from here
		return err
	}
	what := fmt.Sprintf("revocation of %s %s", one.Kind, one.Value)
	q := r.e.session.Query(insertRevocation, r.part(s, s.period(at)), at.UnixMilli(), int64(rand.Uint64()), encodeRevocation(one), seconds).Consistency(r.e.read)
	err = within(ctx, q.ExecContext)
	var tooFew *gocql.RequestErrUnavailable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooFew): // said before anything is written
		return fmt.Errorf("cassandra: write %s: %w: %w", what, store.ErrUnavailable, err)
	}
	if certain := writeError(what, err); certain != nil {
		return certain
	}
	return unknown(ctx, what, err)
}

func (r revocations) Since(ctx context.Context, c store.Cursor) ([]store.Revocation, store.Cursor, error) {
	if err := r.e.door.Enter(ctx); err != nil {
		return nil, "", err
	}
	defer r.e.door.Leave()
	now, err := r.e.clock(ctx) // before reading: what is read may be more
	if err != nil {
		return nil, "", err
	}
	var added []store.Revocation
	err = r.since(ctx, r.e.position(c, now).Add(-feedRepeat), now, func(one placed) error {
		added = append(added, one.Revocation)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return added, r.e.cursor(now), nil
}

func (e *Engine) cursor(at time.Time) store.Cursor {
	return store.Cursor(e.name + "." + strconv.FormatInt(at.UnixMilli(), 10))
}

// position reads a cursor; one of another store, or of a time that has not come,
// is the beginning.
func (e *Engine) position(c store.Cursor, now time.Time) time.Time {
	name, number, _ := strings.Cut(string(c), ".")
	n, err := strconv.ParseInt(number, 10, 64)
	at := time.UnixMilli(n)
	if err != nil || name != e.name || at.After(now.Add(feedSkew)) || at.Before(time.Unix(0, 0)) {
		return time.Unix(0, 0)
	}
	return at
}

// placed is a revocation and its place in the feed.
type placed struct {
	store.Revocation
	class     store.Class
	at, nonce int64
}

// since calls visit with what was added at from or later and is not below the
// watermark.
func (r revocations) since(ctx context.Context, from, now time.Time, visit func(placed) error) error {
	var parts [][]byte
	for _, s := range spans() {
		for _, p := range s.periods(from, now) {
			parts = append(parts, r.part(s, p))
		}
	}
	for len(parts) > 0 {
		n := min(len(parts), feedParts)
		if err := r.scan(ctx, parts[:n], from, visit); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

func (r revocations) scan(ctx context.Context, parts [][]byte, from time.Time, visit func(placed) error) error {
	q := r.e.session.Query(listRevocations, parts, from.UnixMilli()).Consistency(r.e.read).PageSize(scanRows)
	return r.e.each(ctx, "read the feed", q, func(scan func(...any) error) error {
		var one placed
		var part, entry []byte
		err := scan(&part, &one.at, &one.nonce, &entry)
		if err == nil {
			one.class = r.classOf(part)
			one.Revocation, err = decodeRevocation(entry)
		}
		if err != nil || r.e.retired.Gone(one.class.Bucket(one.End).Unix()) {
			return err
		}
		return visit(one)
	})
}
