package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/internal/telemetry"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
)

func TestEveryErrorOfAStoreHasAName(t *testing.T) {
	named := map[string]bool{}
	for _, err := range []error{store.ErrNotFound, store.ErrConflict, store.ErrUnknown, store.ErrEnded, store.ErrTooLate, store.ErrTooLarge,
		store.ErrFull, store.ErrClosed, store.ErrUnavailable, store.ErrReadOnly, store.ErrSchema} {
		name := outcomeOf(fmt.Errorf("session x: %w", err))
		if name == "" || name == "error" || named[name] {
			t.Errorf("%v is called %q", err, name)
		}
		named[name] = true
	}
	if outcomeOf(nil) != "" || outcomeOf(errors.New("other")) != "error" || outcomeOf(context.Canceled) != "canceled" {
		t.Error("no error, another one, or a caller that left, have a wrong name")
	}
}

func TestAStoreThatComesAndGoesIsToldOnce(t *testing.T) {
	var log lockedBuffer
	var ups []bool
	r := &reach{log: slog.New(slog.NewTextHandler(&log, nil)), tell: func(up bool) { ups = append(ups, up) }}
	hear := func(err error) { r.heard(outcomeOf(err), err) }
	for range 3 {
		hear(nil)
		hear(store.ErrNotFound)
	}
	for range 3 { // the second and third time within 10 s are not told
		for range 5 {
			hear(store.ErrUnavailable)
			hear(store.ErrUnknown)
			hear(context.Canceled)
		}
		hear(store.ErrConflict)
	}
	if want := []bool{false, true, false, true, false, true}; fmt.Sprint(ups) != fmt.Sprint(want) {
		t.Errorf("up: %v, want %v", ups, want)
	}
	if text := log.String(); strings.Count(text, "cannot be reached;") != 1 || strings.Count(text, "reached again") != 1 {
		t.Errorf("the log:\n%s", text)
	}
}

func TestAStoreThatIsLostAgainAtOnceIsToldWhenItStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		r := &reach{log: slog.New(slog.NewTextHandler(&log, nil)), tell: func(bool) {}}
		hear := func(err error) { r.heard(outcomeOf(err), err) }
		hear(store.ErrUnavailable)
		hear(nil)
		hear(store.ErrUnavailable)
		for range 30 {
			time.Sleep(time.Second)
			hear(store.ErrUnavailable)
		}
		hear(nil)
		if text := log.String(); strings.Count(text, "cannot be reached;") != 2 || strings.Count(text, "reached again") != 2 {
			t.Errorf("the log:\n%s", text)
		}
	})
}

func TestCallsOfTheStoreAreCounted(t *testing.T) {
	metrics := telemetry.New("test")
	e := newMetered(memory.New(memory.Config{}), &meter{engine: "memory", metrics: metrics, reach: &reach{tell: func(bool) {}}})
	id := store.NewID(time.Now(), time.Now().Add(time.Hour))
	for range 2 {
		if _, err := e.Sessions().Load(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if _, err := e.Registry().List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`longcase_store_call_seconds_count{engine="memory",method="session_load"} 2`,
		`longcase_store_call_errors_total{engine="memory",error="not_found",method="session_load"} 2`,
		`longcase_store_call_seconds_count{engine="memory",method="registry_list"} 1`,
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if strings.Contains(w.Body.String(), `error="",`) {
		t.Error("what went well is counted as an error")
	}
}
