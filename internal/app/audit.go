package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"

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
}

// openAudit opens path for its owner alone, to append; nil for none.
func openAudit(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gate.audit: %w", err)
	}
	return f, nil
}

// turn goes on with file and closes the one before.
func (a *audit) turn(file *os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		a.file.Close() // every line was written whole
	}
	a.file, a.mute = file, false
}

func (a *audit) write(r gate.Record) {
	line, err := json.Marshal(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	if err == nil {
		_, err = a.file.Write(append(line, '\n'))
	}
	if err != nil && !a.mute {
		a.log.Error("a decision is missing from the audit log; the gate goes on without it", "err", err)
	}
	a.mute = err != nil
}
