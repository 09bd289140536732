package steady

import (
	"archive/zip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Cassandra ends rows by its own clock, and reads it through an interface of its
// own (-Dcassandra.clock). MovedClock.java is one that can be moved ahead, so
// that hours of TTL and gc_grace pass in seconds and everything else is as it
// is: the engine, its statements, its tables, their settings.

//go:embed MovedClock.java
var movedClock []byte

// MovedClock is how far a Cassandra's clock is ahead of this host's.
type MovedClock struct {
	Options string // what Java must be told: JAVA_TOOL_OPTIONS
	file    string
}

// NewMovedClock compiles the clock below dir with the compiler that Cassandra
// brings. jars is the directory of Cassandra's jars.
func NewMovedClock(dir, jars string) (MovedClock, error) {
	source, jar, file := filepath.Join(dir, "MovedClock.java"), filepath.Join(dir, "clock.jar"), filepath.Join(dir, "ahead")
	if err := os.WriteFile(source, movedClock, 0o600); err != nil {
		return MovedClock{}, err
	}
	compiler, err := only(filepath.Join(jars, "ecj-*.jar"))
	if err != nil {
		return MovedClock{}, err
	}
	cassandra, err := only(filepath.Join(jars, "cassandra-all-*.jar"))
	if err != nil {
		return MovedClock{}, err
	}
	cmd := exec.Command("java", "-cp", compiler, "org.eclipse.jdt.internal.compiler.batch.Main", "-11", "-d", dir, "-cp", cassandra, source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return MovedClock{}, fmt.Errorf("compile MovedClock.java: %w: %s", err, out)
	}
	if err := pack(jar, filepath.Join(dir, "longcase", "MovedClock.class")); err != nil {
		return MovedClock{}, err
	}
	m := MovedClock{fmt.Sprintf("-javaagent:%s -Dcassandra.clock=longcase.MovedClock -Dlongcase.clock.file=%s", jar, file), file}
	if _, err := m.ahead(); err == nil {
		return m, nil // a clock that was moved stays where it is
	}
	return m, os.WriteFile(file, make([]byte, 8), 0o600)
}

func (m MovedClock) ahead() (time.Duration, error) {
	b, err := os.ReadFile(m.file)
	if err == nil && len(b) != 8 {
		err = fmt.Errorf("%s has %d bytes, want 8", m.file, len(b))
	}
	if err != nil {
		return 0, err
	}
	return time.Duration(binary.BigEndian.Uint64(b)) * time.Millisecond, nil
}

// clock is one that begins where the cluster's stands.
func (m MovedClock) clock() (*clock, error) {
	ahead, err := m.ahead()
	return newClock(time.Now().Add(ahead)), err
}

// follow moves the cluster's clock to c's, and never back: what the cluster wrote
// before would win over what it writes next.
func (m MovedClock) follow(c *clock) error {
	was, err := m.ahead()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(m.file, os.O_WRONLY, 0o600) // written in place: Cassandra has it mapped
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(max(was, time.Until(c.now())).Milliseconds())), 0)
	return errors.Join(err, f.Close())
}

// stamp gives the tables' files that were made since the last time the age that
// Cassandra's clock would have given them. It looks at when a file was made to
// merge one alone only once in tombstone_compaction_interval: files of this
// host's time are old at once, and would be merged without an end.
func (m MovedClock) stamp(c Cluster) error {
	ahead, err := m.ahead()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "1", "data", "*", "*", "*-Data.db"))
	if err != nil {
		return err
	}
	now := time.Now()
	for _, file := range files {
		info, err := os.Stat(file)
		if err == nil && !info.ModTime().After(now) {
			err = os.Chtimes(file, time.Time{}, info.ModTime().Add(ahead))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it was merged meanwhile
			return err
		}
	}
	return nil
}

func only(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		return "", errors.Join(err, fmt.Errorf("%d files %s, want one: run servers/cassandra/cassandra setup", len(found), pattern))
	}
	return found[0], nil
}

// pack makes a jar of an agent.
func pack(jar, class string) error {
	code, err := os.ReadFile(class)
	if err != nil {
		return err
	}
	f, err := os.Create(jar)
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	for _, part := range []struct {
		name string
		data []byte
	}{
		{"META-INF/MANIFEST.MF", []byte("Manifest-Version: 1.0\r\nPremain-Class: longcase.MovedClock\r\n\r\n")},
		{"longcase/MovedClock.class", code},
	} {
		w, err := z.Create(part.name)
		if err == nil {
			_, err = w.Write(part.data)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(z.Close(), f.Close())
}
