package memory_test

import (
	"testing"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/store/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	traits := storetest.Traits{OwnClock: true, Again: func(_ testing.TB, e store.Engine, cfg storetest.Config) store.Engine {
		return e.(*memory.Engine).Again(cfg.Now)
	}}
	storetest.Run(t, traits, func(_ testing.TB, cfg storetest.Config) store.Engine {
		return memory.New(memory.Config{Now: cfg.Now, MaxMarks: cfg.MaxMarks})
	})
}
