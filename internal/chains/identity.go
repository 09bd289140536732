package chains

import (
	"sync"

	"github.com/longcase/longcase/fresh"
)

// Identity ends the name of the layers of a credential's ID tokens.
const Identity = "/identity"

// maxAudiences bounds the ID tokens that are kept for one credential.
const maxAudiences = 100

// identities are the ID tokens of one credential, a layer for each audience that
// was asked for. Beyond maxAudiences the one asked for longest ago is forgotten.
type identities struct {
	policy fresh.Policy
	make   func(audience string, p fresh.Policy) *fresh.Layer[fresh.Token]

	mu     sync.Mutex
	asked  int // counts
	layers map[string]*identity
}

type identity struct {
	layer *fresh.Layer[fresh.Token]
	last  int // asked, when this was asked for last
}

func newIdentities(p fresh.Policy, layer func(string, fresh.Policy) *fresh.Layer[fresh.Token]) *identities {
	p.Name += Identity
	return &identities{policy: p, make: layer, layers: map[string]*identity{}}
}

// layer returns the layer of the audience's ID token.
func (i *identities) layer(audience string) *fresh.Layer[fresh.Token] {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	if known := i.layers[audience]; known != nil {
		known.last = i.asked
		return known.layer
	}
	if len(i.layers) >= maxAudiences {
		i.forget()
	}
	made := &identity{layer: i.make(audience, i.policy), last: i.asked}
	i.layers[audience] = made
	return made.layer
}

func (i *identities) forget() {
	oldest := ""
	for audience, one := range i.layers {
		if oldest == "" || one.last < i.layers[oldest].last {
			oldest = audience
		}
	}
	delete(i.layers, oldest)
}

// IDToken returns the layer of an ID token for audience, by the credential's own
// identity; nil where its kind has none.
func (c *Chains) IDToken(name, audience string) *fresh.Layer[fresh.Token] {
	l := c.links[name]
	switch {
	case l == nil || l.id == nil:
		return nil
	case audience == l.cfg.Audience:
		return l.token
	}
	return l.id.layer(audience)
}

// IsIdentity reports whether the credential itself is an ID token, which is no
// access token.
func (c *Chains) IsIdentity(name string) bool {
	return c.HasIdentity(name) && c.links[name].cfg.Audience != ""
}

// HasIdentity reports whether IDToken would return a layer.
func (c *Chains) HasIdentity(name string) bool {
	l := c.links[name]
	return l != nil && l.id != nil
}
