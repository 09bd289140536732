package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/longcase/longcase/store"
)

func sessionFacts() []fact {
	return []fact{
		{name: "a session is loaded as it was created", check: sessionAsCreated},
		{name: "a session is created once", check: sessionCreatedOnce},
		{name: "a replacement needs the stored generation and the next one", check: replaceNeedsGeneration},
		{name: "a replacement keeps end, client and subject", check: replaceKeeps},
		{name: "a revoked session is loaded as ended and never replaced again", check: revokedStays},
		{name: "a session can be rotated in its last second and not at its end", check: sessionEnds},
		{name: "a replacement can not lengthen a session", check: sessionNotLengthened},
		{name: "what is too large or outlives its bucket is refused", check: sessionBounds},
		{name: "sessions are listed in order, in pages, while they live", check: sessionList},
		{name: "of 64 rotations of one generation one wins", check: oneRotationWins},
		{name: "no rotation is lost among many", check: rotationsCount},
		{name: "no rotation succeeds after a revocation has returned", check: revokeBeatsRotation},
	}
}

func sameSession(a, b store.Session) bool {
	return a.ID == b.ID && a.End.Equal(b.End) && a.Generation == b.Generation && a.Ended == b.Ended &&
		a.Client == b.Client && a.Subject == b.Subject && bytes.Equal(a.Data, b.Data)
}

func (s *subject) wantSession(want store.Session) {
	s.Helper()
	got, err := s.Sessions().Load(s.Context(), want.ID)
	s.must(err)
	if !sameSession(got, want) {
		s.Errorf("Load = %+v, want %+v", got, want)
	}
}

func sessionAsCreated(s *subject) {
	for _, data := range [][]byte{nil, {0}, []byte("{}"), bytes.Repeat([]byte{0xff}, store.MaxData)} {
		one := s.session(12 * time.Hour)
		one.Data, one.Client, one.Subject = data, "", strings.Repeat("ü\x00", 200)
		s.must(s.Sessions().Create(s.Context(), one))
		s.wantSession(one)
	}
	_, err := s.Sessions().Load(s.Context(), s.session(time.Hour).ID)
	s.want("Load of none", err, store.ErrNotFound)
	_, err = s.Sessions().Load(s.Context(), store.ID{})
	s.want("Load of the zero id", err, store.ErrNotFound)
}

func sessionCreatedOnce(s *subject) {
	one := s.session(time.Hour)
	one.Generation, one.Ended = 7, true // 1 at creation, whatever it says
	s.must(s.Sessions().Create(s.Context(), one))
	other := one
	other.Data = []byte("other")
	s.want("second Create", s.Sessions().Create(s.Context(), other), store.ErrConflict)
	one.Generation, one.Ended = 1, false
	s.wantSession(one)
	s.must(s.Sessions().Revoke(s.Context(), one.ID))
	s.want("Create over a revoked one", s.Sessions().Create(s.Context(), one), store.ErrConflict)
}

func replaceNeedsGeneration(s *subject) {
	one := s.created(time.Hour)
	s.must(s.rotate(one, 1))
	s.must(s.rotate(one, 2))
	tests := []struct {
		name      string
		next, old store.Generation
	}{
		{"the predecessor", 3, 2},
		{"the first", 2, 1},
		{"ahead", 5, 4},
		{"none", 1, 0},
		{"the same again", 3, 3},
		{"a leap", 5, 3},
		{"backwards", 2, 3},
	}
	for _, tt := range tests {
		changed := one
		changed.Generation, changed.Data = tt.next, []byte("changed")
		s.want(tt.name, s.Sessions().Replace(s.Context(), changed, tt.old), store.ErrConflict)
	}
	one.Generation = 3
	s.wantSession(one)
	s.want("Replace of none", s.rotate(s.session(time.Hour), 1), store.ErrConflict)
}

func replaceKeeps(s *subject) {
	one := s.created(time.Hour)
	changed := one
	changed.Client, changed.Subject, changed.Data = "mallory", "eve", []byte("next")
	changed.End = one.End.Add(-time.Minute)
	s.must(s.rotate(changed, 1))
	one.Generation, one.Data = 2, []byte("next")
	s.wantSession(one)
	changed.Ended = true
	s.must(s.rotate(changed, 2))
	one.Generation, one.Ended = 3, true
	s.wantSession(one)
	s.want("Replace of an ended one", s.rotate(one, 3), store.ErrConflict)
}

func revokedStays(s *subject) {
	one := s.created(time.Hour)
	s.must(s.Sessions().Revoke(s.Context(), one.ID))
	s.must(s.Sessions().Revoke(s.Context(), one.ID))
	s.want("Replace", s.rotate(one, 1), store.ErrConflict)
	one.Ended = true
	s.wantSession(one)
	s.want("Revoke of none", s.Sessions().Revoke(s.Context(), s.session(time.Hour).ID), store.ErrNotFound)
}

func sessionEnds(s *subject) {
	one := s.created(time.Hour)
	s.clock.set(one.End.Add(-time.Second))
	s.must(s.rotate(one, 1))
	one.Generation = 2
	s.wantSession(one)
	for _, past := range []time.Duration{0, time.Second, 10 * time.Minute} {
		s.clock.set(one.End.Add(past))
		_, err := s.Sessions().Load(s.Context(), one.ID)
		s.want(fmt.Sprint("Load at +", past), err, store.ErrNotFound)
		s.want(fmt.Sprint("Revoke at +", past), s.Sessions().Revoke(s.Context(), one.ID), store.ErrNotFound)
		s.want(fmt.Sprint("Replace at +", past), s.rotate(one, 2), store.ErrEnded)
		s.want(fmt.Sprint("Create at +", past), s.Sessions().Create(s.Context(), one), store.ErrEnded)
	}
}

func sessionNotLengthened(s *subject) {
	one := s.created(time.Hour)
	longer := one
	longer.End = one.ID.Bucket() // as far as the id allows
	s.must(s.rotate(longer, 1))
	one.Generation = 2
	s.wantSession(one)
	s.clock.set(one.End)
	s.want("Replace with a later end", s.rotate(longer, 2), store.ErrEnded)
}

func sessionBounds(s *subject) {
	one := s.session(time.Hour)
	one.Data = bytes.Repeat([]byte{'d'}, store.MaxData)
	one.Client, one.Subject = strings.Repeat("c", store.MaxText), strings.Repeat("s", store.MaxText)
	large, client, subject, late := one, one, one, one
	large.Data = append(one.Data, 'd')
	client.Client += "c"
	subject.Subject += "s"
	late.End = one.ID.Bucket().Add(time.Second)
	s.want("Create with large data", s.Sessions().Create(s.Context(), large), store.ErrTooLarge)
	s.want("Create with a large client", s.Sessions().Create(s.Context(), client), store.ErrTooLarge)
	s.want("Create with a large subject", s.Sessions().Create(s.Context(), subject), store.ErrTooLarge)
	s.want("Create beyond the bucket", s.Sessions().Create(s.Context(), late), store.ErrTooLate)
	s.must(s.Sessions().Create(s.Context(), one))
	s.wantSession(one)
	s.want("Replace with large data", s.rotate(large, 1), store.ErrTooLarge)
	s.want("Replace beyond the bucket", s.rotate(late, 1), store.ErrTooLate)
	s.wantSession(one)
}

func sessionList(s *subject) {
	want := map[store.ID]bool{}
	for i := range 25 {
		want[s.created(time.Duration(i+1)*20*time.Minute).ID] = true
	}
	s.advance(41 * time.Minute) // two have ended
	var after store.ID
	seen := 0
	for {
		page, err := s.Sessions().List(s.Context(), after, 10)
		s.must(err)
		if len(page) > 10 {
			s.Fatalf("a page of %d, want at most 10", len(page))
		}
		for _, one := range page {
			if !want[one.ID] || !one.End.After(s.now()) || bytes.Compare(one.ID[:], after[:]) <= 0 {
				s.Errorf("listed %s after %s, ended %v", one.ID, after, !one.End.After(s.now()))
			}
			after = one.ID
		}
		if seen += len(page); len(page) == 0 {
			break
		}
	}
	if seen != 23 {
		s.Errorf("listed %d sessions, want 23", seen)
	}
}

func oneRotationWins(s *subject) {
	one := s.created(time.Hour)
	for g := range store.Generation(Count(400)) {
		won := together(64, func(i int) bool {
			next := one
			next.Data = []byte{byte(i)}
			err := s.rotate(next, g+1)
			if err != nil && !errors.Is(err, store.ErrConflict) {
				s.Errorf("Replace = %v, want ErrConflict or none", err)
			}
			return err == nil
		})
		if won != 1 {
			s.Fatalf("generation %d: %d of 64 rotations won, want 1", g+1, won)
		}
	}
}

func rotationsCount(s *subject) {
	one := s.created(time.Hour)
	var wins atomic.Int64
	together(16, func(int) bool {
		for range Count(400) {
			now, err := s.Sessions().Load(s.Context(), one.ID)
			if err == nil && s.rotate(now, now.Generation) == nil {
				wins.Add(1)
			}
		}
		return true
	})
	got, err := s.Sessions().Load(s.Context(), one.ID)
	s.must(err)
	if int64(got.Generation) != wins.Load()+1 {
		s.Errorf("generation %d after %d rotations, want %d", got.Generation, wins.Load(), wins.Load()+1)
	}
}

func revokeBeatsRotation(s *subject) {
	for range Count(400) {
		one := s.created(time.Hour)
		var revoked atomic.Bool
		late := together(16, func(i int) bool {
			if i == 0 {
				s.want("Revoke", s.Sessions().Revoke(s.Context(), one.ID), nil)
				revoked.Store(true)
				return false
			}
			g := store.Generation(1)
			for range 8 {
				before := revoked.Load()
				if err := s.rotate(one, g); err == nil && before {
					return true
				}
				if now, err := s.Sessions().Load(s.Context(), one.ID); err == nil {
					g = now.Generation
				}
			}
			return false
		})
		if late > 0 {
			s.Fatalf("%d rotations succeeded after the revocation had returned", late)
		}
		got, err := s.Sessions().Load(s.Context(), one.ID)
		s.must(err)
		if !got.Ended {
			s.Fatal("a rotation undid the revocation")
		}
	}
}
