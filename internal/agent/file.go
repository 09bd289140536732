package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longcase/longcase/internal/agent/render"
)

// What a file holds.
const (
	formatToken = "token"           // the token itself, no line break
	formatAWS   = "aws-credentials" // a shared credentials file of AWS
	formatJSON  = "json"            // as a credential_process prints it, or access_token with expires_at
)

// How often a file's credential is looked at: a tenth of what remains of it,
// within these bounds. A look costs nothing when nothing is new.
const (
	oftenest = 100 * time.Millisecond
	rarest   = time.Second     // no timer runs while the machine sleeps, and a clock may be set
	endless  = 5 * time.Second // between looks at what has no end
	afterNo  = time.Second     // after a failure
)

// file keeps one file fresh. It is there exactly while the agent knows that what
// it holds is alive: a new credential replaces it, the end of the last one
// removes it, and one that an earlier run left is removed if there is no
// successor at once. When the agent itself ends the file is left, so that a
// restart takes nothing away from a program that lives on it; see Retire for
// what is published no more.
type file struct {
	agent *Agent
	p     Publication
	holds string      // what was written; empty: nothing
	wrote fs.FileInfo // the file as it was written
	end   time.Time   // of what it holds; zero: none
	told  bool        // the last look failed, and it was said
}

func (a *Agent) addFile(p Publication) {
	p.Format = p.format()
	a.files = append(a.files, &file{agent: a, p: p})
}

// format is the one asked for, or the default of the credential's kind.
func (p Publication) format() string {
	switch {
	case p.Format != "":
		return p.Format
	case p.Keys != nil:
		return formatAWS
	}
	return formatToken
}

// run looks until ctx ends.
func (f *file) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := f.look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// look brings the file up to date, and says when to look again.
func (f *file) look(ctx context.Context) time.Duration {
	if f.ended() {
		f.remove()
	}
	data, end, err := f.get(ctx)
	if ctx.Err() != nil {
		return 0
	}
	switch {
	case err != nil:
	case string(data) == f.holds && f.untouched():
		f.end = end // it moves when a clock is set
	default:
		err = f.put(data, end)
	}
	if err == nil {
		f.told = false
		return f.pause()
	}
	f.tell(err)
	if f.holds == "" || f.ended() {
		f.remove()
	}
	return min(afterNo, f.remaining(afterNo))
}

// get asks for the credential, and waits no longer than what the file holds
// lives.
func (f *file) get(ctx context.Context) ([]byte, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, min(patience, f.remaining(patience)))
	defer cancel()
	if f.p.Keys != nil {
		k, err := f.p.Keys(ctx)
		if err == nil {
			err = k.Check(f.agent.cfg.Now())
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		data, err := f.keys(k)
		return data, k.Expires, err
	}
	t, err := f.p.Bearer(ctx)
	if err == nil {
		err = t.Check(f.agent.cfg.Now())
	}
	return f.token(t), t.Expires, err
}

func (f *file) keys(k render.Keys) ([]byte, error) {
	if f.p.Format == formatAWS {
		return render.AWSCredentials(k)
	}
	return render.CredentialProcess(k), nil
}

func (f *file) token(t render.Token) []byte {
	if f.p.Format == formatJSON {
		return render.JSONToken(t)
	}
	return []byte(t.Value)
}

func (f *file) put(data []byte, end time.Time) error {
	if err := replace(f.p.Path, data, f.p.mode()); err != nil {
		return fmt.Errorf("the file cannot be written: %w", err)
	}
	wrote, err := os.Lstat(f.p.Path)
	if err != nil {
		return fmt.Errorf("the file cannot be found again: %w", err)
	}
	f.holds, f.wrote, f.end = string(data), wrote, end
	f.agent.served(f.p)
	return nil
}

// untouched reports whether the file is still the one that was written.
func (f *file) untouched() bool {
	now, err := os.Lstat(f.p.Path)
	return err == nil && f.wrote != nil && os.SameFile(now, f.wrote) &&
		now.ModTime().Equal(f.wrote.ModTime()) && now.Size() == f.wrote.Size() && now.Mode() == f.wrote.Mode()
}

// remove takes the file away: ours, or one that an earlier run left. What
// another has put in its place since is not touched.
func (f *file) remove() {
	if f.holds != "" && !f.untouched() {
		f.holds, f.wrote, f.end = "", nil, time.Time{}
		return
	}
	f.holds, f.wrote, f.end = "", nil, time.Time{}
	err := unix.Unlink(f.p.Path) // never a folder
	switch {
	case err == nil:
		f.agent.cfg.Log.Warn("a published file is removed: no live credential is at hand", "credential", f.p.Name, "path", f.p.Path)
	case !errors.Is(err, fs.ErrNotExist):
		f.agent.cfg.Log.Error("a published file with an ended credential cannot be removed", "credential", f.p.Name, "path", f.p.Path, "err", err)
	}
}

// retire takes away what is published no more, if it is still ours.
func (f *file) retire() {
	if f.holds == "" || !f.untouched() {
		return
	}
	log := f.agent.cfg.Log.With("credential", f.p.Name, "path", f.p.Path)
	if err := os.Remove(f.p.Path); err != nil {
		log.Error("a file that is published no more cannot be removed, and its credential will end", "err", err)
		return
	}
	log.Info("a file that is published no more is removed")
}

// tell logs the first failure of a row.
func (f *file) tell(err error) {
	f.agent.refused(File, f.p.Name, ByUpstream)
	if f.told {
		return
	}
	f.told = true
	f.agent.cfg.Log.Warn("a published credential cannot be had", "credential", f.p.Name, "form", string(File), "path", f.p.Path, "err", err)
}

func (f *file) ended() bool { return f.holds != "" && f.remaining(time.Second) <= 0 }

// remaining is how long what the file holds lives; otherwise, if it holds
// nothing or that has no end.
func (f *file) remaining(otherwise time.Duration) time.Duration {
	if f.holds == "" || f.end.IsZero() {
		return otherwise
	}
	return f.end.Sub(f.agent.cfg.Now())
}

// pause is until the next look, and never beyond the end.
func (f *file) pause() time.Duration {
	if f.end.IsZero() {
		return endless
	}
	left := f.remaining(0)
	return min(max(left/10, oftenest), rarest, left)
}
