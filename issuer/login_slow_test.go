package issuer

import (
	"strconv"
	"testing"
	"time"
)

func TestFailuresAreCountedInBoundedMemory(t *testing.T) {
	var s slow
	now := time.Unix(1_800_000_000, 0)
	for i := range 3 * maxSlowed {
		who := attempt{strconv.Itoa(i), "192.0.2.1"}
		s.begin(who, now)
		s.judged(who)
	}
	if len(s.counts) > maxSlowed || len(s.judging) != 0 {
		t.Errorf("%d counts, want at most %d; %d addresses are judged", len(s.counts), maxSlowed, len(s.judging))
	}
	s.begin(attempt{"late", "192.0.2.1"}, now.Add(forgetAfter))
	if len(s.counts) != 1 {
		t.Errorf("%d counts after %s, want the new one only", len(s.counts), forgetAfter)
	}
}

func TestABurstOfAttemptsIsNotJudgedTogether(t *testing.T) {
	var s slow
	now := time.Unix(1_800_000_000, 0)
	who := attempt{"alice", "192.0.2.1"}
	judged := 0
	for range 100 {
		if s.begin(who, now) == 0 {
			judged++
		}
	}
	if judged != freeFailures {
		t.Errorf("%d of 100 attempts at once were judged, want %d", judged, freeFailures)
	}
}

func TestOneAddressDoesNotTakeEveryTurn(t *testing.T) {
	var s slow
	now := time.Unix(1_800_000_000, 0)
	judged := 0
	for i := range 100 {
		if s.begin(attempt{strconv.Itoa(i), "192.0.2.1"}, now) == 0 {
			judged++
		}
	}
	if judged != maxJudging {
		t.Errorf("%d attempts of one address are judged at once, want %d", judged, maxJudging)
	}
	if s.begin(attempt{"0", "192.0.2.2"}, now) != 0 {
		t.Error("another address has to wait")
	}
	s.judged(attempt{"7", "192.0.2.1"})
	if s.begin(attempt{"next", "192.0.2.1"}, now) != 0 || s.begin(attempt{"after", "192.0.2.1"}, now) != time.Second {
		t.Error("a turn that was given back is not one more")
	}
}

func TestAnAttemptThatWasNotJudgedTakesBackItselfOnly(t *testing.T) {
	var s slow
	now := time.Unix(1_800_000_000, 0)
	who := attempt{"alice", "192.0.2.1"}
	for range freeFailures - 1 {
		s.begin(who, now)
		s.judged(who)
	}
	for range 10 {
		now = now.Add(longestWait)
		s.begin(who, now)
		s.judged(who)
		s.undo(who)
	}
	now = now.Add(longestWait)
	s.begin(who, now)
	if wait := s.begin(who, now); wait != time.Second {
		t.Errorf("the fifth failure makes wait %s, want 1s: others are counted or forgotten", wait)
	}
	s.undo(attempt{"nobody", ""})
}

func TestAddressesOfOneSubscriberAreOne(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234":           "192.0.2.1",
		"[::ffff:192.0.2.1]:1":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:2::9]:1":      "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"@":                        "@",
		"":                         "",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("addressOf(%q) = %q, want %q", remote, got, want)
		}
	}
}
