package move_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/internal/move"
	"github.com/longcase/longcase/store"
)

func TestACopyEndsTheSameWhereverItWasInterrupted(t *testing.T) {
	calls := 0 // of the target, in a copy that nothing interrupts
	whole := newPair(t)
	whole.fill(t, 4)
	want := whole.copy(t, &faulty{Movable: whole.target, before: func() error { calls++; return nil }})
	if calls < 20 {
		t.Fatalf("a copy asks the target %d times: too few for this test", calls)
	}
	for at := range calls {
		for _, written := range []bool{false, true} {
			p := newPair(t)
			p.fill(t, 4)
			p.cutAt(t, p.config(p.target), at, written)
			got := p.copy(t, p.target)
			if got.Compared != want.Compared || got.Resumed != (at > 0 || written) {
				t.Errorf("cut at call %d: %+v, want what an uninterrupted copy says: %+v", at, got, want)
			}
			if src, dst := contents(t, p.source), contents(t, p.target); src != dst {
				t.Fatalf("cut at call %d: the target holds\n%s\nthe source\n%s", at, dst, src)
			}
		}
	}
}

func TestAnyInterruptionsOfAnyCopyLeaveTheSameTarget(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := newPair(t)
		p.fill(t, rapid.IntRange(1, 12).Draw(r, "records"))
		cuts := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 5).Draw(r, "cuts")
		for _, at := range cuts {
			cfg := p.config(p.target)
			cfg.SaveEach = rapid.IntRange(1, 9).Draw(r, "save each")
			cfg.Workers = rapid.IntRange(1, 4).Draw(r, "workers")
			p.cutAt(t, cfg, at, rapid.Bool().Draw(r, "written"))
		}
		p.copy(t, p.target)
		if src, dst := contents(t, p.source), contents(t, p.target); src != dst {
			r.Fatalf("the target holds\n%s\nthe source\n%s", dst, src)
		}
	})
}

func TestACopyIsWhatTheSourceIs(t *testing.T) {
	p := newPair(t)
	p.fill(t, 10)
	r := p.copy(t, p.target)
	if src, dst := contents(t, p.source), contents(t, p.target); src != dst || src == "" {
		t.Errorf("the target holds\n%s\nthe source\n%s", dst, src)
	}
	if r.Records != r.Compared || r.Records.Sessions != 10 || r.Records.Entries < 10 || r.Finished.IsZero() || r.Resumed || r.Already {
		t.Errorf("the result is %+v", r)
	}
	again := p.copy(t, p.target)
	if !again.Already || again.ID != r.ID || !again.Finished.Equal(r.Finished) {
		t.Errorf("a second copy is %+v, want the word that the first is finished: %+v", again, r)
	}
	t.Run("and can be copied on", func(t *testing.T) {
		third := newStore(t, p.clock)
		cfg := p.config(third)
		cfg.Source, cfg.From, cfg.To = p.target, "target", "third"
		if _, err := move.Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if a, b := contents(t, p.target), contents(t, third); a != b {
			t.Errorf("the third holds\n%s\nthe second\n%s", b, a)
		}
	})
}

func TestTheSourceTakesNoWritesFromTheFirstRecordOn(t *testing.T) {
	p := newPair(t)
	s := p.session(t, 1)
	p.fill(t, 4)
	tried := 0
	writing := &faulty{Movable: p.target, onImport: func() error {
		tried++
		if err := rotate(t.Context(), p.source, s); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("a rotation during the copy: %v, want ErrReadOnly", err)
		}
		return nil
	}}
	p.copy(t, writing)
	if tried == 0 {
		t.Error("nothing was imported")
	}
	if err := rotate(t.Context(), p.source, s); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a rotation after the copy: %v, want ErrReadOnly", err)
	}
	if err := rotate(t.Context(), p.target, s); err != nil {
		t.Errorf("a rotation in the target: %v", err)
	}
	reason, err := p.source.ReadOnly(t.Context())
	if err != nil || !strings.HasPrefix(reason, "copied to target, begun ") || !move.IsReason(reason) || move.IsReason("a drill") {
		t.Errorf("the source is read only for %q, %v", reason, err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		setup func(t *testing.T, p *pair)
		want  error
		frees bool // the source still takes writes
	}{
		{"a target that holds something", func(t *testing.T, p *pair) {
			put(t, p.target, "client/a", "x")
		}, move.ErrNotEmpty, true},
		{"a target that held something", func(t *testing.T, p *pair) {
			put(t, p.target, "client/a", "x")
			if err := p.target.Registry().Put(t.Context(), "client/a", nil, 1); err != nil {
				t.Fatal(err)
			}
		}, move.ErrNotEmpty, true},
		{"a source that holds nothing", func(*testing.T, *pair) {}, move.ErrEmpty, true},
		{"a target that is the source", func(t *testing.T, p *pair) {
			p.fill(t, 1)
			p.target = p.source
		}, move.ErrNotEmpty, true},
		{"a target that is read only", func(t *testing.T, p *pair) {
			if err := p.target.SetReadOnly(t.Context(), "moved away"); err != nil {
				t.Fatal(err)
			}
		}, move.ErrReadOnly, true},
		{"a half-finished copy of another store", func(t *testing.T, p *pair) {
			p.fill(t, 2)
			p.cut(t)
			p.source, p.from = newStore(t, p.clock), "another"
		}, move.ErrForeign, true},
		{"a finished copy of another store", func(t *testing.T, p *pair) {
			p.fill(t, 1)
			p.copy(t, p.target)
			p.source, p.from = newStore(t, p.clock), "another"
		}, move.ErrNotEmpty, true},
		{"a source that took writes since the copy began", func(t *testing.T, p *pair) {
			p.fill(t, 2)
			p.cut(t)
			if err := p.source.SetReadOnly(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}, move.ErrStale, true},
		{"a source that took writes and is read only again", func(t *testing.T, p *pair) {
			p.fill(t, 2)
			p.cut(t)
			for _, reason := range []string{"", "by hand"} {
				if err := p.source.SetReadOnly(t.Context(), reason); err != nil {
					t.Fatal(err)
				}
			}
		}, move.ErrStale, false},
		{"a target that somebody wrote to meanwhile", func(t *testing.T, p *pair) {
			p.fill(t, 2)
			p.cut(t)
			put(t, p.target, "client/stranger", "x")
		}, move.ErrDiffers, false},
		{"a target in which a session of the source was rotated", func(t *testing.T, p *pair) {
			s := p.session(t, 1)
			p.cut(t)
			if err := rotate(t.Context(), p.target, s); err != nil {
				t.Fatal(err)
			}
		}, move.ErrDiffers, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t)
			tt.setup(t, p)
			_, err := move.Run(t.Context(), p.config(p.target))
			if !errors.Is(err, tt.want) {
				t.Fatalf("Run = %v, want %v", err, tt.want)
			}
			if reason, err := p.source.ReadOnly(t.Context()); err != nil || (reason == "") != tt.frees {
				t.Errorf("afterwards the source is read only for %q, %v", reason, err)
			}
		})
	}
}

func TestWhatIsOverIsNotCopied(t *testing.T) {
	p := newPair(t)
	p.fill(t, 3)
	p.clock.at = p.clock.at.Add(90 * time.Minute) // the documents of fill are over, its sessions are not
	r := p.copy(t, p.target)
	if r.Records.Documents != 0 || r.Records.Sessions != 3 {
		t.Errorf("copied %+v", r.Records)
	}
}

func TestWhatEndsWhileStoresAreComparedIsNoDifference(t *testing.T) {
	p := newPair(t)
	p.fill(t, 3)
	late := &faulty{Movable: p.target, beforeExport: func() { p.clock.at = p.clock.at.Add(61 * time.Minute) }}
	p.copy(t, late)
}

func TestATargetThatFailsForNowIsAskedAgain(t *testing.T) {
	for _, passes := range []error{store.ErrUnavailable, store.ErrUnknown} {
		p := newPair(t)
		p.fill(t, 3)
		n := 0
		failing := &faulty{Movable: p.target, before: func() error {
			if n++; n%3 == 0 {
				return passes
			}
			return nil
		}}
		p.copy(t, failing)
		if src, dst := contents(t, p.source), contents(t, p.target); src != dst {
			t.Errorf("the target holds\n%s\nthe source\n%s", dst, src)
		}
	}
	p := newPair(t)
	p.fill(t, 3)
	calls := 0
	down := &faulty{Movable: p.target, onImport: func() error { calls++; return store.ErrUnavailable }}
	if _, err := move.Run(t.Context(), p.config(down)); !errors.Is(err, store.ErrUnavailable) || calls > 40 {
		t.Errorf("a target that stays away is asked %d times: %v", calls, err)
	}
	p.copy(t, p.target)
}

func TestASourceThatTookWritesMeanwhileIsNotACopy(t *testing.T) {
	for _, unproven := range []bool{false, true} {
		p := newPair(t)
		p.fill(t, 3)
		s, n := p.session(t, 0), 0
		opened := &faulty{Movable: p.target, onImport: func() error {
			if n++; n != 15 {
				return nil
			}
			check(t, p.source.SetReadOnly(t.Context(), ""))
			return rotate(t.Context(), p.source, s)
		}}
		cfg := p.config(opened)
		cfg.Unproven = unproven
		if _, err := move.Run(t.Context(), cfg); !errors.Is(err, move.ErrStale) {
			t.Errorf("unproven %t: %v, want ErrStale", unproven, err)
		}
		if err := move.Ready(t.Context(), p.target.Registry()); !errors.Is(err, move.ErrUnfinished) {
			t.Errorf("a server on the target: %v, want ErrUnfinished", err)
		}
	}
}

func TestACopyThatOnlyWroteItsPageMayBeOfAnotherSource(t *testing.T) {
	p := newPair(t)
	p.fill(t, 1)
	p.cutAt(t, p.config(p.target), 0, true) // its page is written
	empty := newPair(t)
	empty.from = "a misspelt one"
	if _, err := move.Run(t.Context(), empty.config(p.target)); !errors.Is(err, move.ErrEmpty) {
		t.Errorf("an empty source: %v", err)
	}
	other := newPair(t)
	other.fill(t, 2)
	other.copy(t, p.target)
	if src, dst := contents(t, other.source), contents(t, p.target); src != dst {
		t.Errorf("the target holds\n%s\nthe source\n%s", dst, src)
	}
}

func TestAnOlderReasonStaysBesideTheCopys(t *testing.T) {
	p := newPair(t)
	p.fill(t, 1)
	if err := p.source.SetReadOnly(t.Context(), "by hand"); err != nil {
		t.Fatal(err)
	}
	p.copy(t, p.target)
	if reason, _ := p.source.ReadOnly(t.Context()); !strings.Contains(reason, "; before that: by hand") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestAServerMayWorkOnAFinishedCopyOnly(t *testing.T) {
	p := newPair(t)
	p.fill(t, 2)
	if err := move.Ready(t.Context(), p.target.Registry()); err != nil {
		t.Errorf("before a copy: %v", err)
	}
	p.cut(t)
	if err := move.Ready(t.Context(), p.target.Registry()); !errors.Is(err, move.ErrUnfinished) {
		t.Errorf("in the middle: %v", err)
	}
	p.copy(t, p.target)
	if err := move.Ready(t.Context(), p.target.Registry()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestProgressOnlyGrowsWithinAStep(t *testing.T) {
	p := newPair(t)
	p.fill(t, 20)
	var steps []move.Step
	last := map[move.Step]int64{}
	cfg := p.config(p.target)
	cfg.Progress = func(now move.Progress) {
		if len(steps) == 0 || steps[len(steps)-1] != now.Step {
			steps = append(steps, now.Step)
		}
		if now.Records.Total() < last[now.Step] {
			t.Errorf("%s: %d records after %d", now.Step, now.Records.Total(), last[now.Step])
		}
		last[now.Step] = now.Records.Total()
	}
	if _, err := move.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if want := []move.Step{move.Freezing, move.Copying, move.Reading, move.Comparing}; !slices.Equal(steps, want) {
		t.Errorf("the steps are %v", steps)
	}
	if last[move.Copying] < 80 {
		t.Errorf("the last number is %d", last[move.Copying])
	}
}

func put(t *testing.T, s store.Engine, key, value string) {
	t.Helper()
	if err := s.Registry().Put(t.Context(), key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
