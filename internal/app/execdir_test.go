package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAKilledExecsFolderGoesWithTheNextOne(t *testing.T) {
	temp := t.TempDir()
	live, release, err := execDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	folder := func(name string) string {
		path := filepath.Join(temp, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path, "token"), "hush", 0o600)
		return path
	}
	killed, fresh, other := folder(execPrefix+"1"), folder(execPrefix+"2"), folder("longcase-other-1")
	link := filepath.Join(temp, execPrefix+"3")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{live, killed, other} {
		if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	next, releaseNext, err := execDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{live: true, killed: false, fresh: true, other: true, filepath.Join(other, "token"): true, next: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", filepath.Base(path), err, want)
		}
	}
	release()
	releaseNext()
	for _, path := range []string{live, next} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", filepath.Base(path))
		}
	}
}
