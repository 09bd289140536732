package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
)

// inspect looks at what Pebble takes on trust when it opens a directory. It
// stops reading at the first damaged entry of the list of files (MANIFEST), as
// if the power had gone there, and drops the tables that later entries name; and
// at the first damaged entry in the last 32 KiB of the last log. isNew says that
// there is no store yet.
func (e *Engine) inspect() (isNew bool, err error) {
	disk, dir := e.room.disk, e.cfg.Dir
	about, err := pebble.Peek(dir, disk)
	if err != nil {
		if format := unknownFormat(err); format != "" {
			return false, fmt.Errorf("its files have Pebble's format %s, this program knows %d: start the version that wrote them: %w", format, pebble.FormatNewest, store.ErrSchema)
		}
		return false, err
	}
	if !about.Exists {
		return true, nil
	}
	files, err := readFile(disk, about.ManifestFilename)
	if err != nil {
		return false, damaged(about.ManifestFilename, err)
	}
	if at := damagedList(files); at >= 0 {
		return false, damaged(about.ManifestFilename, fmt.Errorf("the entry at byte %d of %d is not what was written", at, len(files)))
	}
	return false, errors.Join(e.inspectLog(), e.inspectOptions(about.OptionsFilename))
}

// inspectLog reads the last log; Pebble is strict with those before it.
func (e *Engine) inspectLog() error {
	names, err := e.room.disk.List(e.cfg.Dir)
	if err != nil {
		return err
	}
	last, name := uint64(0), ""
	for _, one := range names {
		number, isLog := strings.CutSuffix(one, ".log")
		if n, err := strconv.ParseUint(number, 10, 32); isLog && err == nil && n >= last {
			last, name = n, e.room.disk.PathJoin(e.cfg.Dir, one)
		}
	}
	if name == "" {
		return nil
	}
	log, err := readFile(e.room.disk, name)
	if err != nil {
		return damaged(name, err)
	}
	if at := damagedLog(log, uint32(last)); at >= 0 {
		return damaged(name, fmt.Errorf("the entry at byte %d of %d was written whole and is not now", at, len(log)))
	}
	return nil
}

// inspectOptions reads the file that Pebble leaves beside and reads at Open.
func (e *Engine) inspectOptions(name string) (err error) {
	if name == "" {
		return nil
	}
	text, err := readFile(e.room.disk, name)
	if err != nil {
		return damaged(name, err)
	}
	defer func() {
		if what := recover(); what != nil {
			err = damaged(name, fmt.Errorf("%v", what))
		}
	}()
	expected := &pebble.Options{FS: e.room.disk}
	expected.EnsureDefaults()
	if err := expected.CheckCompatibility(e.cfg.Dir, string(text)); err != nil {
		return damaged(name, err)
	}
	return nil
}

func damaged(name string, err error) error {
	return fmt.Errorf("%w: file %s: %w; %s", ErrCorrupt, name, err, remedy)
}

func unknownFormat(err error) string {
	found := regexp.MustCompile(`in unknown format major version (\d+)`).FindStringSubmatch(err.Error())
	if found == nil {
		return ""
	}
	return found[1]
}

// logFile is the name of the log whose reading failed, for which Pebble has only
// a detail beside the text.
func logFile(err error) string {
	found := regexp.MustCompile(`replaying wal (\d+)`).FindStringSubmatch(fmt.Sprintf("%+v", err))
	if found == nil {
		return ""
	}
	return fmt.Sprintf("%06s.log", found[1])
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func readFile(disk vfs.FS, name string) ([]byte, error) {
	f, err := disk.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}
