package postgres

import (
	"slices"
	"strconv"
	"strings"

	"github.com/longcase/longcase/store"
)

// snapshot is a pg_snapshot: what a statement could see. It saw every
// transaction below most but those below that were still running. The zero
// snapshot has seen nothing.
type snapshot struct {
	most    uint64   // the first transaction that had not begun
	running []uint64 // those below most that had not ended, in order
}

// maxRunning bounds the transactions a cursor names. It treats those behind the
// last one as not seen, which shows some entries twice.
const maxRunning = 16

// least is the first transaction that may not have been seen.
func (s snapshot) least() uint64 {
	if len(s.running) > 0 {
		return s.running[0]
	}
	return s.most
}

// short is s with at most maxRunning running ones.
func (s snapshot) short() snapshot {
	if len(s.running) <= maxRunning {
		return s
	}
	return snapshot{s.running[maxRunning], s.running[:maxRunning]}
}

// String writes s as PostgreSQL does: xmin:xmax:xip,xip.
func (s snapshot) String() string {
	running := make([]string, len(s.running))
	for i, x := range s.running {
		running[i] = strconv.FormatUint(x, 10)
	}
	return strconv.FormatUint(max(s.least(), 1), 10) + ":" + strconv.FormatUint(max(s.most, 1), 10) + ":" + strings.Join(running, ",")
}

// maxTransaction is beyond every transaction there will be: xid8 is compared as
// a signed number on the way here.
const maxTransaction = 1 << 62

// parseSnapshot reads what PostgreSQL and String write; false for anything else.
func parseSnapshot(text string) (s snapshot, ok bool) {
	fields := strings.Split(text, ":")
	if len(fields) != 3 {
		return snapshot{}, false
	}
	least, okLeast := parseTransaction(fields[0])
	most, okMost := parseTransaction(fields[1])
	s.most = most
	if fields[2] != "" {
		for _, f := range strings.Split(fields[2], ",") {
			x, ok := parseTransaction(f)
			if !ok {
				return snapshot{}, false
			}
			s.running = append(s.running, x)
		}
	}
	if !okLeast || !okMost || !s.sound(least) {
		return snapshot{}, false
	}
	if len(s.running) == 0 && least < most { // PostgreSQL never says so: it would be the same as most
		return snapshot{}, false
	}
	return s, true
}

// sound reports whether the running ones are in order, between least and most.
func (s snapshot) sound(least uint64) bool {
	if len(s.running) == 0 {
		return least <= s.most
	}
	ordered := slices.IsSorted(s.running) && len(slices.Compact(slices.Clone(s.running))) == len(s.running)
	return ordered && least == s.running[0] && s.running[len(s.running)-1] < s.most
}

func parseTransaction(text string) (uint64, bool) {
	x, err := strconv.ParseUint(text, 10, 64)
	return x, err == nil && x > 0 && x < maxTransaction && strconv.FormatUint(x, 10) == text
}

// cursorOf names a place in the feed of the store that identity names.
func cursorOf(identity string, s snapshot) store.Cursor {
	return store.Cursor(identity + "." + s.short().String())
}

// seen is what a cursor has seen. One of another store, of one that was restored
// or one that is none has seen nothing.
func seen(c store.Cursor, identity string, now snapshot) snapshot {
	theirs, text, _ := strings.Cut(string(c), ".")
	s, ok := parseSnapshot(text)
	if !ok || theirs != identity || s.most > now.most {
		return snapshot{}
	}
	return s
}
