package embedded

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// soundStore builds a store of so many tables and a log and returns it with what
// was acknowledged.
func soundStore(t *testing.T, tables int) (*vfs.MemFS, []store.Session) {
	t.Helper()
	ctx, disk := context.Background(), vfs.NewMem()
	var acked []store.Session
	random := rand.NewChaCha8([32]byte{1})
	reopen(t, Config{Dir: "store", FS: disk, Log: quiet()}, func(e *Engine) {
		for i := range tables + 1 {
			for range 50 {
				one := newSession(time.Now(), time.Hour)
				one.Data = make([]byte, 1000)
				_, _ = random.Read(one.Data)
				must(t, e.Sessions().Create(ctx, one))
				acked = append(acked, one)
			}
			if i < tables {
				must(t, e.db.Flush())
			}
		}
	})
	return disk, acked
}

// flip turns one bit of a file over.
func flip(t *testing.T, disk vfs.FS, name string, rng *rand.Rand) {
	t.Helper()
	b, err := readFile(disk, name)
	must(t, err)
	b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	rewrite(t, disk, name, b)
}

func rewrite(t *testing.T, disk vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(b)
	must(t, errors.Join(err, f.Close()))
}

// TestDamageIsNamedAndNothingIsLostSilently turns single bits over in every
// file. Either the file is named, at Open or by the read that meets it, or
// everything is there.
func TestDamageIsNamedAndNothingIsLostSilently(t *testing.T) {
	met := damaging(t, 2)
	for _, kind := range []string{".sst", ".log", "MANIFEST", "OPTIONS"} {
		if met[kind] == 0 {
			t.Errorf("damage to a file of kind %s was never met: %v", kind, met)
		}
	}
}

// A new store has nothing but its log, which Pebble begins in its oldest format.
func TestDamageToANewStoreIsNamed(t *testing.T) {
	if met := damaging(t, 0); met[".log"] == 0 {
		t.Errorf("damage to the log was never met: %v", met)
	}
}

// damaging damages a store of so many tables, and returns how often that was met by
// kinds of files.
func damaging(t *testing.T, tables int) map[string]int {
	t.Helper()
	sound, acked := soundStore(t, tables)
	files, err := sound.List("store")
	must(t, err)
	rng := rand.New(rand.NewPCG(2, 2))
	met := map[string]int{}
	for _, name := range files {
		info, err := sound.Stat("store/" + name)
		must(t, err)
		if info.Size() == 0 { // a marker is its name
			continue
		}
		for range storetest.Count(300) {
			disk := vfs.NewMem()
			_, err := vfs.Clone(sound, disk, "store", "store")
			must(t, err)
			flip(t, disk, "store/"+name, rng)
			if meet(t, disk, name, acked) {
				met[filepath.Ext(name)+strings.TrimRight(strings.Split(name, ".")[0], "-0123456789")]++
			}
		}
	}
	return met
}

// meet opens and reads a store with damage in the file name, and reports whether
// anything came of it.
func meet(t *testing.T, disk vfs.FS, name string, acked []store.Session) (met bool) {
	t.Helper()
	named := func(err error) bool {
		return errors.Is(err, ErrCorrupt) && strings.Contains(err.Error(), name) && strings.Contains(err.Error(), "restore the newest backup")
	}
	e, err := Open(Config{Dir: "store", FS: disk, Log: quiet()})
	if err != nil {
		if !named(err) {
			t.Errorf("Open with damage in %s = %v, want ErrCorrupt with the file and what to do", name, err)
		}
		return true
	}
	defer closed(t, e)
	for _, one := range acked {
		got, err := e.Sessions().Load(context.Background(), one.ID)
		switch {
		case named(err):
			met = true
		case err != nil || !got.Equal(one):
			t.Errorf("after damage in %s: Load = %v, want the session or ErrCorrupt with the file", name, err)
		}
	}
	if err := e.Ready(context.Background()); met && !named(err) {
		t.Errorf("Ready = %v, want the damaged file", err)
	}
	return met
}

// TestAFileThatIsGoneIsNamed: every file but those that Pebble can do without.
func TestAFileThatIsGoneIsNamed(t *testing.T) {
	sound, acked := soundStore(t, 2)
	files, err := sound.List("store")
	must(t, err)
	for _, name := range files {
		if !strings.HasSuffix(name, ".sst") && !strings.HasPrefix(name, "MANIFEST") {
			continue
		}
		disk := vfs.NewMem()
		_, err := vfs.Clone(sound, disk, "store", "store")
		must(t, err)
		must(t, disk.Remove("store/"+name))
		_, err = Open(Config{Dir: "store", FS: disk, Log: quiet()})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), strings.TrimSuffix(name, ".sst")) {
			t.Errorf("Open without %s (%d sessions) = %v, want ErrCorrupt with the file", name, len(acked), err)
		}
	}
}

func TestANewerPebbleIsNamed(t *testing.T) {
	dir := t.TempDir()
	reopen(t, Config{Dir: dir, Log: quiet()}, func(*Engine) {})
	markers, err := filepath.Glob(filepath.Join(dir, "marker.format-version.*"))
	must(t, err)
	must(t, os.Rename(markers[0], filepath.Join(dir, "marker.format-version.000099.099")))
	_, err = Open(Config{Dir: dir, Log: quiet()})
	if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "format 99, this program knows "+pebble.FormatNewest.String()[1:]) {
		t.Errorf("Open = %v, want ErrSchema with both formats", err)
	}
}

// TestATornListIsNotDamage: a power cut leaves any beginning of the last entry.
func TestATornListIsNotDamage(t *testing.T) {
	sound, _ := soundStore(t, 2)
	about, err := pebble.Peek("store", sound)
	must(t, err)
	whole, err := readFile(sound, about.ManifestFilename)
	must(t, err)
	last, next := 0, 0
	for next < len(whole) {
		last, next = next, next+list(whole).whole(next)
	}
	for cut := last; cut < len(whole); cut++ {
		if at := damagedList(whole[:cut]); at >= 0 {
			t.Errorf("cut at %d of %d: damage at %d, want none", cut, len(whole), at)
		}
	}
	if at := damagedList(append(whole, make([]byte, 100)...)); at >= 0 {
		t.Errorf("with zeros behind: damage at %d, want none", at)
	}
}

// FuzzChunks feeds both readers of foreign files.
func FuzzChunks(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add([]byte{0xd8, 0xea, 0x82, 0xa2, 0, 0, 1}, uint32(1))
	f.Add(make([]byte, 2*blockBytes+5), uint32(0))
	f.Fuzz(func(t *testing.T, data []byte, number uint32) {
		for name, at := range map[string]int{"list": damagedList(data), "log": damagedLog(data, number)} {
			if at >= len(data) {
				t.Errorf("%s: damage at %d of %d", name, at, len(data))
			}
		}
	})
}
