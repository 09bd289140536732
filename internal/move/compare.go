package move

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
)

// compare reads both stores whole and refuses a target that holds anything else
// than the source. What ended meanwhile is left out.
func (m *mover) compare(ctx context.Context) error {
	want, err := m.census(ctx, m.Source, m.From, Reading)
	if err != nil {
		return err
	}
	got, err := m.census(ctx, m.Target, m.To, Comparing)
	if err != nil {
		return err
	}
	if faults := differences(want, got, m.Now()); len(faults) > 0 {
		return fmt.Errorf("%w: %s; somebody wrote to it meanwhile: begin with an empty target", ErrDiffers, strings.Join(faults, ", "))
	}
	m.page.Compared = got.counts
	return nil
}

// span is the width of a group of records that are compared as one.
const span = int64(3 * time.Minute / time.Second)

// group is the records of a kind that end within one span.
type group struct {
	kind string
	last int64 // in Unix seconds: the latest end; 0: has none
}

// ends reports whether the group had begun to end at now.
func (g group) ends(now time.Time) bool { return g.last != 0 && g.last-span < now.Unix()+1 }

// sum stands for a set of records: their number, and the sum of their hashes.
type sum struct {
	records int64
	hashes  [4]uint64
}

func (s *sum) add(hash [sha256.Size]byte) {
	s.records++
	for i := range s.hashes {
		s.hashes[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
}

// census is what a store holds, in any order.
type census struct {
	counts      Counts
	groups      map[group]sum
	revocations map[group][][sha256.Size]byte // the feed may repeat itself: as a set
}

// census counts what s holds, beside the page of a copy.
func (m *mover) census(ctx context.Context, s store.Movable, called string, step Step) (census, error) {
	c := census{groups: map[group]sum{}, revocations: map[group][][sha256.Size]byte{}}
	err := s.Export(ctx, "", func(r store.Record, _ store.Place) error {
		if isPage(r) {
			return nil
		}
		c.take(r)
		if c.counts.Total()%int64(m.SaveEach) == 0 {
			m.Progress(Progress{Step: step, Records: c.counts})
		}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("%s: %w", called, err)
	}
	m.Progress(Progress{Step: step, Records: c.counts})
	c.fold()
	return c, nil
}

func (c *census) take(r store.Record) {
	c.counts.add(r)
	g, hash := groupOf(r), digest(r)
	if r.Revocation != nil {
		c.revocations[g] = append(c.revocations[g], hash)
		return
	}
	s := c.groups[g]
	s.add(hash)
	c.groups[g] = s
}

// fold sums up the revocations, each once.
func (c *census) fold() {
	for g, hashes := range c.revocations {
		slices.SortFunc(hashes, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
		var s sum
		for _, hash := range slices.Compact(hashes) {
			s.add(hash)
		}
		c.groups[g] = s
	}
	c.revocations = nil
}

// differences says what differs, by kind, among that which had not begun to end
// at now.
func differences(want, got census, now time.Time) []string {
	wrong := map[string][2]int64{}
	seen := func(g group) {
		if want.groups[g] == got.groups[g] || g.ends(now) {
			return
		}
		n := wrong[g.kind]
		wrong[g.kind] = [2]int64{n[0] + want.groups[g].records, n[1] + got.groups[g].records}
	}
	for g := range want.groups {
		seen(g)
	}
	for g := range got.groups {
		if _, both := want.groups[g]; !both {
			seen(g)
		}
	}
	var faults []string
	for kind, n := range wrong {
		faults = append(faults, fmt.Sprintf("%s (among %d of the source and %d of the target)", kind, n[0], n[1]))
	}
	slices.Sort(faults)
	return faults
}

func groupOf(r store.Record) group {
	switch {
	case r.Session != nil:
		return ending("sessions", r.Session.End)
	case r.Document != nil:
		return ending("documents", r.Document.End)
	case r.Mark != nil:
		return ending("marks", r.Mark.Bucket())
	case r.Revocation != nil:
		return ending("revocations", r.Revocation.End)
	default:
		return group{kind: "entries"}
	}
}

func ending(kind string, end time.Time) group {
	return group{kind: kind, last: (end.Unix() + span - 1) / span * span}
}

// digest is the hash of everything that a record says.
func digest(r store.Record) [sha256.Size]byte {
	var w writer
	switch {
	case r.Session != nil:
		w.session(*r.Session)
	case r.Document != nil:
		w.document(*r.Document)
	case r.Mark != nil:
		w.text(r.Mark.String())
	case r.Revocation != nil:
		w.revocation(*r.Revocation)
	case r.Entry != nil:
		w.entry(*r.Entry)
	}
	return sha256.Sum256(w)
}

// writer spells records so that no two are spelt alike.
type writer []byte

func (w *writer) number(n uint64) { *w = binary.BigEndian.AppendUint64(*w, n) }

func (w *writer) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *writer) time(t time.Time) {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	w.number(uint64(t.Unix()))
}

func (w *writer) bool(b bool) { w.text(fmt.Sprint(b)) }

func (w *writer) session(s store.Session) {
	w.text(s.ID.String())
	w.time(s.End)
	w.number(uint64(s.Generation))
	w.bool(s.Ended)
	w.text(s.Client)
	w.text(s.Subject)
	w.text(string(s.Data))
}

func (w *writer) document(d store.Document) {
	w.text(string(d.Kind))
	w.text(d.ID.String())
	w.time(d.End)
	w.number(d.Version)
	w.text(string(d.Data))
}

func (w *writer) revocation(r store.Revocation) {
	w.text(string(r.Kind))
	w.text(r.Value)
	w.time(r.Before)
	w.time(r.End)
}

func (w *writer) entry(e store.Entry) {
	w.text(e.Key)
	w.number(e.Version)
	w.bool(e.Value == nil)
	w.text(string(e.Value))
}
