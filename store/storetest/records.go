package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longcase/longcase/store"
)

func documentFacts() []fact {
	return []fact{
		{name: "a document is put once and read as it was put", check: documentPut},
		{name: "a document is replaced from its version only", check: documentReplace},
		{name: "a document ends", check: documentEnds},
		{name: "a document that is too large or outlives its bucket is refused", check: documentBounds},
		{name: "of 64 uses of one document one wins", check: oneUseWins},
	}
}

func (s *subject) wantDocument(want store.Document) {
	s.Helper()
	got, err := s.Documents().Get(s.Context(), want.Kind, want.ID)
	s.must(err)
	if got.Kind != want.Kind || got.ID != want.ID || !got.End.Equal(want.End) || got.Version != want.Version || string(got.Data) != string(want.Data) {
		s.Errorf("Get = %+v, want %+v", got, want)
	}
}

func documentPut(s *subject) {
	doc := s.document(store.Code, time.Minute)
	doc.Version = 9 // 1 at Put, whatever it says
	s.must(s.Documents().Put(s.Context(), doc))
	s.want("second Put", s.Documents().Put(s.Context(), doc), store.ErrConflict)
	doc.Version = 1
	s.wantDocument(doc)
	_, err := s.Documents().Get(s.Context(), store.Login, doc.ID)
	s.want("Get of another kind", err, store.ErrNotFound)
	login := doc
	login.Kind, login.Data = store.Login, []byte("login")
	s.must(s.Documents().Put(s.Context(), login))
	s.wantDocument(doc)
	s.wantDocument(login)
}

func documentBounds(s *subject) {
	doc := s.document(store.DocumentKind(strings.Repeat("k", store.MaxText)), time.Minute)
	doc.Data = bytes.Repeat([]byte{'d'}, store.MaxData)
	large, kind, late := doc, doc, doc
	large.Data = append(doc.Data, 'd')
	kind.Kind += "k"
	late.End = doc.ID.Bucket().Add(time.Second)
	s.want("Put of large data", s.Documents().Put(s.Context(), large), store.ErrTooLarge)
	s.want("Put of a large kind", s.Documents().Put(s.Context(), kind), store.ErrTooLarge)
	s.want("Put beyond the bucket", s.Documents().Put(s.Context(), late), store.ErrTooLate)
	s.must(s.Documents().Put(s.Context(), doc))
	doc.Version = 1
	s.wantDocument(doc)
	s.want("Replace with large data", s.Documents().Replace(s.Context(), large, 1), store.ErrTooLarge)
	s.must(s.Documents().Replace(s.Context(), doc, 1))
}

func documentReplace(s *subject) {
	doc := s.document(store.Code, time.Minute)
	s.want("Replace of none", s.Documents().Replace(s.Context(), doc, 0), store.ErrConflict)
	s.must(s.Documents().Put(s.Context(), doc))
	used := doc
	used.Data, used.Version, used.End = []byte("used"), 77, doc.End.Add(-time.Second)
	s.must(s.Documents().Replace(s.Context(), used, 1))
	doc.Data, doc.Version = used.Data, 2
	s.wantDocument(doc)
	for _, old := range []uint64{0, 1, 3} {
		used.Data = []byte("again")
		s.want(fmt.Sprint("Replace of version ", old), s.Documents().Replace(s.Context(), used, old), store.ErrConflict)
	}
	s.wantDocument(doc)
}

func documentEnds(s *subject) {
	doc := s.document(store.Code, time.Minute)
	s.must(s.Documents().Put(s.Context(), doc))
	s.clock.set(doc.End.Add(-time.Second))
	doc.Version = 1
	s.wantDocument(doc)
	s.clock.set(doc.End)
	_, err := s.Documents().Get(s.Context(), doc.Kind, doc.ID)
	s.want("Get at the end", err, store.ErrNotFound)
	longer := doc
	longer.End = doc.ID.Bucket()
	s.want("Replace at the end", s.Documents().Replace(s.Context(), longer, 1), store.ErrEnded)
	s.want("Put at the end", s.Documents().Put(s.Context(), doc), store.ErrEnded)
}

func oneUseWins(s *subject) {
	for range Count(400) {
		doc := s.document(store.Code, time.Minute)
		s.must(s.Documents().Put(s.Context(), doc))
		won := together(64, func(int) bool {
			err := s.Documents().Replace(s.Context(), doc, 1)
			if err != nil && !errors.Is(err, store.ErrConflict) {
				s.Errorf("Replace = %v, want ErrConflict or none", err)
			}
			return err == nil
		})
		if won != 1 {
			s.Fatalf("%d of 64 uses won, want 1", won)
		}
	}
}

func markFacts() []fact {
	return []fact{
		{name: "a mark is first once", check: markOnce},
		{name: "a mark's end is bounded, not clipped", check: markBounds},
		{name: "of 64 first uses one is first", check: oneIsFirst},
		{name: "a full store refuses and evicts no live mark", check: marksFull, counts: true},
	}
}

func (s *subject) wantFirst(m store.Mark, want bool) {
	s.Helper()
	got, err := s.Marks().First(s.Context(), m)
	s.must(err)
	if got != want {
		s.Errorf("First(%+v) = %v, want %v", m, got, want)
	}
}

func markOnce(s *subject) {
	end := s.now().Add(time.Hour)
	marks := []store.Mark{
		{Kind: "assertion", Scope: "a", Value: "bc", End: end},
		{Kind: "assertion", Scope: "ab", Value: "c", End: end},
		{Kind: "assertion", Scope: "abc", End: end},
		{Kind: "dpop", Scope: "a", Value: "bc", End: end},
		{Kind: "assertion", Scope: "a", Value: strings.Repeat("x", 20_000), End: end},
	}
	for _, m := range marks {
		s.wantFirst(m, true)
	}
	for _, m := range marks {
		s.wantFirst(m, false)
	}
	s.clock.set(store.Short.Bucket(end).Add(-time.Second))
	s.wantFirst(marks[0], false) // its end has passed, its bucket has not
}

func markBounds(s *subject) {
	s.wantFirst(s.mark("at the bound", store.MaxMark), true)
	_, err := s.Marks().First(s.Context(), s.mark("beyond", store.MaxMark+time.Second))
	s.want("First beyond the bound", err, store.ErrTooLate)
	m := s.mark("over", time.Minute)
	s.clock.set(store.Short.Bucket(m.End))
	_, err = s.Marks().First(s.Context(), m)
	s.want("First in a bucket that is over", err, store.ErrEnded)
}

func oneIsFirst(s *subject) {
	for round := range min(Count(400), maxMarks/2) {
		m := s.mark(fmt.Sprint(round), time.Minute)
		first := together(64, func(int) bool {
			ok, err := s.Marks().First(s.Context(), m)
			s.want("First", err, nil)
			return ok
		})
		if first != 1 {
			s.Fatalf("%d of 64 were first, want 1", first)
		}
	}
}

func marksFull(s *subject) {
	for i := range maxMarks {
		s.wantFirst(s.mark(fmt.Sprint(i), time.Minute), true)
	}
	_, err := s.Marks().First(s.Context(), s.mark("one more", time.Minute))
	s.want("First in a full store", err, store.ErrFull)
	_, err = s.Marks().First(s.Context(), s.mark("one more later", time.Hour))
	s.want("First in a full store", err, store.ErrFull)
	for i := range maxMarks {
		s.wantFirst(s.mark(fmt.Sprint(i), time.Minute), false)
	}
	s.advance(10 * time.Minute) // the bucket is over, retired or not
	s.wantFirst(s.mark("one more", time.Minute), true)
}

func revocationFacts() []fact {
	return []fact{
		{name: "a revocation is seen as it was added", check: revocationSeen},
		{name: "a cursor goes on where it was", check: revocationCursor},
		{name: "a cursor of another engine is the beginning", check: revocationForeignCursor},
		{name: "a revocation is seen until it is retired, over or not", check: revocationUntilRetired},
		{name: "a clock that leaps ahead and back hides no revocation", check: revocationLeap},
		{name: "a follower may see twice and never misses", check: followerNeverMisses},
	}
}

// follow reads what came after c and returns the values.
func (s *subject) follow(c store.Cursor) ([]string, store.Cursor) {
	s.Helper()
	all, next, err := s.Revocations().Since(s.Context(), c)
	s.must(err)
	var values []string
	for _, r := range all {
		values = append(values, r.Value)
	}
	return values, next
}

func (s *subject) add(value string, life time.Duration) {
	s.Helper()
	s.must(s.Revocations().Add(s.Context(), s.revocation(value, life)))
}

func revocationSeen(s *subject) {
	want := []store.Revocation{
		{Kind: store.RevokedToken, Value: "jti", End: s.now().Add(15 * time.Minute)},
		{Kind: store.RevokedSubject, Value: "alice", Before: s.now().Add(-time.Millisecond), End: s.now().Add(30 * time.Hour)},
		{Kind: store.RevokedKey, Value: "", End: s.now().Add(90 * 24 * time.Hour)},
	}
	for _, r := range want {
		s.must(s.Revocations().Add(s.Context(), r))
	}
	got, _, err := s.Revocations().Since(s.Context(), "")
	s.must(err)
	for _, r := range want {
		if !slices.ContainsFunc(got, func(g store.Revocation) bool {
			return g.Kind == r.Kind && g.Value == r.Value && g.Before.Equal(r.Before) && g.End.Equal(r.End)
		}) {
			s.Errorf("Since = %+v, %+v is missing", got, r)
		}
	}
	large := s.revocation(strings.Repeat("x", store.MaxText), time.Hour)
	s.must(s.Revocations().Add(s.Context(), large))
	large.Value += "x"
	s.want("Add of a large value", s.Revocations().Add(s.Context(), large), store.ErrTooLarge)
	large.Value, large.Kind = "x", store.RevocationKind(large.Value)
	s.want("Add of a large kind", s.Revocations().Add(s.Context(), large), store.ErrTooLarge)
}

func revocationCursor(s *subject) {
	s.add("a", 80*time.Hour)
	s.add("b", 20*time.Minute)
	_, c := s.follow("")
	for _, value := range []string{"c", "d"} {
		s.add(value, time.Duration(len(value))*30*time.Minute)
		var got []string
		if got, c = s.follow(c); !slices.Contains(got, value) {
			s.Errorf("after %q was added the feed brought %q", value, got)
		}
	}
	if all, _ := s.follow(""); len(all) != 4 {
		s.Errorf("the whole feed has %q, want 4", all)
	}
}

func revocationForeignCursor(s *subject) {
	other := newSubject(s.TB, s.open, s.traits)
	for i := range 5 {
		other.add(fmt.Sprint(i), time.Hour)
	}
	_, foreign := other.follow("")
	s.add("ours", time.Hour)
	for _, c := range []store.Cursor{foreign, "?", "zz.1", store.Cursor(strings.Repeat("9", 100))} {
		if got, _ := s.follow(c); !slices.Contains(got, "ours") {
			s.Errorf("Since(%q) = %q, want all", c, got)
		}
	}
}

func revocationUntilRetired(s *subject) {
	r := s.revocation("short", time.Minute)
	s.must(s.Revocations().Add(s.Context(), r))
	s.add("long", time.Hour)
	s.clock.set(r.End)
	s.want("Add of what has ended", s.Revocations().Add(s.Context(), r), store.ErrEnded)
	s.clock.set(r.Bucket(s.now()).Add(time.Minute))
	if got, _ := s.follow(""); !slices.Contains(got, "short") {
		s.Errorf("Since = %q; what is over but not retired is missing", got)
	}
	s.retire(s.now())
	if got, _ := s.follow(""); !slices.Equal(got, []string{"long"}) {
		s.Errorf("Since = %q, want only what is not retired", got)
	}
}

// revocationLeap is a follower that asks while the store's clock is wrong.
func revocationLeap(s *subject) {
	_, c := s.follow("")
	s.add("a", time.Hour)
	right := s.now()
	s.advance(24 * time.Hour)
	during, c := s.follow(c)
	s.clock.set(right)
	if after, _ := s.follow(c); !slices.Contains(append(during, after...), "a") {
		s.Errorf("a follower saw %q, then %q: never a", during, after)
	}
}

func followerNeverMisses(s *subject) { followed(s, s) }

// followed follows at one node what 16 writers add at several.
func followed(s *subject, nodes ...*subject) {
	const writers = 16
	each := Count(2000)
	seen, done := map[string]bool{}, make(chan struct{})
	var follower sync.WaitGroup
	follower.Go(func() {
		var c store.Cursor
		for last := false; ; {
			var values []string
			values, c = s.follow(c)
			for _, v := range values {
				seen[v] = true
			}
			if last {
				return
			}
			select {
			case <-done:
				last = true // one round more
			default:
			}
		}
	})
	together(writers, func(w int) bool {
		for i := range each {
			nodes[w%len(nodes)].add(fmt.Sprintf("%d.%d", w, i), time.Duration(1+(i+w)%3)*20*time.Minute)
		}
		return true
	})
	close(done)
	follower.Wait()
	if len(seen) != writers*each {
		s.Errorf("a follower saw %d of %d revocations", len(seen), writers*each)
	}
}

func registryFacts() []fact {
	return []fact{
		{name: "an entry moves from version to version", check: entryVersions},
		{name: "a removed entry keeps its version", check: entryRemoved},
		{name: "entries are listed by prefix, in order", check: entryList},
		{name: "an entry is bounded", check: entryBounds},
		{name: "of 64 changes of one version one wins", check: oneChangeWins},
		{name: "a watcher sees what is and the last of every change", check: watcherSees},
	}
}

func (s *subject) wantEntry(key string, version uint64, value []byte) {
	s.Helper()
	got, err := s.Registry().Get(s.Context(), key)
	s.must(err)
	if got.Key != key || got.Version != version || string(got.Value) != string(value) || (got.Value == nil) != (value == nil) {
		s.Errorf("Get(%q) = %+v, want version %d, %q", key, got, version, value)
	}
}

func entryVersions(s *subject) {
	s.wantEntry("ring", 0, nil)
	s.want("Put of version 1 where none is", s.Registry().Put(s.Context(), "ring", []byte("x"), 1), store.ErrConflict)
	s.must(s.Registry().Put(s.Context(), "ring", []byte("a"), 0))
	s.want("Put of version 0 where one is", s.Registry().Put(s.Context(), "ring", []byte("x"), 0), store.ErrConflict)
	s.must(s.Registry().Put(s.Context(), "ring", []byte{}, 1))
	s.wantEntry("ring", 2, []byte{})
	s.advance(10 * 365 * 24 * time.Hour)
	_, err := s.Retire(s.Context(), s.now())
	s.must(err)
	s.wantEntry("ring", 2, []byte{})
}

func entryRemoved(s *subject) {
	s.must(s.Registry().Put(s.Context(), "client/a", []byte("a"), 0))
	s.must(s.Registry().Put(s.Context(), "client/a", nil, 1))
	s.wantEntry("client/a", 2, nil)
	all, err := s.Registry().List(s.Context(), "client/")
	s.must(err)
	if len(all) != 0 {
		s.Errorf("List = %+v, want none", all)
	}
	s.want("Put as if new", s.Registry().Put(s.Context(), "client/a", []byte("b"), 0), store.ErrConflict)
	s.must(s.Registry().Put(s.Context(), "client/a", []byte("b"), 2))
	s.wantEntry("client/a", 3, []byte("b"))
}

func entryList(s *subject) {
	for _, key := range []string{"client/b", "client/a", "client", "client0", "ring", "client/\xff\xff"} {
		s.must(s.Registry().Put(s.Context(), key, []byte(key), 0))
	}
	for prefix, want := range map[string][]string{
		"client/":     {"client/a", "client/b", "client/\xff\xff"},
		"":            {"client", "client/a", "client/b", "client/\xff\xff", "client0", "ring"},
		"client/\xff": {"client/\xff\xff"},
		"none":        nil,
	} {
		all, err := s.Registry().List(s.Context(), prefix)
		s.must(err)
		var got []string
		for _, e := range all {
			got = append(got, e.Key)
		}
		if !slices.Equal(got, want) {
			s.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
}

func entryBounds(s *subject) {
	key, value := strings.Repeat("k", store.MaxKey), bytes.Repeat([]byte{'v'}, store.MaxData)
	s.must(s.Registry().Put(s.Context(), key, value, 0))
	s.wantEntry(key, 1, value)
	s.want("Put of a long key", s.Registry().Put(s.Context(), key+"k", nil, 0), store.ErrTooLarge)
	s.want("Put of a large value", s.Registry().Put(s.Context(), key, make([]byte, store.MaxData+1), 1), store.ErrTooLarge)
}

func oneChangeWins(s *subject) {
	for version := range uint64(Count(400)) {
		won := together(64, func(i int) bool {
			err := s.Registry().Put(s.Context(), "ring", []byte{byte(i)}, version)
			if err != nil && !errors.Is(err, store.ErrConflict) {
				s.Errorf("Put = %v, want ErrConflict or none", err)
			}
			return err == nil
		})
		if won != 1 {
			s.Fatalf("version %d: %d of 64 changes won, want 1", version, won)
		}
	}
}

func watcherSees(s *subject) {
	s.must(s.Registry().Put(s.Context(), "client/a", []byte("a"), 0))
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	seen, ended := make(chan store.Entry, 1000), make(chan error, 1)
	go func() {
		ended <- s.Registry().Watch(ctx, "client/", func(e store.Entry) { seen <- e })
	}()
	s.await(ctx, seen, "client/a", 1)
	s.must(s.Registry().Put(s.Context(), "ring", []byte("not watched"), 0))
	s.must(s.Registry().Put(s.Context(), "client/b", []byte("b"), 0))
	s.await(ctx, seen, "client/b", 1)
	for version := range uint64(100) {
		s.must(s.Registry().Put(s.Context(), "client/a", []byte("a"), version+1))
	}
	s.await(ctx, seen, "client/a", 101)
	s.must(s.Registry().Put(s.Context(), "client/a", nil, 101))
	s.await(ctx, seen, "client/a", 102)
	cancel()
	s.want("Watch", <-ended, context.Canceled)
}

// await waits until the watcher has seen key at version.
func (s *subject) await(ctx context.Context, seen <-chan store.Entry, key string, version uint64) {
	s.Helper()
	for {
		select {
		case e := <-seen:
			if !strings.HasPrefix(e.Key, "client/") {
				s.Errorf("the watcher of client/ saw %q", e.Key)
			}
			if e.Key == key && e.Version == version {
				return
			}
		case <-ctx.Done():
			s.Fatalf("the watcher never saw %s at version %d", key, version)
		}
	}
}
