package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/internal/config"
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

func TestABackupIsOfTheEmbeddedStore(t *testing.T) {
	for engine, says := range map[string]string{
		config.Postgres: "pg_dump", config.Cassandra: "nodetool snapshot", config.Embedded: "absolute path",
	} {
		err := desk{&house{data: config.Data{Engine: engine}}}.StoreBackup(t.Context(), "relative")
		if !errors.Is(err, admin.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want a refusal that says %q", engine, err, says)
		}
	}
}

// vague is a registry that does not know whether it wrote.
type vague struct {
	store.Registry
	writes bool
}

func (v vague) Put(ctx context.Context, key string, value []byte, old uint64) error {
	if v.writes {
		if err := v.Registry.Put(ctx, key, value, old); err != nil {
			return err
		}
	}
	return store.ErrUnknown
}

func TestAWriteWhoseOutcomeIsUnknownIsLookedAt(t *testing.T) {
	written := store.Entry{Key: "client/a", Version: 1, Value: []byte("{}")}
	tests := []struct {
		name   string
		writes bool
		other  bool // somebody else wrote first
		want   error
	}{
		{"it was written", true, false, nil},
		{"it was not", false, false, store.ErrUnknown},
		{"somebody else did", false, true, store.ErrConflict},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := memory.New(memory.Config{}).Registry()
			if tt.other {
				if err := registry.Put(t.Context(), written.Key, []byte(`{"grants":[]}`), 0); err != nil {
					t.Fatal(err)
				}
			}
			c := &clients{registry: vague{registry, tt.writes}}
			err := c.registry.Put(t.Context(), written.Key, written.Value, 0)
			if err = c.settle(t.Context(), written, err); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("settle = %v, want %v", err, tt.want)
			}
		})
	}
}
