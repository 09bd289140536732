package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

// rotateDir, in the environment, makes the test binary the child of
// TestNoAcknowledgedRotationIsLostToAKill.
const rotateDir = "LONGCASE_TEST_ROTATE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(rotateDir); dir != "" {
		if err := rotateForEver(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const killSessions = 8

// killID names the sessions of the kill test, the same in every child.
func killID(i int, end time.Time) store.ID {
	id := store.NewID(end.Add(-time.Hour), end)
	copy(id[endBytes:], bytes.Repeat([]byte{byte(i)}, idBytes-endBytes))
	return id
}

// rotateForEver rotates sessions from where they stand and writes a line per
// acknowledgement: session, generation.
func rotateForEver(dir string, acks io.Writer) error {
	e, err := Open(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	end, err := killEnd(dir)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, killSessions)
	for i := range killSessions {
		wg.Go(func() { errs <- rotateOne(e, killID(i, end), end, i, acks) })
	}
	err = <-errs // only a failure ends a rotation
	wg.Wait()
	return err
}

func rotateOne(e *Engine, id store.ID, end time.Time, i int, acks io.Writer) error {
	ctx := context.Background()
	s, err := e.Sessions().Load(ctx, id)
	if err != nil {
		s = store.Session{ID: id, End: end, Generation: 1, Data: data(1)}
		if err := e.Sessions().Create(ctx, s); err != nil {
			return err
		}
	}
	for {
		old := s.Generation
		s.Generation, s.Data = old+1, data(uint64(old+1))
		if err := e.Sessions().Replace(ctx, s, old); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(acks, "%d %d\n", i, s.Generation); err != nil { // one write a line: a pipe keeps it whole
			return err
		}
	}
}

func killEnd(dir string) (time.Time, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "end"))
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	return time.Unix(n, 0).UTC(), err
}

// TestNoAcknowledgedRotationIsLostToAKill kills a process that rotates with
// SIGKILL at random moments, at least 20 times, and opens what it left.
func TestNoAcknowledgedRotationIsLostToAKill(t *testing.T) {
	root := t.TempDir()
	dir, end := filepath.Join(root, "store"), time.Now().Add(time.Hour).Truncate(time.Second)
	if err := os.WriteFile(filepath.Join(root, "end"), []byte(strconv.FormatInt(end.Unix(), 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	acked := make([]uint64, killSessions)
	total := uint64(0)
	for round := range max(storetest.Count(200), 20) {
		killed(t, dir, time.Duration(rand.IntN(60))*time.Millisecond, acked)
		sum := checkKilled(t, dir, end, acked)
		if sum <= total {
			t.Fatalf("round %d: nothing was rotated", round)
		}
		total = sum
	}
	t.Logf("%d rotations acknowledged", total)
}

// killed runs the child until it has acknowledged something, and then for
// extra, and keeps the highest acknowledgements.
func killed(t *testing.T, dir string, extra time.Duration, acked []uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), rotateDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	child.Stderr = &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); first = false {
		if first {
			if _, err := Open(Config{Dir: dir, Log: quiet()}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Open beside another process = %v, want ErrLocked with the directory", err)
			}
			time.AfterFunc(extra, func() { _ = child.Process.Kill() })
		}
		var i int
		var g uint64
		if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &i, &g); n == 2 {
			acked[i] = max(acked[i], g)
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended with %v, want killed: %s", err, said.String())
	}
}

// checkKilled opens the store and returns the sum of the acknowledgements.
func checkKilled(t *testing.T, dir string, end time.Time, acked []uint64) (sum uint64) {
	t.Helper()
	e, err := Open(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, e)
	for i, want := range acked {
		sum += want
		if want == 0 {
			continue
		}
		got, err := e.Sessions().Load(context.Background(), killID(i, end))
		if err != nil || uint64(got.Generation) < want {
			t.Errorf("session %d is at generation %d, %v; %d was acknowledged", i, got.Generation, err, want)
		} else if !bytes.Equal(got.Data, data(uint64(got.Generation))) {
			t.Errorf("session %d: generation %d is half written", i, got.Generation)
		}
	}
	return sum
}
