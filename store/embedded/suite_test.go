package embedded

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/storetest"
)

func TestEmbeddedKeepsTheContract(t *testing.T) {
	storetest.Run(t, storetest.Traits{OwnClock: true}, func(tb testing.TB, cfg storetest.Config) store.Engine {
		e, err := Open(Config{Dir: "store", FS: vfs.NewMem(), Now: cfg.Now, MaxMarks: cfg.MaxMarks})
		if err != nil {
			tb.Fatal(err)
		}
		return e
	})
}
