package postgres

import (
	"testing"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

func TestPostgresKeepsTheContract(t *testing.T) {
	again := func(tb testing.TB, e store.Engine, cfg storetest.Config) store.Engine {
		return open(tb, Config{URL: e.(*Engine).cfg.URL, Now: cfg.Now, Longest: 3 * time.Hour})
	}
	storetest.Run(t, storetest.Traits{Uncounted: true, Again: again}, func(tb testing.TB, cfg storetest.Config) store.Engine {
		return open(tb, Config{URL: newSchema(tb, server), Now: cfg.Now, Longest: 3 * time.Hour})
	})
}
