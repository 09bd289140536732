package memory_test

import (
	"testing"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/store/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.Run(t, storetest.Traits{}, func(_ testing.TB, cfg storetest.Config) store.Engine {
		return memory.New(memory.Config{Now: cfg.Now, MaxMarks: cfg.MaxMarks})
	})
}
