package file

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// jwt is a token nobody could verify, with a signature of the right length.
func jwt(alg, payload string, signature int) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64(fmt.Appendf(nil, `{"alg":%q,"kid":"k"}`, alg)) + "." + b64([]byte(payload)) + "." + b64(make([]byte, signature))
}

func ending(at time.Time) string {
	return jwt("RS256", fmt.Sprintf(`{"iss":"https://k8s","exp":%d,"nbf":%d}`, at.Unix(), at.Add(-time.Hour).Unix()), 256)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAFileMayHold(t *testing.T) {
	hour := start.Add(time.Hour)
	good := ending(hour)
	jwe := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`)) + ".a.b.c.d"
	flask := base64.RawURLEncoding.EncodeToString([]byte(`{"user":"a"}`)) + ".ZYX.abc"
	tests := []struct {
		name, content string
		ends          time.Time
		want          error
	}{
		{"a JWT", good, hour, nil},
		{"white space around it", "\n\t " + good + "\r\n", hour, nil},
		{"an algorithm we do not verify", jwt("RS512", `{"exp":1805000000}`, 512), time.Unix(1805000000, 0), nil},
		{"ES512", jwt("ES512", `{"exp":1805000000.5}`, 132), time.UnixMilli(1805000000500), nil},
		{"an algorithm nobody knows", jwt("ML-DSA-65", `{"exp":1805000000}`, 3309), time.Unix(1805000000, 0), nil},
		{"a JWT without exp has no end", jwt("HS256", `{"sub":"a"}`, 32), time.Time{}, nil},
		{"another token has no end", "ghp_16C7e42F292c6912E7", time.Time{}, nil},
		{"an encrypted token has none that can be read", jwe, time.Time{}, nil},
		{"a signed cookie is no JWT", flask, time.Time{}, nil},
		{"base64 of JSON is no JWT", base64.RawURLEncoding.EncodeToString([]byte(`{"user":"a"}`)), time.Time{}, nil},
		{"the end is exclusive", ending(start), time.Time{}, fresh.Ended},
		{"an ended JWT", ending(start.Add(-time.Minute)), time.Time{}, fresh.Ended},
		{"exp of 1970", jwt("HS256", `{"exp":0}`, 32), time.Time{}, fresh.Ended},
		{"nothing", "", time.Time{}, fresh.Malformed},
		{"white space only", " \n", time.Time{}, fresh.Malformed},
		{"two tokens", good + "\n" + good, time.Time{}, fresh.Malformed},
		{"a JWT cut in its header", good[:10], time.Time{}, fresh.Malformed},
		{"a JWT cut after its header", good[:strings.Index(good, ".")], time.Time{}, fresh.Malformed},
		{"a JWT cut in its payload", good[:60], time.Time{}, fresh.Malformed},
		{"a JWT cut before its signature", good[:strings.LastIndex(good, ".")+1], time.Time{}, fresh.Malformed},
		{"a JWT cut in its signature", good[:len(good)-40], time.Time{}, fresh.Malformed},
		{"an unsigned JWT", jwt("none", `{"exp":1805000000}`, 0), time.Time{}, fresh.Malformed},
		{"exp is a string", jwt("HS256", `{"exp":"1805000000"}`, 32), time.Time{}, fresh.Malformed},
		{"exp is null", jwt("HS256", `{"exp":null}`, 32), time.Time{}, fresh.Malformed},
		{"exp is negative", jwt("HS256", `{"exp":-1}`, 32), time.Time{}, fresh.Malformed},
		{"exp in milliseconds", jwt("HS256", `{"exp":1805000000000}`, 32), time.Time{}, fresh.Malformed},
		{"two exp", jwt("HS256", `{"exp":1805000000,"exp":1895000000}`, 32), time.Time{}, fresh.Malformed},
		{"the payload is an array", jwt("HS256", `[]`, 32), time.Time{}, fresh.Malformed},
		{"JSON round the token", `{"value":"` + good + `"}`, time.Time{}, fresh.Malformed},
		{"bytes", "abc\x00\xff", time.Time{}, fresh.Malformed},
		{"too much", strings.Repeat("a", maxSize+1), time.Time{}, fresh.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			write(t, path, tt.content)
			got, err := JWT(JWTConfig{Path: path})(t.Context(), start)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("JWT = %v, want %v", err, tt.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), path) || len(tt.content) > 20 && strings.Contains(err.Error(), tt.content[5:20]) {
					t.Errorf("%q names no path, or quotes the file", err)
				}
				return
			}
			if got.Value.Value != strings.TrimSpace(tt.content) || !got.Expires.Equal(tt.ends) || got.Recheck != 5*time.Second {
				t.Errorf("JWT = %q, ends %s, read again after %s", got.Value.Value, got.Expires, got.Recheck)
			}
		})
	}
}

func TestWhatIsNoFileSaysSo(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	tests := []struct {
		name   string
		config JWTConfig
		want   fresh.Reason
		says   string
	}{
		{"no file", JWTConfig{Path: missing}, fresh.Unavailable, missing + " cannot be read: no such file"},
		{"a directory", JWTConfig{Path: dir}, fresh.Misconfigured, dir + " is a directory"},
		{"a FIFO, without waiting for a writer", JWTConfig{Path: fifo}, fresh.Misconfigured, fifo + " is not a regular file"},
		{"a device", JWTConfig{Path: "/dev/zero"}, fresh.Misconfigured, "/dev/zero is not a regular file"},
		{"a file as a folder", JWTConfig{Path: "/dev/null/x"}, fresh.Unavailable, "cannot be read"},
		{"no path", JWTConfig{}, fresh.Misconfigured, "needs a path"},
		{"a path no system has", JWTConfig{Path: "a\x00b"}, fresh.Misconfigured, "is not a file's"},
		{"a negative recheck", JWTConfig{Path: "a", Recheck: -1}, fresh.Misconfigured, "negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := JWT(tt.config)(t.Context(), start)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("JWT = %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
	denied := unreadable("/secret", &fs.PathError{Op: "open", Path: "/secret", Err: syscall.EACCES}) // root is never denied
	if !errors.Is(denied, fresh.Misconfigured) || denied.Error() != "/secret cannot be read: permission denied" {
		t.Errorf("a denied file: %v", denied)
	}
}

func TestAFileThatIsBeingWrittenIsMalformed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for name, change := range map[string]string{"longer": "abcdef", "shorter": "ab", "as long": "def"} {
		write(t, path, "abc")
		past := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		before, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, change)
		if data, err := readAll(f, before); !errors.Is(err, fresh.Malformed) || !strings.Contains(err.Error(), "is being written") {
			t.Errorf("made %s meanwhile: %q, %v", name, data, err)
		}
		_ = f.Close()
	}
}

func TestAReaderSeesWholeTokensOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	far := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	tokens := []string{ending(far), ending(far.Add(1 << 30)), jwt("ES256", `{"sub":"another"}`, 64)}
	write(t, path, tokens[0])
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(path, []byte(tokens[i%len(tokens)]), 0o600)
			}
		}
	}()
	root := JWT(JWTConfig{Path: path})
	for range 2000 {
		got, err := root(t.Context(), start)
		if err == nil && !slices.Contains(tokens, got.Value.Value) {
			t.Errorf("a mixture: %q", got.Value.Value)
		}
		if err != nil && !errors.Is(err, fresh.Malformed) {
			t.Error(err)
		}
	}
	close(stop)
	<-stopped
}

// replacements are the ways in which files change.
var replacements = map[string]func(t *testing.T, path, content string){
	"overwritten": write,
	"renamed over": func(t *testing.T, path, content string) {
		write(t, path+".new", content)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	},
	"removed and made anew": func(t *testing.T, path, content string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
	},
	"with its old time and size": func(t *testing.T, path, content string) {
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
		if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
	},
	"behind a symbolic link, as Kubernetes does": func(t *testing.T, path, content string) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "token"), content)
		data := filepath.Join(filepath.Dir(path), "..data")
		if err := os.Symlink(dir, data+"_tmp"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(data+"_tmp", data); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(path)
		if err := os.Symlink(filepath.Join("..data", "token"), path); err != nil {
			t.Fatal(err)
		}
	},
}

func TestAReplacedFileIsSeen(t *testing.T) {
	for name, replace := range replacements {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				old, next := ending(now.Add(time.Hour)), ending(now.Add(2*time.Hour))
				write(t, path, old)
				layer := fresh.New(JWT(JWTConfig{Path: path}), fresh.Policy{Name: "pod"})
				lease, err := layer.Get(t.Context())
				if err != nil || lease.Value.Value != old {
					t.Fatalf("Get = %v", err)
				}
				replace(t, path, next)
				time.Sleep(6 * time.Second)
				_, _ = layer.Get(t.Context()) // reads in the background
				synctest.Wait()
				if lease, err = layer.Get(t.Context()); err != nil || lease.Value.Value != next || !lease.Expires.Equal(now.Add(2*time.Hour).Truncate(time.Second)) {
					t.Errorf("the new content is not seen: %v, ends %s", err, lease.Expires)
				}
			})
		})
	}
}

func TestARefusedTokenIsReadAnewAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		old, next := ending(time.Now().Add(time.Hour)), ending(time.Now().Add(2*time.Hour))
		write(t, path, old)
		layer := fresh.New(JWT(JWTConfig{Path: path}), fresh.Policy{})
		lease, err := layer.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, next)
		if !layer.Invalidate(lease) {
			t.Error("Invalidate = false")
		}
		if lease, err = layer.Get(t.Context()); err != nil || lease.Value.Value != next {
			t.Errorf("Get after Invalidate = %v", err)
		}
	})
}

func TestAHalfWrittenFileLeavesTheOldTokenServingUntilItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		old := ending(time.Now().Add(time.Minute))
		write(t, path, old)
		layer := fresh.New(JWT(JWTConfig{Path: path}), fresh.Policy{Name: "pod"})
		if _, err := layer.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, path, old[:40])
		for range 11 {
			time.Sleep(5 * time.Second)
			if lease, err := layer.Get(t.Context()); err != nil || lease.Value.Value != old {
				t.Fatalf("Get = %v while the old token lives", err)
			}
		}
		time.Sleep(time.Minute)
		_, err := layer.Get(t.Context())
		if !errors.Is(err, fresh.Malformed) || !strings.Contains(err.Error(), path) {
			t.Errorf("Get after the end = %v, want Malformed", err)
		}
		time.Sleep(time.Minute) // beyond any backoff
		write(t, path, ending(time.Now().Add(time.Hour)))
		if _, err := layer.Get(t.Context()); err != nil {
			t.Errorf("Get of a good file = %v", err)
		}
	})
}

func FuzzJWT(f *testing.F) {
	f.Add([]byte(ending(start)))
	f.Add([]byte("eyJ.eyJ.e30"))
	f.Add([]byte(" opaque\n"))
	f.Add([]byte(jwt("ES256", `{"exp":1e10,"nbf":-0}`, 64)))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := JWTConfig{Path: "token", Recheck: time.Second}.credential(data, start)
		if err != nil {
			return
		}
		if v := got.Value.Value; v == "" || v != strings.TrimSpace(string(data)) || strings.ContainsAny(v, " \r\n\t\x00") {
			t.Errorf("%q gives %q", data, v)
		}
		if !got.Expires.IsZero() && !got.Expires.After(start) {
			t.Errorf("%q: an ended token, %s", data, got.Expires)
		}
	})
}
