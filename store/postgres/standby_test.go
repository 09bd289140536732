package postgres

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
	"github.com/longcase/longcase/store"
)

// hotStandby is a failover: the server comes back in recovery, where it answers
// and takes no writes, and is promoted.
func hotStandby(t *testing.T, s *servertest.Postgres, e *Engine) {
	one := created(t, e)
	add(t, e, "before the failover")
	_, c := follow(t, e, "")
	s.Stop()
	asOwner(t, s, "touch", filepath.Join(s.Dir, "data", "standby.signal"))
	s.Start()
	_, errLoad := e.Sessions().Load(t.Context(), one.ID)
	_, errOpen := Open(t.Context(), e.cfg)
	for name, err := range map[string]error{"Replace": e.Sessions().Replace(t.Context(), rotated(one), 1), "Load": errLoad, "Open": errOpen} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s at a server in recovery = %v, want ErrUnavailable", name, err)
		}
	}
	if errOpen != nil && !strings.Contains(errOpen.Error(), "read only connection") {
		t.Errorf("Open at a server in recovery = %q, want why", errOpen)
	}
	execute(t, s.URL("postgres"), "SELECT pg_promote()")
	answers(t, e)
	if err := e.Sessions().Replace(t.Context(), rotated(one), 1); err != nil {
		t.Errorf("Replace when it is promoted = %v", err)
	}
	if got, _ := follow(t, e, c); !slices.Contains(got, "before the failover") {
		t.Errorf("a cursor of the server before goes on: %q, want the beginning", got)
	}
}

// asOwner runs a command as the user whom the server's data belong to.
func asOwner(t *testing.T, s *servertest.Postgres, command ...string) {
	t.Helper()
	if os.Getuid() == 0 {
		command = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}, command...)
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// answers waits until the server does, as a primary.
func answers(t *testing.T, e *Engine) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err = e.Clock(t.Context()); err == nil {
			return
		}
	}
	t.Fatal(err)
}
