package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/longcase/longcase/store"
)

// nodeFacts are for stores that several nodes share, see Traits.Again.
func nodeFacts() []fact {
	return []fact{
		{name: "what one node writes every node reads and judges by", check: nodesAgree},
		{name: "of 64 rotations through two nodes one wins", check: oneNodeWins},
		{name: "a node that is slow finds what another has retired by its delay", check: slowNode},
		{name: "the clock is the store's, whatever a node's says", check: storeClock},
		{name: "a cursor of one node goes on at another", check: cursorTravels},
		{name: "a follower at one node never misses what others add", check: followerOfNodes},
		{name: "a watcher at one node sees the changes of another", check: watcherOfNodes},
		{name: "a node that closes closes no other", check: nodeCloses},
		{name: "a store is read only for every node", check: nodesReadOnly},
	}
}

// another opens a node on the same store whose clock is off by that much.
func (s *subject) another(off time.Duration) *subject {
	s.Helper()
	o := &subject{TB: s.TB, open: s.open, traits: s.traits, clock: &clock{at: s.now().Add(off)}}
	o.Engine = s.traits.Again(s.TB, s.Engine, Config{Now: o.clock.Now, MaxMarks: maxMarks})
	s.Cleanup(func() {
		if err := o.Close(); err != nil {
			s.Errorf("Close of another node: %v", err)
		}
	})
	return o
}

func nodesAgree(a *subject) {
	b := a.another(0)
	one := a.created(time.Hour)
	a.must(a.rotate(one, 1))
	one.Generation = 2
	b.wantSession(one)
	a.want("Replace at b of what a replaced", b.rotate(one, 1), store.ErrConflict)
	a.want("Create at b of what a created", b.Sessions().Create(b.Context(), one), store.ErrConflict)
	a.must(b.Sessions().Revoke(b.Context(), one.ID))
	a.want("Replace at a of what b revoked", a.rotate(one, 2), store.ErrConflict)

	doc := a.document(store.Code, time.Minute)
	a.must(a.Documents().Put(a.Context(), doc))
	a.must(b.Documents().Replace(b.Context(), doc, 1))
	a.want("use at a of what b used", a.Documents().Replace(a.Context(), doc, 1), store.ErrConflict)

	a.wantFirst(a.mark("m", time.Minute), true)
	b.wantFirst(a.mark("m", time.Minute), false)

	a.must(a.Registry().Put(a.Context(), "ring", []byte("a"), 0))
	b.wantEntry("ring", 1, []byte("a"))
	a.want("Put at b over a's", b.Registry().Put(b.Context(), "ring", []byte("b"), 0), store.ErrConflict)
}

func oneNodeWins(a *subject) {
	nodes := []*subject{a, a.another(time.Second)}
	one := a.created(time.Hour)
	for g := range store.Generation(Count(200)) {
		won := together(64, func(i int) bool {
			err := nodes[i%2].rotate(one, g+1)
			if err != nil && !errors.Is(err, store.ErrConflict) {
				a.Errorf("Replace = %v, want ErrConflict or none", err)
			}
			return err == nil
		})
		if won != 1 {
			a.Fatalf("generation %d: %d of 64 rotations won, want 1", g+1, won)
		}
	}
}

// slowNode is a node that is later than the others by nearly the delay.
func slowNode(a *subject) {
	one := a.created(time.Hour)
	b := a.another(0)
	b.clock.set(one.End.Add(-time.Second))
	a.clock.set(one.ID.Bucket().Add(store.RetireDelay - time.Second))
	a.retire(a.now().Add(-store.RetireDelay))
	_, err := a.Sessions().Load(a.Context(), one.ID)
	a.want("Load at the node where it is over", err, store.ErrNotFound)
	a.must(b.rotate(one, 1))
	one.Generation = 2
	b.wantSession(one)
}

func storeClock(a *subject) {
	const apart = 10 * time.Minute
	b := a.another(apart)
	first, err := a.Clock(a.Context())
	a.must(err)
	second, err := b.Clock(b.Context())
	a.must(err)
	switch off := second.Sub(first).Abs(); {
	case a.traits.OwnClock && off != apart:
		a.Errorf("clocks %v apart, want the nodes' own, %v apart", off, apart)
	case !a.traits.OwnClock && off > time.Minute:
		a.Errorf("two nodes read the store's clock %v apart, want one clock", off)
	}
}

func cursorTravels(a *subject) {
	b := a.another(0)
	a.add("before", time.Hour)
	_, c := a.follow("")
	b.add("behind", time.Hour)
	for name, node := range map[string]*subject{"a": a, "b": b} {
		if got, _ := node.follow(c); !slices.Contains(got, "behind") {
			a.Errorf("Since a's cursor at %s = %q, want behind", name, got)
		}
	}
}

func followerOfNodes(a *subject) { followed(a, a.another(0), a) }

func watcherOfNodes(a *subject) {
	b := a.another(0)
	a.must(a.Registry().Put(a.Context(), "client/a", []byte("a"), 0))
	ctx, cancel := context.WithTimeout(a.Context(), time.Minute)
	defer cancel()
	seen, ended := make(chan store.Entry, 1000), make(chan error, 1)
	go func() {
		ended <- b.Registry().Watch(ctx, "client/", func(e store.Entry) { seen <- e })
	}()
	a.await(ctx, seen, "client/a", 1)
	a.must(a.Registry().Put(a.Context(), "client/a", []byte("b"), 1))
	a.await(ctx, seen, "client/a", 2)
	a.must(a.Registry().Put(a.Context(), "client/a", nil, 2))
	a.await(ctx, seen, "client/a", 3)
	cancel()
	a.want("Watch", <-ended, context.Canceled)
}

func nodeCloses(a *subject) {
	b := a.another(0)
	one := a.created(time.Hour)
	a.must(b.Close())
	a.want("a call to the closed node", b.rotate(one, 1), store.ErrClosed)
	a.must(a.rotate(one, 1))
}

// nodesReadOnly has b write again and again while a sets the store read only:
// behind that no write of b takes effect.
func nodesReadOnly(a *subject) {
	b := a.another(0)
	one := a.created(time.Hour)
	var all writers
	all.start(b, one)
	all.began.Wait()
	a.must(a.movable().SetReadOnly(a.Context(), "moving"))
	before, err := a.Sessions().Load(a.Context(), one.ID)
	a.must(err)
	all.refused(a)
	a.wantSession(before)
	reason, err := b.movable().ReadOnly(b.Context())
	a.must(err)
	if reason != "moving" {
		a.Errorf("ReadOnly at b = %q, want the reason given at a", reason)
	}
	a.must(b.movable().SetReadOnly(b.Context(), ""))
	a.must(a.rotate(before, before.Generation))
}
