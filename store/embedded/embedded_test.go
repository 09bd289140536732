package embedded

import (
	"context"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

func TestASecondOpenIsRefused(t *testing.T) {
	e, err := Open(Config{Dir: t.TempDir() + "/a/b"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx := context.Background()
	now := time.Now()
	end := now.Add(time.Hour)
	s := store.Session{ID: store.NewID(now, end), End: end, Client: "c", Subject: "s", Data: []byte("x")}
	if err := e.Sessions().Create(ctx, s); err != nil {
		t.Fatal(err)
	}
	s.Generation = 2
	if err := e.Sessions().Replace(ctx, s, 1); err != nil {
		t.Fatal(err)
	}
	got, err := e.Sessions().Load(ctx, s.ID)
	t.Log(got, err)
	all, err := e.Sessions().List(ctx, store.ID{}, 10)
	t.Log(all, err)
	_, err = Open(Config{Dir: e.cfg.Dir})
	t.Log(err)
}
