package chains

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/internal/config"
)

// Config is what chains are made of.
type Config struct {
	Agent   *config.Agent
	Names   []string                                 // make only these and what they stand on; nil: all
	Before  *Chains                                  // the chains of the configuration before: what did not change goes on; may be nil
	Getenv  func(string) string                      // for secrets
	Observe func(fresh.Event)                        // each transition of each layer; may be nil
	Prompt  func(name string, code oauth.DeviceCode) // shows a person where to approve a device credential
}

// Chains are the layers of one configuration, by name.
type Chains struct {
	cfg   Config
	links map[string]*link
	wrong map[string]error // why there is no link, told once
}

// link is one named credential. One of token and keys is set.
type link struct {
	cfg     *config.Credential
	token   *fresh.Layer[fresh.Token]
	keys    *fresh.Layer[aws.Keys]
	parents []*link
	inner   []Layer           // below the named one: an external account's
	file    [sha256.Size]byte // what describes those, when it was read
	id      *identities
}

// Layer is a layer of any type.
type Layer interface {
	Status() fresh.Status
	Run(ctx context.Context) error
}

// New makes the layers. It reads the files that describe a chain (external
// accounts), and calls no service. The error names each credential that cannot
// work.
func New(cfg Config) (*Chains, error) {
	c := &Chains{cfg: cfg, links: map[string]*link{}, wrong: map[string]error{}}
	names := cfg.Names
	if names == nil {
		names = slices.Sorted(maps.Keys(cfg.Agent.Credentials))
	}
	var errs []error
	for _, name := range names {
		if _, err := c.link(name); !slices.Contains(errs, err) {
			errs = append(errs, err)
		}
	}
	c.cfg.Before = nil
	return c, errors.Join(errs...)
}

// link returns the named credential's layer, made if need be. The configuration
// has neither unknown names nor cycles.
func (c *Chains) link(name string) (*link, error) {
	if l, err := c.links[name], c.wrong[name]; l != nil || err != nil {
		return l, err
	}
	cfg := c.cfg.Agent.Credentials[name]
	if cfg == nil {
		return nil, fmt.Errorf("agent.credentials: there is no %q", name)
	}
	l := &link{cfg: cfg}
	for _, parent := range []string{cfg.From, cfg.Actor} {
		if parent == "" {
			continue
		}
		p, err := c.link(parent)
		if err != nil {
			return nil, err
		}
		l.parents = append(l.parents, p)
	}
	if old := c.unchanged(name, l); old != nil {
		l = old
	} else if err := c.build(name, l); err != nil {
		c.wrong[name] = fmt.Errorf("agent.credentials.%s: %w", name, err)
		return nil, c.wrong[name]
	}
	c.links[name] = l
	return l, nil
}

// unchanged is the link of the chains before, if it would be made the same, so
// that a reload while a service is down loses no credential.
func (c *Chains) unchanged(name string, l *link) *link {
	if c.cfg.Before == nil {
		return nil
	}
	old := c.cfg.Before.links[name]
	if old == nil || !reflect.DeepEqual(old.cfg, l.cfg) || !slices.Equal(old.parents, l.parents) {
		return nil
	}
	if sum, err := sumOf(l.cfg.File); len(old.inner) > 0 && (err != nil || sum != old.file) {
		return nil
	}
	return old
}

func sumOf(path string) (sum [sha256.Size]byte, err error) {
	if path == "" {
		return sum, nil
	}
	data, err := os.ReadFile(path)
	return sha256.Sum256(data), err
}

// Token returns the layer of a credential that is a token; nil for others.
func (c *Chains) Token(name string) *fresh.Layer[fresh.Token] {
	if l := c.links[name]; l != nil {
		return l.token
	}
	return nil
}

// Keys returns the layer of a credential that is AWS keys; nil for others.
func (c *Chains) Keys(name string) *fresh.Layer[aws.Keys] {
	if l := c.links[name]; l != nil {
		return l.keys
	}
	return nil
}

// Statuses lists how every layer stands, by name, those inside a named one after it.
func (c *Chains) Statuses() []fresh.Status {
	var all []fresh.Status
	for _, name := range slices.Sorted(maps.Keys(c.links)) {
		l := c.links[name]
		all = append(all, l.layer().Status())
		for _, inner := range l.inner {
			all = append(all, inner.Status())
		}
	}
	return all
}

// Run keeps the named credentials, and what they stand on, warm until ctx ends.
func (c *Chains) Run(ctx context.Context, names []string) error {
	warm := map[Layer]bool{}
	for _, name := range names {
		c.links[name].gather(warm)
	}
	var wg sync.WaitGroup
	for layer := range warm {
		wg.Go(func() { _ = layer.Run(ctx) }) // only ctx ends it
	}
	wg.Wait()
	<-ctx.Done() // with nothing to keep, too
	return ctx.Err()
}

// gather collects l and all it stands on.
func (l *link) gather(into map[Layer]bool) {
	into[l.layer()] = true
	for _, inner := range l.inner {
		into[inner] = true
	}
	for _, p := range l.parents {
		p.gather(into)
	}
}

func (l *link) layer() Layer {
	if l.keys != nil {
		return l.keys
	}
	return l.token
}
