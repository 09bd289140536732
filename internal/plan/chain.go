package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/internal/config"
)

// Files is what plan may look into. A nil func finds nothing.
type Files struct {
	Life func(path string) (time.Duration, bool) // exp - iat of the JWT in a file
	Read func(path string) ([]byte, error)       // an external_account file
}

// Chain is one credential and everything it is got with.
type Chain struct {
	Name  string
	Links []Link        // the credential first, then its sources, depth first
	Ahead time.Duration // the least that a copy of it has left, whenever it is taken; 0: not known
	Reach Reach
}

// Link is one credential of a chain.
type Link struct {
	Name, Kind string
	Depth      int           // 0: the chain's own credential
	Life       time.Duration // of one lease; 0: not known
	From       string        // where Life is known from
	By         string        // who renews it
	Reach      Reach         // of the part of the chain that ends here
	Culprit    bool          // it is why Reach has an end

	capped bool
	path   string // of a jwt-file
}

// Reach is how long a chain can be kept fresh with no help from outside.
type Reach struct {
	Forever bool
	Least   time.Duration // it lasts at least this long, if not for ever
	Known   bool          // what ends it is known here
}

// Chains follows the credentials named, or else each one that no other is got
// with. renewed names credentials that somebody outside keeps fresh, whatever
// their files look like. The error names a credential that is not there, and one
// that is renewed but is no file, or no link of these chains.
func Chains(cfg *config.Config, files Files, names []string, renewed ...string) ([]Chain, error) {
	if cfg.Agent == nil {
		return nil, nil
	}
	p := &planner{cfg: cfg, files: files, renewed: renewed}
	for _, name := range names {
		if cfg.Agent.Credentials[name] == nil {
			return nil, p.unknown(name)
		}
	}
	if len(names) == 0 {
		names = ends(cfg.Agent)
	}
	chains := make([]Chain, 0, len(names))
	for _, name := range names {
		links := p.follow(name, 0)
		top := links[0]
		chains = append(chains, Chain{Name: name, Links: links, Reach: top.Reach, Ahead: ahead(top.Life, cfg.Agent.Credentials[name].Refresh.Ahead)})
	}
	for _, name := range renewed {
		if err := p.renewable(name, chains); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// renewable refuses a name that is no file of these chains: nobody outside could
// renew it, or it would change nothing.
func (p *planner) renewable(name string, chains []Chain) error {
	tops := make([]string, 0, len(chains))
	for _, c := range chains {
		tops = append(tops, c.Name)
		i := slices.IndexFunc(c.Links, func(l Link) bool { return l.Name == name })
		switch {
		case i < 0:
		case c.Links[i].path == "":
			return fmt.Errorf("%q (%s) is no file that somebody outside could keep fresh: only a jwt-file is", name, c.Links[i].Kind)
		default:
			return nil
		}
	}
	if p.cfg.Agent.Credentials[name] == nil {
		return p.unknown(name)
	}
	return fmt.Errorf("%q is no link of %s: that it is renewed changes nothing there", name, strings.Join(tops, ", "))
}

type planner struct {
	cfg     *config.Config
	files   Files
	renewed []string
}

func (p *planner) unknown(name string) error {
	names := slices.Sorted(maps.Keys(p.cfg.Agent.Credentials))
	if near := config.Nearest(name, names); near != "" {
		return fmt.Errorf("there is no credential %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("there is no credential %q; there are %s", name, strings.Join(names, ", "))
}

// ends lists the credentials that no other is got with, and those published.
func ends(a *config.Agent) []string {
	inner := map[string]bool{}
	for _, c := range a.Credentials {
		inner[c.From], inner[c.Actor] = true, true
	}
	for _, p := range a.Publish {
		inner[p.Credential] = false
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.Credentials)) {
		if !inner[name] {
			names = append(names, name)
		}
	}
	return names
}

// follow lists a credential and its sources. Chains end: config refuses rings.
func (p *planner) follow(name string, depth int) []Link {
	c := p.cfg.Agent.Credentials[name]
	if c.Kind == "google-external-account" {
		if links := p.external(name, c, depth); links != nil {
			return links
		}
	}
	link := p.link(name, c, depth)
	var below []Link
	parents := []Link{}
	for _, source := range []string{c.From, c.Actor} {
		if source != "" {
			links := p.follow(source, depth+1)
			parents = append(parents, links[0])
			below = append(below, links...)
		}
	}
	if len(parents) > 0 {
		link.on(parents)
	}
	return append([]Link{link}, below...)
}

// link is what one credential is by itself.
func (p *planner) link(name string, c *config.Credential, depth int) Link {
	known := lives[c.Kind]
	l := Link{Name: name, Kind: c.Kind, Depth: depth, Life: known.standard, From: known.from, By: "longcase", capped: known.capped,
		Reach: Reach{Forever: true}}
	if asked := known.asked(c); asked > 0 {
		l.Life, l.From = asked, "the configuration"
	}
	if is := p.cfg.Issuer; is != nil && c.Issuer == is.URL && l.Life == 0 {
		l.Life, l.From = is.Lifetimes.Access, "issuer.lifetimes.access of this file"
	}
	switch c.Kind {
	case "jwt-file":
		p.file(&l, c)
	case "device", "oauth2-refresh":
		p.session(&l, c)
	}
	if slices.Contains(p.renewed, name) {
		l.By, l.Reach, l.Culprit = "someone outside, as you say", Reach{Forever: true}, false
	}
	return l
}

// file judges a token that somebody writes into a file.
func (p *planner) file(l *Link, c *config.Credential) {
	l.path = c.Path
	l.By, l.Culprit = "whoever writes "+c.Path, true
	for _, w := range writers {
		if strings.HasPrefix(c.Path, w.below) {
			l.By, l.Life, l.From, l.Culprit = w.who, w.life, w.from, false
			break
		}
	}
	if p.files.Life != nil {
		if life, ok := p.files.Life(c.Path); ok {
			l.Life, l.From = life, "the file: exp - iat"
		}
	}
	if l.Culprit {
		l.Reach = Reach{Least: l.Life, Known: true}
	}
}

// session judges a credential that lasts as long as its refresh token.
func (p *planner) session(l *Link, c *config.Credential) {
	l.Culprit = true
	l.By = "longcase, until the session ends; then a person"
	l.Reach = Reach{}
	if is := p.cfg.Issuer; is != nil && c.Issuer == is.URL && is.Lifetimes.SessionAbsolute > 0 {
		l.Reach = Reach{Least: is.Lifetimes.SessionAbsolute, Known: true}
	}
}

// on puts a link on what it is got with.
func (l *Link) on(parents []Link) {
	l.Culprit = false
	r := Reach{Forever: true}
	for _, p := range parents {
		if l.capped && p.Life > 0 && (l.Life == 0 || p.Life < l.Life) {
			l.Life, l.From = p.Life, "never beyond "+p.Name
		}
		r = shorter(r, p.Reach)
	}
	if !r.Forever && !l.capped {
		r.Least = max(r.Least, l.Life) // what it has then lives on
	}
	l.Reach = r
}

// shorter is how long two things last together.
func shorter(a, b Reach) Reach {
	switch {
	case a.Forever:
		return b
	case b.Forever:
		return a
	case a.Known && b.Known:
		return Reach{Least: min(a.Least, b.Least), Known: true}
	case a.Known && a.Least <= b.Least:
		return a
	case b.Known && b.Least <= a.Least:
		return b
	}
	return Reach{Least: min(a.Least, b.Least)}
}

// ahead is when a lease is renewed, before its end: a copy that is taken just
// before has this long to live.
func ahead(life time.Duration, s config.Span) time.Duration {
	if s == (config.Span{}) {
		s.Part = 0.33
	}
	if s.Part > 0 {
		return min(time.Duration(s.Part*float64(life)), 5*time.Minute)
	}
	return min(s.Length, life)
}

// Shortest is the link that lives shortest, of those whose life is known; of
// several, the one that the others are got with.
func (c Chain) Shortest() (Link, bool) {
	var best Link
	for _, l := range c.Links {
		if l.Life > 0 && (best.Life == 0 || l.Life <= best.Life) {
			best = l
		}
	}
	return best, best.Life > 0
}

// Life is how long one lease of the chain's credential lives; 0: not known.
func (c Chain) Life() time.Duration { return c.Links[0].Life }

// Renews is how long the chain can be renewed: until what nobody here renews
// ends. It is false for one that renews for ever, and where it is not known.
func (c Chain) Renews() (time.Duration, bool) {
	l := c.culprit()
	return l.Reach.Least, !c.Reach.Forever && l.Reach.Known
}

// culprit is the link that ends the chain first.
func (c Chain) culprit() Link {
	var first Link
	for _, l := range c.Links {
		if l.Culprit && (first.Name == "" || shorter(l.Reach, first.Reach) == l.Reach) {
			first = l
		}
	}
	return first
}
