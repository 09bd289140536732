package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/longcase/longcase/gate"
)

// audit appends each decision of the gate to a file, one line of JSON each. It
// outlives a reload, which opens the file again: logrotate moves it, sends
// SIGHUP, and no line is lost between. A line that cannot be written is told in
// the log, not waited for.
type audit struct {
	log *slog.Logger

	mu   sync.Mutex
	file *os.File // nil: nothing is written
	mute bool     // the last line was lost, and the log says so
	cut  bool     // the file ends in the middle of a line
}

// openAudit opens path for its owner alone, to append; nil for none. A pipe is
// refused: whoever does not read it would hold up every decision.
func openAudit(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("gate.audit: %s is a pipe, and whoever does not read it would hold up every decision: name a file", path)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gate.audit: %w", err)
	}
	return f, nil
}

// endsCut reports whether file ends in the middle of a line, as one does that
// filled its disk.
func endsCut(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	r, err := os.Open(file.Name())
	if err != nil {
		return false
	}
	defer r.Close()
	var last [1]byte
	_, err = r.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// turn goes on with file and closes the one before.
func (a *audit) turn(file *os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		a.file.Close() // what could be written was
	}
	a.file, a.mute, a.cut = file, false, file != nil && endsCut(file)
}

func (a *audit) write(r gate.Record) {
	line, err := json.Marshal(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	if err == nil {
		err = a.append(append(line, '\n'))
	}
	if err != nil && !a.mute {
		a.log.Error("a decision is missing from the audit log; the gate goes on without it", "err", err)
	}
	a.mute = err != nil
}

// append writes a line, on one of its own even where the one before was cut. It
// is called with a.mu held.
func (a *audit) append(line []byte) error {
	if a.cut {
		line = append([]byte{'\n'}, line...)
	}
	n, err := a.file.Write(line)
	switch {
	case err == nil:
		a.cut = false
	case n > 0:
		a.cut = line[n-1] != '\n'
	}
	return err
}
