package agent

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

var secretShape = regexp.MustCompile(`^lc_agent_[A-Z2-7]{26}$`)

// secret is what the clients of a publication present, or what its tokens are
// made with. It stands in a file, so that clients find it and a restart keeps it.
type secret struct {
	path  string // empty: in memory only
	mode  fs.FileMode
	value atomic.Pointer[string] // nil before prepare
}

// folder is where the secrets of a form stand below Config.Dir; empty: it has
// none.
func (f Form) folder() string {
	switch f {
	case IMDS:
		return "imds"
	case AWSContainer:
		return "container"
	case AzureAppService:
		return "identity"
	}
	return ""
}

// secretPlace is where the secret of p stands: path, or only in memory under
// key. Publications with the same key share it.
func (a *Agent) secretPlace(p Publication) (key, path string) {
	folder := p.Form.folder()
	switch {
	case folder == "":
		return "", ""
	case p.TokenFile != "":
		return filepath.Clean(p.TokenFile), p.TokenFile
	case a.cfg.Dir != "":
		path = filepath.Join(a.cfg.Dir, folder, p.Name+".token")
		return path, path
	}
	return fmt.Sprintf("memory %s %s", p.Listen, p.Name), ""
}

// secretOf is the secret of p; nil for a form that has none.
func (a *Agent) secretOf(p Publication) *secret {
	key, _ := a.secretPlace(p)
	return a.secrets[key]
}

// secret makes the one of p, or finds it.
func (a *Agent) secret(p Publication) (*secret, error) {
	key, path := a.secretPlace(p)
	if path == "" && p.Form != IMDS {
		return nil, fmt.Errorf("%s: token_file is missing, and there is no data directory", p)
	}
	if s := a.secrets[key]; s != nil {
		if s.mode != p.mode() {
			return s, fmt.Errorf("%s: token_file %s is used with two modes", p, path)
		}
		return s, nil
	}
	for _, f := range a.cfg.Publish {
		if f.Form == File && filepath.Clean(f.Path) == key {
			return nil, fmt.Errorf("%s: token_file %s is where %q is published", p, path, f.Name)
		}
	}
	s := &secret{path: path, mode: p.mode()}
	a.secrets[key] = s
	return s, nil
}

func (p Publication) mode() fs.FileMode {
	if p.Mode == 0 {
		return 0o600
	}
	return p.Mode
}

// prepare takes over the secret that an earlier run left, or makes one.
func (s *secret) prepare(uid uint32) error {
	if s.path != "" {
		if v := takeOver(s.path, s.mode, uid); v != "" {
			s.value.Store(&v)
			return nil
		}
	}
	v := "lc_agent_" + rand.Text()
	if s.path != "" {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
			return fmt.Errorf("agent: token_file: %w", err)
		}
		if err := replace(s.path, []byte(v), s.mode); err != nil {
			return fmt.Errorf("agent: token_file: %w", err)
		}
	}
	s.value.Store(&v)
	return nil
}

// takeOver reads a secret that is our own file, unchanged in owner, mode and
// shape; anything else is replaced.
func takeOver(path string, mode fs.FileMode, uid uint32) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != mode {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != uid {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil || !secretShape.Match(b) {
		return ""
	}
	return string(b)
}

// is compares in constant time. Before prepare nothing matches.
func (s *secret) is(given string) bool {
	v := s.value.Load()
	return v != nil && subtle.ConstantTimeCompare([]byte(*v), []byte(given)) == 1
}

// text is the secret itself; errNotReady before prepare.
func (s *secret) text() (string, error) {
	if v := s.value.Load(); v != nil {
		return *v, nil
	}
	return "", errNotReady
}

// replace writes a file as a whole: a reader sees what was there or what is new,
// never a part, and no other process reads it in between. A crash leaves at most
// a hidden file beside it, of the same mode, which the next write removes.
func replace(path string, data []byte, mode fs.FileMode) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".longcase")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}
