package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/memory"
	"github.com/longcase/longcase/verify/skew"
)

var errDisk = errors.New("disk: input/output error")

// mute is an engine that fails to write early ends, after some.
type mute struct {
	store.Engine
	after int
}

func (m *mute) Revocations() store.Revocations { return muteRevocations{m.Engine.Revocations(), m} }

type muteRevocations struct {
	store.Revocations
	m *mute
}

func (r muteRevocations) Add(ctx context.Context, one store.Revocation) error {
	if r.m.after--; r.m.after < 0 {
		return errDisk
	}
	return r.Revocations.Add(ctx, one)
}

func TestAClientIsRemovedWhenWhatItHoldsIsEnded(t *testing.T) {
	engine := &mute{Engine: memory.New(memory.Config{})}
	log := slog.New(slog.DiscardHandler)
	ring, err := keys.New(keys.Config{Registry: engine.Registry(), KEK: make([]byte, 32), Overlap: time.Hour, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	known, err := newClients(nil, newSources(&house{log: log, book: skew.New()}, nil), engine.Registry(), log)
	if err != nil {
		t.Fatal(err)
	}
	is, err := issuer.New(issuer.Config{URL: "https://tokens.test", Engine: engine, Keys: ring, Clients: known, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	d := desk{&house{}}
	d.house.shift.Store(&shift{clients: known, ring: ring, issuer: is})
	if err := engine.Registry().Put(t.Context(), clientPrefix+"web", []byte(`{"grants":["client_credentials"]}`), 0); err != nil {
		t.Fatal(err)
	}
	if err := known.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := func() bool { _, err := known.Client(t.Context(), "web"); return err == nil }

	if err := d.ClientRemove(t.Context(), "web"); !errors.Is(err, errDisk) || !there() {
		t.Errorf("nothing could be ended: %v, the client is there: %v", err, there())
	}
	engine.after = 1 // of the two times that it is ended
	if err := d.ClientRemove(t.Context(), "web"); !errors.Is(err, errDisk) || there() {
		t.Errorf("ended once: %v, the client is there: %v", err, there())
	}
	engine.after = 9
	if err := d.ClientRemove(t.Context(), "web"); !errors.Is(err, admin.ErrNotFound) || engine.after != 9 {
		t.Errorf("a client that is none: %v, %d ends written", err, 9-engine.after)
	}
	ended, err := d.SessionRevoke(t.Context(), admin.SessionRevoke{Client: "web"})
	if ended.Sessions != 0 || err != nil {
		t.Errorf("sessions of a client that has none: %+v, %v", ended, err)
	}
}
