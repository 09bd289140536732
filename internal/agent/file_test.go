package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

// mint makes a token of a fixed life, as a layer would: the same one until a
// third of its life is left, then the next; and none while it is down.
type mint struct {
	life time.Duration
	mu   sync.Mutex
	down bool
	made int
	have render.Token
}

func (m *mint) get(context.Context) (render.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if !m.down && !now.Before(m.have.Expires.Add(-m.life/3)) {
		m.made++
		m.have = render.Token{Value: fmt.Sprintf("token-%d", m.made), Expires: now.Add(m.life)}
	}
	if !now.Before(m.have.Expires) {
		return render.Token{}, fresh.Fail(fresh.Unavailable, "down")
	}
	return m.have, nil
}

func (m *mint) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// running runs an agent with one file in a bubble until the test is over.
func running(t *testing.T, p Publication) (stop func()) {
	t.Helper()
	p.Form, p.Name = File, "tok"
	a := prepared(t, Config{Publish: []Publication{p}, Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestAFileNeverHoldsWhatHasEnded(t *testing.T) {
	for _, life := range []time.Duration{2 * time.Second, time.Minute, time.Hour, 3 * time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			synctest.Test(t, func(t *testing.T) {
				m := &mint{life: life}
				defer running(t, Publication{Bearer: m.get, Path: path})()
				seen := map[string]bool{}
				for i := range 600 {
					m.set(i > 200 && i < 400) // the middle third: nobody mints, for many lives
					time.Sleep(life/30 + time.Millisecond)
					synctest.Wait()
					said := read(t, path)
					m.mu.Lock()
					have := m.have
					m.mu.Unlock()
					if said != "" && (said != have.Value || !time.Now().Before(have.Expires)) {
						t.Fatalf("after %d looks the file holds %q, which ended %s ago", i, said, time.Since(have.Expires))
					}
					if i > 360 && i < 400 && said != "" || (i < 200 || i > 430) && i > 1 && said == "" {
						t.Fatalf("after %d looks the file holds %q", i, said)
					}
					seen[said] = true
				}
				if len(seen) < 20 {
					t.Errorf("the file had %d contents", len(seen))
				}
			})
		})
	}
}

// Nor for an instant: neither when nobody answers nor when somebody says no.
func TestAFileGoesWhenItsCredentialEnds(t *testing.T) {
	for _, life := range []time.Duration{time.Second, 1234567 * time.Microsecond, 777 * time.Second} {
		for _, tt := range []struct {
			hang   bool
			silent time.Duration // from when on
		}{{true, life * 9 / 10}, {false, life * 9 / 10}, {true, life}, {false, life}} {
			path := filepath.Join(t.TempDir(), "token")
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				get := func(ctx context.Context) (render.Token, error) {
					if time.Since(began) < tt.silent {
						return render.Token{Value: "first", Expires: began.Add(life)}, nil
					}
					if tt.hang {
						<-ctx.Done()
					}
					return render.Token{}, fresh.Fail(fresh.Unavailable, "down")
				}
				defer running(t, Publication{Bearer: get, Path: path})()
				time.Sleep(life - 1)
				synctest.Wait()
				if said := read(t, path); said != "first" {
					t.Errorf("life %s, %+v: just before the end the file holds %q", life, tt, said)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if said := read(t, path); said != "" {
					t.Errorf("life %s, %+v: at the end the file holds %q", life, tt, said)
				}
			})
		}
	}
}

// A clock that is set back moves the end of what is in hand, and the file goes
// by that: the layer has counted what is left of it.
func TestAClockThatIsSetBackKeepsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		wall := &clock{now: began}
		tick := func(d time.Duration) { time.Sleep(d); wall.forward(d); synctest.Wait() }
		get := func(context.Context) (render.Token, error) {
			left := time.Minute - time.Since(began)
			if left <= 0 {
				return render.Token{}, fresh.Fail(fresh.Unavailable, "down")
			}
			return render.Token{Value: "first", Expires: wall.Now().Add(left)}, nil
		}
		a := prepared(t, Config{Publish: []Publication{{Form: File, Name: "tok", Bearer: get, Path: path}}, Now: wall.Now})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		defer func() { cancel(); <-done }()
		tick(time.Second)
		wall.forward(-time.Hour)
		for range 61 {
			tick(time.Second)
		}
		if said := read(t, path); said != "" {
			t.Errorf("a second after its end the file holds %q", said)
		}
	})
}

func TestWhatAFileHolds(t *testing.T) {
	keys := func(context.Context) (render.Keys, error) {
		return render.Keys{AccessKeyID: "AKID", SecretAccessKey: "sec/ret", SessionToken: "ses+s=", Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
	}
	bearer := func(context.Context) (render.Token, error) {
		return render.Token{Value: "a.b.c", Expires: time.Date(2100, 1, 1, 0, 0, 0, 9, time.UTC)}, nil
	}
	tests := []struct {
		name string
		p    Publication
		mode fs.FileMode
		want string
	}{
		{"a token as it is", Publication{Bearer: bearer}, 0o600, "a.b.c"},
		{"a token as JSON", Publication{Bearer: bearer, Format: formatJSON, Mode: 0o440}, 0o440, `{"access_token":"a.b.c","token_type":"Bearer","expires_at":"2100-01-01T00:00:00Z"}` + "\n"},
		{"keys as a profile", Publication{Keys: keys}, 0o600, "[default]\naws_access_key_id = AKID\naws_secret_access_key = sec/ret\naws_session_token = ses+s=\n"},
		{"keys as JSON", Publication{Keys: keys, Format: formatJSON, Mode: 0o640}, 0o640, `{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"sec/ret","SessionToken":"ses+s=","Expiration":"2100-01-01T00:00:00Z"}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.p.Path = filepath.Join(t.TempDir(), "out")
			synctest.Test(t, func(t *testing.T) {
				stop := running(t, tt.p)
				synctest.Wait()
				stop()
			})
			info, err := os.Stat(tt.p.Path) // left when the agent ends
			if err != nil || info.Mode() != tt.mode {
				t.Errorf("the file has mode %v, %v", info.Mode(), err)
			}
			if said := read(t, tt.p.Path); said != tt.want {
				t.Errorf("the file holds %q, want %q", said, tt.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(tt.p.Path)); len(left) != 1 {
				t.Errorf("beside the file stand %v", left)
			}
		})
	}
}

func TestAnEarlierRunsFileGoesUnlessItHasASuccessor(t *testing.T) {
	for _, down := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour, down: down}
			defer running(t, Publication{Bearer: m.get, Path: path})()
			synctest.Wait()
			if said := read(t, path); said == "old" || (said == "") != down {
				t.Errorf("down %v: the file holds %q", down, said)
			}
		})
	}
}

func TestAFileThatSomebodyTouchesIsWrittenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for name, touch := range map[string]func() error{
		"removed": func() error { return os.Remove(path) },
		"changed": func() error { return os.WriteFile(path, []byte("token-x"), 0o600) },
		"opened":  func() error { return os.Chmod(path, 0o644) },
		"a link": func() error {
			return errors.Join(os.Remove(path), os.Symlink("/nonexistent/elsewhere", path))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour}
			defer running(t, Publication{Bearer: m.get, Path: path})()
			synctest.Wait()
			if err := touch(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rarest)
			synctest.Wait()
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 || read(t, path) != "token-1" {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		})
	}
}

// What has ended is removed, but not what another put in its place.
func TestAnothersFileIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	f := &file{agent: prepared(t, Config{Now: time.Now}), p: Publication{Form: File, Name: "tok", Path: path}}
	if err := f.put([]byte("ours"), time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	f.remove()
	if said := read(t, path); said != "theirs" {
		t.Errorf("the file holds %q", said)
	}
}

func TestAFolderIsNoFileToRemove(t *testing.T) {
	path := t.TempDir()
	f := &file{agent: prepared(t, Config{Now: time.Now}), p: Publication{Form: File, Name: "tok", Path: path}}
	f.remove()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatIsMissingIsAsked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	synctest.Test(t, func(t *testing.T) {
		m := &mint{life: time.Hour}
		defer running(t, Publication{Bearer: m.get, Path: filepath.Join(dir, "token")})()
		time.Sleep(10 * time.Second)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * afterNo)
		synctest.Wait()
		if said := read(t, filepath.Join(dir, "token")); said != "token-1" {
			t.Errorf("the file holds %q", said)
		}
	})
}

// A reader sees one whole token or another, never a part, and never none.
func TestAReaderSeesWholeTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	whole := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 8192) }
	if err := replace(path, []byte(whole(0)), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for i := range 100 {
			if err := replace(path, []byte(whole(i)), 0o600); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		b, err := os.ReadFile(path)
		if err != nil || len(b) != 8192 || strings.Count(string(b), string(b[:1])) != 8192 {
			t.Errorf("a reader sees %d bytes, %v", len(b), err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}
