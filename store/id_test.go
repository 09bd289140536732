package store_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/store"
)

func TestAClassFollowsFromTheLife(t *testing.T) {
	tests := []struct {
		life time.Duration
		want store.Class
	}{
		{0, store.Short},
		{time.Hour, store.Short},
		{time.Hour + 1, store.Medium},
		{48 * time.Hour, store.Medium},
		{48*time.Hour + 1, store.Long},
		{10 * 365 * 24 * time.Hour, store.Long},
	}
	for _, tt := range tests {
		if got := store.ClassOf(tt.life); got != tt.want {
			t.Errorf("ClassOf(%v) = %v, want %v", tt.life, time.Duration(got), time.Duration(tt.want))
		}
	}
}

func TestABucketIsTheEndRoundedUp(t *testing.T) {
	at := func(clock string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, "2026-03-01T"+clock+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tests := []struct {
		class     store.Class
		end, want time.Time
	}{
		{store.Short, at("10:00:00"), at("10:00:00")},
		{store.Short, at("10:00:00.000000001"), at("10:03:00")},
		{store.Short, at("10:00:01"), at("10:03:00")},
		{store.Short, at("10:02:59.5"), at("10:03:00")},
		{store.Medium, at("10:00:01"), at("11:00:00")},
		{store.Long, at("00:00:01"), at("00:00:00").Add(24 * time.Hour)},
	}
	for _, tt := range tests {
		if got := tt.class.Bucket(tt.end); !got.Equal(tt.want) {
			t.Errorf("%v.Bucket(%v) = %v, want %v", time.Duration(tt.class), tt.end, got, tt.want)
		}
	}
}

func TestAnIDKeepsItsBucketThroughText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 1<<38).Draw(t, "now"), 0)
		end := now.Add(time.Duration(rapid.Int64Range(1, int64(400*24*time.Hour)).Draw(t, "life")))
		id := store.NewID(now, end)
		width := time.Duration(store.ClassOf(end.Sub(now)))
		if late := id.Bucket().Sub(end); late < 0 || late >= width {
			t.Errorf("bucket %v is %v behind the end %v, want 0 to %v", id.Bucket(), late, end, width)
		}
		if back, err := store.ParseID(id.String()); err != nil || back != id {
			t.Errorf("ParseID(%q) = %v, %v", id, back, err)
		}
	})
}

func TestAnIDHasOneSpelling(t *testing.T) {
	good := store.NewID(time.Now(), time.Now().Add(time.Hour)).String()
	for name, text := range map[string]string{
		"empty":          "",
		"short":          good[1:],
		"long":           good + "A",
		"padding":        good + "=",
		"standard":       strings.Repeat("+", len(good)),
		"a space":        good[:27] + " ",
		"a line feed":    good[:27] + "\n",
		"a zero byte":    good[:27] + "\x00",
		"another script": strings.Repeat("ü", 14),
	} {
		if _, err := store.ParseID(text); !errors.Is(err, store.ErrBadID) {
			t.Errorf("%s: ParseID = %v, want ErrBadID", name, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(store.ID{}.String())
	f.Add("AGsC0NBkG51ULQL2G4o40fE9ujs9")
	f.Add("AGsC0NBkG51ULQL2G4o40fE9uj\n9")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := store.ParseID(text)
		if err == nil && id.String() != text {
			t.Errorf("ParseID took %q, which is spelt %q", text, id)
		}
	})
}

func TestAMarkLiesWhereItsContentSays(t *testing.T) {
	end := time.Date(2026, 3, 1, 10, 0, 1, 0, time.UTC)
	m := store.Mark{Kind: "assertion", Scope: "a", Value: "bc", End: end}
	id := m.ID()
	if got, want := hex.EncodeToString(id[:]), "0069a40ed441add164faabce6b1746a2ac219ab317"; got != want { // 10:03:00, then SHA-256
		t.Errorf("ID = %s, want %s", got, want)
	}
	same, later := m, m
	same.End, later.End = end.Add(time.Minute), end.Add(time.Hour)
	if m.ID() != same.ID() {
		t.Error("an end in the same bucket moved the mark")
	}
	if m.ID() == later.ID() || later.ID().Bucket().Sub(m.ID().Bucket()) != time.Hour {
		t.Error("an end an hour later did not move the mark by an hour")
	}
}
