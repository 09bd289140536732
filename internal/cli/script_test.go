package cli

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary the longcase of the scripts. Its clock stands
// still at LONGCASE_TEST_NOW (Unix seconds), if that is set.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"longcase": func() {
		env := Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
		if at, err := strconv.ParseInt(os.Getenv("LONGCASE_TEST_NOW"), 10, 64); err == nil {
			env.Now = func() time.Time { return time.Unix(at, 0) }
		}
		os.Exit(Main(context.Background(), os.Args[1:], env))
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		Setup:         givePorts,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"code": code, "ready": ready, "capture": capture, "fill": fill},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") == "1",
	})
}

// givePorts names addresses that are free: ISSUER, GATE and NOBODY.
func givePorts(env *testscript.Env) error {
	for _, name := range []string{"ISSUER", "GATE", "NOBODY"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		env.Setenv(name, ln.Addr().String())
		if err := ln.Close(); err != nil {
			return err
		}
	}
	return nil
}

// code runs a command that must end with an exit code: code 3 longcase client list
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		got = -1
		if e, ok := err.(interface{ ExitCode() int }); ok {
			got = e.ExitCode()
		}
	}
	if got != want {
		ts.Fatalf("%v exits with %d, want %d (%v)", args[1:], got, want, err)
	}
}

// ready waits until a server answers: ready ADDRESS
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready ADDRESS")
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + args[0] + "/.longcase/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("%s is not ready", args[0])
}

// capture keeps the first line of the last stdout in a variable, or the text
// after a word of it: capture NAME [WORD]
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: capture NAME [WORD]")
	}
	ts.Setenv(args[0], lineAfter(ts.ReadFile("stdout"), args[1:]))
}

// lineAfter is the first line of out, or what follows word on a line of its own.
func lineAfter(out string, word []string) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if len(word) == 0 {
			return line
		}
		if rest, ok := strings.CutPrefix(line, word[0]+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// fill writes the variables of the environment into files: fill FILE...
func fill(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		text := os.Expand(ts.ReadFile(path), func(key string) string {
			if key == "$" {
				return "$"
			}
			return ts.Getenv(key)
		})
		ts.Check(os.WriteFile(path, []byte(text), 0o600))
	}
}
