package app

import (
	"reflect"
	"slices"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/verify"
)

// fixed names what a reload cannot change and b changes.
func fixed(a, b *config.Config) string {
	switch {
	case !reflect.DeepEqual(a.Data, b.Data):
		return "data"
	case a.Keys != b.Keys:
		return "keys"
	case stores(a) != stores(b):
		return "whether there is a store (issuer, or a route with once or binding: dpop)"
	}
	before, after := places(a), places(b)
	for _, p := range append(before, after...) {
		same := func(other place) bool { return p.room == other.room && reflect.DeepEqual(p.listen, other.listen) }
		if !slices.ContainsFunc(before, same) || !slices.ContainsFunc(after, same) {
			listen, tls := p.keys()
			if p.room == roomAgent {
				return "where the agent publishes (agent.listen, or a publisher's)"
			}
			return listen + " or " + tls
		}
	}
	return ""
}

// place is where a room listens.
type place struct {
	room   string // issuer, gate, console, agent
	listen config.Listener
	asks   bool // TLS clients are asked for a certificate
}

// key tells places apart, whatever their TLS.
func (p place) key() string { return p.room + " " + p.listen.Listen }

// keys are the keys of the file that say where the place listens and with which
// TLS files.
func (p place) keys() (listen, tls string) {
	if p.room == roomExtAuthz {
		return "gate.ext_authz", "gate.tls"
	}
	return p.room + ".listen", p.room + ".tls"
}

// places are where the rooms of c listen.
func places(c *config.Config) []place {
	var all []place
	if c.Issuer != nil {
		all = append(all, place{room: roomIssuer, listen: c.Issuer.Listener})
	}
	if c.Gate != nil {
		all = append(all, place{room: roomGate, listen: c.Gate.Listener, asks: bindsToCertificates(c.Gate)})
		if at := c.Gate.ExtAuthz; at != "" {
			all = append(all, place{room: roomExtAuthz, listen: config.Listener{Listen: at, TLS: c.Gate.TLS, Plain: c.Gate.Plain}})
		}
	}
	if c.Agent != nil {
		for _, at := range agentListeners(c.Agent) {
			all = append(all, place{room: roomAgent, listen: config.Listener{Listen: at}})
		}
	}
	if c.Console != nil {
		all = append(all, place{room: roomConsole, listen: c.Console.Listener})
	}
	return all
}

func bindsToCertificates(g *config.Gate) bool {
	return slices.ContainsFunc(g.Routes, func(r config.Route) bool { return r.Binding == string(verify.MTLS) })
}
