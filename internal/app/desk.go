package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/issuer/keys"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/token"
)

// desk answers administration from the shift that is on.
type desk struct{ house *house }

func (d desk) shift() *shift { return d.house.shift.Load() }

// Ready implements admin.Desk.
func (d desk) Ready() error {
	if d.shift() == nil {
		return fmt.Errorf("the server waits for its store: %w", d.house.reason())
	}
	return nil
}

// backup is what an engine offers that copies itself while it is used.
type backup interface {
	Backup(ctx context.Context, dir string) error
}

// StoreBackup implements admin.Desk.
func (d desk) StoreBackup(ctx context.Context, dir string) error {
	invalid := func(words string) error { return &admin.Refusal{Words: words, Is: admin.ErrInvalid} }
	switch d.house.data.Engine {
	case config.Postgres:
		return invalid("the store is in PostgreSQL: back it up with pg_dump, or with base backups and WAL (pg_basebackup)")
	case config.Cassandra:
		return invalid("the store is in Cassandra: back it up with 'nodetool snapshot' on every node")
	}
	if !filepath.IsAbs(dir) {
		return invalid("the directory of a backup is an absolute path on the server's machine")
	}
	e, ok := d.house.engine.Movable.(backup)
	if !ok {
		return invalid("this store cannot be backed up while it is used: stop the server first")
	}
	return e.Backup(ctx, dir)
}

// ClientList implements admin.Desk.
func (d desk) ClientList(context.Context) (admin.ClientList, error) {
	c := d.shift().clients
	list := admin.ClientList{Clients: []admin.Client{}}
	for _, id := range slices.Sorted(maps.Keys(c.file)) {
		list.Clients = append(list.Clients, describe(c.file[id], "file"))
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, id := range slices.Sorted(maps.Keys(c.added)) {
		if _, hidden := c.file[id]; !hidden {
			list.Clients = append(list.Clients, describe(c.added[id], "registry"))
		}
	}
	return list, nil
}

func describe(c issuer.Client, source string) admin.Client {
	return admin.Client{ID: c.ID, Source: source, Authenticate: c.Authenticate, Grants: c.Grants, Audiences: c.Audiences,
		Scopes: c.Scopes, RedirectURIs: c.RedirectURIs, Origins: c.Origins, Revocations: c.Revocations}
}

// ClientShow implements admin.Desk.
func (d desk) ClientShow(ctx context.Context, id string) (admin.Client, error) {
	c := d.shift().clients
	found, err := c.Client(ctx, id)
	if errors.Is(err, issuer.ErrNoClient) {
		return admin.Client{}, fmt.Errorf("client %.80q: %w", id, admin.ErrNotFound)
	}
	source := "registry"
	if _, ok := c.file[id]; ok {
		source = "file"
	}
	return describe(found, source), err
}

// ClientAdd implements admin.Desk. A client is held to the rules of the file.
func (d desk) ClientAdd(ctx context.Context, n admin.NewClient) (admin.Client, error) {
	s := d.shift()
	if err := checkNewClient(n, s.cfg); err != nil {
		return admin.Client{}, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	if _, ok := s.clients.file[n.ID]; ok {
		return admin.Client{}, fmt.Errorf("client %q: %w: it stands in the configuration file", n.ID, admin.ErrConflict)
	}
	record := clientRecord{SecretHash: n.SecretHash, Grants: n.Grants, Audiences: n.Audiences, Scopes: n.Scopes, RedirectURIs: n.RedirectURIs}
	value, err := json.Marshal(record)
	if err != nil {
		return admin.Client{}, err
	}
	if err := d.put(ctx, n.ID, value); err != nil {
		return admin.Client{}, err
	}
	return describe(record.client(n.ID), "registry"), nil
}

// checkNewClient lets the configuration's own rules judge a client that is
// added while the server runs.
func checkNewClient(n admin.NewClient, cfg *config.Config) error {
	c := config.Client{ID: n.ID, Authenticate: issuer.AuthSecret, Secret: config.ClientSecret{Hash: n.SecretHash}, Grants: n.Grants,
		Audiences: n.Audiences, Scopes: n.Scopes, RedirectURIs: n.RedirectURIs}
	if n.SecretHash == "" {
		c.Authenticate = issuer.AuthNone
	}
	return config.CheckClient(c, *cfg.Issuer)
}

// ClientRemove implements admin.Desk. What the client holds is ended first, so
// that the command can be repeated until both are done, and once more for what
// it got meanwhile.
func (d desk) ClientRemove(ctx context.Context, id string) error {
	s := d.shift()
	if _, ok := s.clients.file[id]; ok {
		return &admin.Refusal{Words: fmt.Sprintf("client %q stands in the configuration file: remove it there", id), Is: admin.ErrConflict}
	}
	switch e, err := s.clients.registry.Get(ctx, clientPrefix+id); {
	case err != nil:
		return err
	case e.Value == nil:
		return fmt.Errorf("client %.80q: %w", id, admin.ErrNotFound)
	}
	if _, err := s.issuer.RevokeClient(ctx, id, time.Time{}); err != nil {
		return fmt.Errorf("client %q stays: what it holds could not be ended; repeat the command: %w", id, err)
	}
	if err := d.put(ctx, id, nil); err != nil {
		return err
	}
	if _, err := s.issuer.RevokeClient(ctx, id, time.Time{}); err != nil {
		return fmt.Errorf("client %q is removed, but what it got in its last moment was not ended: longcase session revoke --client %s: %w", id, id, err)
	}
	return nil
}

// put writes a client that is not there yet, or with a nil value removes one
// that is, and takes the change over at once.
func (d desk) put(ctx context.Context, id string, value []byte) error {
	c := d.shift().clients
	e, err := c.registry.Get(ctx, clientPrefix+id)
	switch {
	case err != nil:
		return err
	case value == nil && e.Value == nil:
		return fmt.Errorf("client %.80q: %w", id, admin.ErrNotFound)
	case value != nil && e.Value != nil:
		return fmt.Errorf("client %.80q: %w", id, admin.ErrConflict)
	}
	err = c.registry.Put(ctx, e.Key, value, e.Version)
	if errors.Is(err, store.ErrUnknown) {
		err = c.settle(ctx, store.Entry{Key: e.Key, Version: e.Version + 1, Value: value}, err)
	}
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("client %.80q: %w: somebody else changed it just now", id, admin.ErrConflict)
	}
	if err == nil {
		c.apply(store.Entry{Key: e.Key, Version: e.Version + 1, Value: value})
	}
	return err
}

// SessionList implements admin.Desk. A page may hold fewer sessions than its
// limit and still have a next one.
func (d desk) SessionList(ctx context.Context, f admin.SessionFilter) (admin.SessionPage, error) {
	found, next, err := d.shift().issuer.ListSessions(ctx, issuer.SessionFilter{Client: f.Client, Subject: f.Subject, After: f.After, Limit: f.Limit})
	if errors.Is(err, store.ErrBadID) {
		return admin.SessionPage{}, fmt.Errorf("%w: after %.80q is not a session id", admin.ErrInvalid, f.After)
	}
	page := admin.SessionPage{Sessions: []admin.Session{}, Next: next}
	for _, s := range found {
		if d.house.now().Before(s.Idle) || s.Ended {
			page.Sessions = append(page.Sessions, admin.Session{ID: s.ID, Client: s.Client, Subject: s.Subject, Generation: s.Generation, End: s.End, Ended: s.Ended})
		}
	}
	return page, err
}

// SessionRevoke implements admin.Desk.
func (d desk) SessionRevoke(ctx context.Context, r admin.SessionRevoke) (ended admin.SessionsEnded, err error) {
	is := d.shift().issuer
	switch {
	case r.ID != "":
		ended.Sessions, err = d.revokeOne(ctx, r.ID)
	case r.Client != "":
		ended.Sessions, err = is.RevokeClient(ctx, r.Client, r.Before)
	case r.Subject != "":
		ended.Sessions, err = is.RevokeSubject(ctx, r.Subject, r.Before)
	case !r.Before.IsZero():
		ended.Sessions, err = is.RevokeAllBefore(ctx, r.Before)
	default:
		return ended, fmt.Errorf("%w: name a session, a client, a subject or an instant", admin.ErrInvalid)
	}
	if err != nil && ended.Sessions > 0 {
		err = fmt.Errorf("%d sessions were ended, then: %w; repeat the command", ended.Sessions, err)
	}
	return ended, err
}

func (d desk) revokeOne(ctx context.Context, id string) (int, error) {
	did, err := d.shift().issuer.RevokeSession(ctx, id)
	switch {
	case errors.Is(err, store.ErrBadID):
		return 0, fmt.Errorf("%w: %.80q is not a session id", admin.ErrInvalid, id)
	case errors.Is(err, store.ErrNotFound):
		return 0, fmt.Errorf("session %s: %w: it is over, or never was", id, admin.ErrNotFound)
	case did:
		return 1, err
	}
	return 0, err
}

// KeysList implements admin.Desk.
func (d desk) KeysList(context.Context) (admin.KeyList, error) {
	list := admin.KeyList{Keys: []admin.Key{}}
	for _, k := range d.shift().ring.List(d.house.now()) {
		list.Keys = append(list.Keys, key(k))
	}
	return list, nil
}

func key(k keys.KeyInfo) admin.Key {
	out := admin.Key{ID: k.ID, Algorithm: string(k.Algorithm), State: string(k.State), Steps: []admin.KeyStep{}}
	for _, s := range k.Steps {
		out.Steps = append(out.Steps, admin.KeyStep{State: string(s.State), At: s.At, Why: s.Why})
	}
	return out
}

// KeysRotate implements admin.Desk.
func (d desk) KeysRotate(ctx context.Context, r admin.KeyRotate) (admin.Key, error) {
	alg := token.Algorithm(strings.TrimSpace(r.Algorithm))
	if alg != "" && !slices.Contains([]token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA}, alg) {
		return admin.Key{}, fmt.Errorf("%w: algorithm %.40q: want ES256, ES384, RS256, PS256 or EdDSA", admin.ErrInvalid, r.Algorithm)
	}
	info, err := d.shift().ring.Rotate(ctx, alg, d.house.now())
	if errors.Is(err, keys.ErrWaiting) {
		return admin.Key{}, &admin.Refusal{Words: strings.TrimPrefix(err.Error(), "jwks: "), Is: admin.ErrWaiting}
	}
	return key(info), err
}

// KeysRevoke implements admin.Desk: out of the set at once, and the gates are
// told.
func (d desk) KeysRevoke(ctx context.Context, k admin.KeyID) (admin.KeyList, error) {
	s := d.shift()
	err := s.ring.Revoke(ctx, k.ID, d.house.now())
	if errors.Is(err, keys.ErrNoSuchKey) {
		return admin.KeyList{}, fmt.Errorf("key %.80q: %w", k.ID, admin.ErrNotFound)
	}
	if err != nil {
		return admin.KeyList{}, err
	}
	if err := s.issuer.RevokeKey(ctx, k.ID); err != nil {
		return admin.KeyList{}, fmt.Errorf("the key is out of the set, but the gates could not be told; repeat the command: %w", err)
	}
	return d.KeysList(ctx)
}
