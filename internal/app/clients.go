package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/issuer"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify"
)

// clientPrefix is where added clients stand in the registry.
const clientPrefix = "client/"

// clientRecord is an added client as the registry keeps it.
type clientRecord struct {
	SecretHash   string   `json:"secret_hash,omitempty"` // empty: a public client
	Grants       []string `json:"grants"`
	Audiences    []string `json:"audiences"`
	Scopes       []string `json:"scopes,omitempty"`
	RedirectURIs []string `json:"redirect_uris,omitempty"`
}

// clients are those of the file and those added at run time. The file's win.
type clients struct {
	registry store.Registry
	log      *slog.Logger
	file     map[string]issuer.Client // read only

	changing sync.Mutex // held from reading the registry to taking over what was read

	mu    sync.RWMutex
	added map[string]issuer.Client
}

func newClients(list []config.Client, remotes *sources, registry store.Registry, log *slog.Logger) (*clients, error) {
	c := &clients{registry: registry, log: log, file: map[string]issuer.Client{}, added: map[string]issuer.Client{}}
	var errs []error
	for _, in := range list {
		keys, err := clientKeys(in, remotes)
		errs = append(errs, err)
		c.file[in.ID] = issuer.Client{
			ID: in.ID, Authenticate: in.Authenticate, SecretHash: in.Secret.Hash, Keys: keys,
			Grants: in.Grants, Audiences: in.Audiences, Scopes: in.Scopes,
			RedirectURIs: in.RedirectURIs, Origins: in.Origins, Revocations: in.Revocations,
		}
	}
	return c, errors.Join(errs...)
}

// load reads the added clients whole.
func (c *clients) load(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	entries, err := c.registry.List(ctx, clientPrefix)
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	added := map[string]issuer.Client{}
	for _, e := range entries {
		if client, ok := c.read(e); ok {
			added[client.ID] = client
		}
	}
	c.mu.Lock()
	c.added = added
	c.mu.Unlock()
	return nil
}

// clash refuses a user named like an added client: their tokens would have the
// same sub (RFC 9068 section 5). The file's own names were checked when it was
// loaded.
func (c *clients) clash(users []config.User) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var errs []error
	for _, u := range users {
		if _, ok := c.added[u.Name]; ok {
			errs = append(errs, fmt.Errorf("issuer.users: %q is the name of an added client too, and both would have the same sub: rename the user, or run: longcase client remove %s", u.Name, u.Name))
		}
	}
	return errors.Join(errs...)
}

// How the registry is followed: read whole now and then, since a removal that
// came while nobody watched is told to nobody, and soon again after a failure.
const (
	reloadEach = 5 * time.Minute
	watchAgain = time.Second
)

// run follows the registry until ctx ends. A failure is told once, until it has
// passed.
func (c *clients) run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		err := c.watch(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				c.log.Warn("the added clients cannot be followed; trying again until they can", "each", watchAgain, "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(watchAgain):
			}
		}
		failing = err != nil
	}
	return ctx.Err()
}

// settle finds out whether a write took effect whose outcome, err, the store
// could not say.
func (c *clients) settle(ctx context.Context, written store.Entry, err error) error {
	now, failed := c.registry.Get(ctx, written.Key)
	switch {
	case failed != nil:
		return errors.Join(err, failed)
	case now.Version == written.Version && bytes.Equal(now.Value, written.Value):
		return nil
	case now.Version < written.Version:
		return err
	}
	return store.ErrConflict
}

// watch follows for a while. Its own end is no error.
func (c *clients) watch(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadEach)
	defer cancel()
	if err := c.registry.Watch(ctx, clientPrefix, c.apply); ctx.Err() == nil {
		return errors.Join(errors.New("the watch ended"), err)
	}
	return nil
}

// apply takes over one change.
func (c *clients) apply(e store.Entry) {
	c.changing.Lock()
	defer c.changing.Unlock()
	client, ok := c.read(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ok:
		c.added[client.ID] = client
	case e.Value == nil:
		delete(c.added, strings.TrimPrefix(e.Key, clientPrefix))
	}
}

// read returns the client of an entry; false if it was removed or cannot be
// read.
func (c *clients) read(e store.Entry) (issuer.Client, bool) {
	if e.Value == nil {
		return issuer.Client{}, false
	}
	id := strings.TrimPrefix(e.Key, clientPrefix)
	var r clientRecord
	if err := json.Unmarshal(e.Value, &r); err != nil {
		c.log.Error("an added client cannot be read", "client", id, "err", err)
		return issuer.Client{}, false
	}
	return r.client(id), true
}

func (r clientRecord) client(id string) issuer.Client {
	how := issuer.AuthSecret
	if r.SecretHash == "" {
		how = issuer.AuthNone
	}
	return issuer.Client{ID: id, Authenticate: how, SecretHash: r.SecretHash, Grants: r.Grants,
		Audiences: r.Audiences, Scopes: r.Scopes, RedirectURIs: r.RedirectURIs}
}

// Client implements issuer.Clients.
func (c *clients) Client(_ context.Context, id string) (issuer.Client, error) {
	if found, ok := c.file[id]; ok {
		return found, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if found, ok := c.added[id]; ok {
		return found, nil
	}
	return issuer.Client{}, issuer.ErrNoClient
}

// Origin implements issuer.Clients.
func (c *clients) Origin(_ context.Context, origin string) (bool, error) {
	for _, client := range c.file { // added clients have no origins
		if slices.Contains(client.Origins, origin) {
			return true, nil
		}
	}
	return false, nil
}

// clientKeys are the public keys of a client that signs assertions.
func clientKeys(c config.Client, remotes *sources) (verify.Keys, error) {
	switch {
	case c.JWKS.File != "":
		return keyFile("issuer.clients."+c.ID+".jwks", c.JWKS.File)
	case c.JWKS.URL != "":
		return remotes.add(origin{issuer: c.JWKS.URL, url: c.JWKS.URL})
	}
	return nil, nil
}

// keyFile reads a JWK Set from a file.
func keyFile(what, path string) (verify.Keys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	set, err := jwks.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", what, path, err)
	}
	if set.Len() == 0 {
		return nil, fmt.Errorf("%s: %s holds no public key that can verify a signature", what, path)
	}
	return set, nil
}
