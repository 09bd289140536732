package app

import "testing"

func TestASmallHeapHasRoomAndALargeOneNoMoreThanUsual(t *testing.T) {
	for live, want := range map[uint64]int{0: 1600, 2 << 20: 800, 8 << 20: 200, 16 << 20: 100, 1 << 30: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d live bytes: GOGC %d, want %d", live, got, want)
		}
	}
}
