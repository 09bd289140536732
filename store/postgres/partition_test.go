package postgres

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/store"
)

const day = 24 * time.Hour

// TestWidthsKeepStorageFlatAndTheCatalogSmall checks what the figures of the
// documentation say: how many partitions of a kind there are and how much more
// than what lives is stored at most. Lives that are not much longer than a bucket
// of their class have their bucket to blame, on every engine.
func TestWidthsKeepStorageFlatAndTheCatalogSmall(t *testing.T) {
	tests := []struct {
		longest time.Duration
		width   time.Duration
		count   int     // of partitions, just before one is dropped
		most    float64 // stored over live
	}{
		{time.Hour, 3 * time.Minute, 36, 1.3},
		{12 * time.Hour, time.Hour, 15, 1.2},
		{48 * time.Hour, 3 * time.Hour, 19, 1.1},
		{30 * day, day, 33, 1.05},
		{90 * day, 7 * day, 15, 1.1},
		{365 * day, 28 * day, 16, 1.1},
	}
	for _, tt := range tests {
		t.Run(tt.longest.String(), func(t *testing.T) {
			w := width(tt.longest)
			if got := time.Duration(w) * time.Second; got != tt.width {
				t.Errorf("width %s, want %s", got, tt.width)
			}
			now := up(time.Date(2026, 3, 1, 10, 1, 7, 0, time.UTC).Unix(), w) - 1
			stored := partitions(nil).missing(kindSession, now-int64(store.RetireDelay/time.Second), until(tt.longest, at(now)), w)
			if len(stored) > tt.count {
				t.Errorf("%d partitions, want at most %d", len(stored), tt.count)
			}
			over := float64(tt.longest+tt.width+store.RetireDelay) / float64(tt.longest)
			if over > tt.most {
				t.Errorf("up to %.2f of what lives is stored, want at most %.2f", over, tt.most)
			}
		})
	}
}

func TestPartitionsOfAnyWidthsLieSideBySide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all partitions
		for range rapid.IntRange(1, 40).Draw(t, "writes") {
			bucket := rapid.Int64Range(1, 2000).Draw(t, "bucket") * grid
			w := rapid.SampledFrom(widths[:]).Draw(t, "width")
			if _, ok := all.find(bucket); ok {
				continue
			}
			p := all.free(kindMark, bucket, w)
			switch {
			case !p.holds(bucket):
				t.Fatalf("%v was made for %d", p, bucket)
			case p.last-p.first+1 > w:
				t.Fatalf("%v is wider than %d", p, w)
			}
			all = append(all, p)
			slices.SortFunc(all, func(a, b partition) int { return int(a.first - b.first) })
			for i := 1; i < len(all); i++ {
				if all[i-1].last >= all[i].first {
					t.Fatalf("%v and %v overlap", all[i-1], all[i])
				}
			}
			if got, ok := all.find(bucket); !ok || got != p {
				t.Fatalf("find(%d) = %v, %v; want %v", bucket, got, ok, p)
			}
		}
		complete(t, all)
	})
}

// complete makes ahead beside all and wants every bucket to have one partition.
func complete(t *rapid.T, all partitions) {
	now, last := rapid.Int64Range(0, 1000*grid).Draw(t, "now"), rapid.Int64Range(0, 3000).Draw(t, "until")*grid
	all = append(all, all.missing(kindMark, now, last, rapid.SampledFrom(widths[:]).Draw(t, "ahead"))...)
	for bucket := up(now+1, grid); bucket <= last; bucket += grid {
		holders := 0
		for _, p := range all {
			if p.holds(bucket) {
				holders++
			}
		}
		if holders != 1 {
			t.Fatalf("bucket %d lies in %d partitions", bucket, holders)
		}
	}
}
