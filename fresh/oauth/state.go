package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/longcase/longcase/fresh"
)

// State is where a refresh token lives on: across restarts, and for every
// process of this machine that names the same file.
type State struct {
	File string // mode 0600, on a local file system; its lock is File + ".lock"
	// Seed is the first refresh token. What the file holds outranks it, until the
	// seed changes to one that was never seen.
	Seed func() (string, error)
	// Grace is how long the service answers a repeat of a refresh whose answer was
	// lost; default 60 s. Negative: a repeat is always tried, because the service
	// does not rotate refresh tokens, or a false alarm of theft is the lesser evil.
	Grace time.Duration
}

const (
	usualGrace   = time.Minute
	stateVersion = 1
	maxState     = 1 << 20
	maxSeeds     = 256
)

// record is what a state file holds.
type record struct {
	Version int       `json:"version"`
	Of      string    `json:"of"`      // the service and client, hashed
	Seeds   []string  `json:"seeds"`   // every seed that was ever used, hashed
	Refresh string    `json:"refresh"` // the newest refresh token; empty: a person must sign in
	Refused string    `json:"refused,omitempty"`
	Kept    bool      `json:"kept,omitempty"`   // the service answered without a new refresh token: it does not rotate
	Tried   time.Time `json:"tried,omitzero"`   // when Refresh was first sent without an answer; zero: never
	Again   time.Time `json:"again,omitzero"`   // when it was last sent
	Over    bool      `json:"over,omitempty"`   // it was not sent again in time, and never will be
	Access  *access   `json:"access,omitempty"` // the newest access token
	Device  *pending  `json:"device,omitempty"` // a person is being asked
}

// code is the device code that waits; empty: none does.
func (r *record) code() string {
	if r.Device == nil {
		return ""
	}
	return r.Device.Code
}

// access is an access token for every process that wants the same.
type access struct {
	Want    string        `json:"want"` // audience, resource and scopes, hashed
	Value   string        `json:"value"`
	Type    string        `json:"type"`
	Scope   string        `json:"scope,omitempty"`
	Life    time.Duration `json:"life"`
	Expires time.Time     `json:"expires"` // by this host's clock
}

// left is how much of a's life is left at now; zero where the clock makes no
// sense of it.
func (a *access) left(now time.Time) time.Duration {
	left := a.Expires.Sub(now)
	if left > a.Life {
		return 0 // the clock was set back
	}
	return max(left, 0)
}

// hash names a secret without telling it.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_ = json.NewEncoder(h).Encode(p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// vault keeps a record: in a file, or without one in memory. Who calls load and
// save holds the lock.
type vault struct {
	file  string
	turn  chan struct{} // holds one token while nobody of this process has the lock
	inner record        // without a file
}

func newVault(file string) *vault {
	v := &vault{file: file, turn: make(chan struct{}, 1)}
	v.turn <- struct{}{}
	return v
}

func (v *vault) lock(ctx context.Context) (release func(), err error) {
	select {
	case <-v.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	back := func() { v.turn <- struct{}{} }
	if v.file == "" {
		return back, nil
	}
	unlock, err := lockFile(ctx, v.file+".lock")
	if err != nil {
		back()
		return nil, err
	}
	return func() { unlock(); back() }, nil
}

// load reads the record; the zero record has never been saved. A file that
// others may read, or that is damaged, is refused: the token before it would be
// an old one.
func (v *vault) load() (record, error) {
	if v.file == "" {
		return v.inner, nil
	}
	f, err := os.OpenFile(v.file, os.O_RDONLY|noFollow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, stateError("read", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return record{}, stateError("read", err)
	case !info.Mode().IsRegular():
		return record{}, fresh.Fail(fresh.Misconfigured, "state file %s is not a file", v.file)
	case info.Mode().Perm()&0o077 != 0:
		return record{}, fresh.Fail(fresh.Misconfigured, "state file %s has mode %04o: others of this machine may have the refresh token; sign in again, or set mode 0600", v.file, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return record{}, stateError("read", err)
	}
	rec, err := readRecord(data)
	if err != nil {
		return record{}, fresh.Fail(fresh.Malformed, "state file %s %s: remove it and sign in again", v.file, err)
	}
	return rec, nil
}

func readRecord(data []byte) (record, error) {
	var rec record
	switch err := json.Unmarshal(data, &rec); {
	case err != nil || len(data) > maxState:
		return record{}, errors.New("is damaged")
	case rec.Version != stateVersion:
		return record{}, errors.New("is of another version")
	case rec.Of == "":
		return record{}, errors.New("is damaged")
	}
	return rec, nil
}

// save replaces the record; once it returns nil, no crash brings the old one
// back.
func (v *vault) save(rec record) error {
	rec.Version = stateVersion
	if v.file == "" {
		v.inner = rec
		return nil
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return stateError("written", err)
	}
	beside := v.file + ".new" // the lock is ours: nobody else writes it
	if err := writeSynced(beside, data); err != nil {
		return stateError("written", err)
	}
	if err := os.Rename(beside, v.file); err != nil {
		return stateError("written", err)
	}
	if err := syncDir(filepath.Dir(v.file)); err != nil {
		return stateError("written", err)
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	_ = os.Remove(path) // what a crash left, or what somebody has open
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func stateError(done string, err error) error {
	return &fresh.Error{Reason: fresh.Unavailable, Detail: "the state file cannot be " + done, Err: err}
}
