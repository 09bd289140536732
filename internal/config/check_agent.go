package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// agent judges the chains and what is published of them.
func (l *loader) agent(cfg *Config) {
	a := cfg.Agent
	for _, name := range slices.Sorted(maps.Keys(a.Credentials)) {
		l.credential(name, a, cfg.Data.Dir)
	}
	l.chains(a.Credentials)
	l.publishers(a)
}

func (l *loader) credential(name string, a *Agent, data string) {
	c := a.Credentials[name]
	k, known := kinds[c.Kind]
	if !known { // told already
		return
	}
	l.holds(c, "agent.credentials", "kind "+c.Kind, k.needs, k.takes+" kind refresh", k.keys())
	l.source(&c.From, "from", c, a, k.from)
	if has(k.takes, "actor") {
		l.source(&c.Actor, "actor", c, a, []Material{Token})
	}
	l.refresh(&c.Refresh)
	l.meaning(c, a)
	if has(k.takes, "certificate") {
		l.clientEvidence(c)
	}
	if has(k.takes, "session_name") && c.SessionName == "" {
		c.SessionName = "longcase-" + name[:min(len(name), 55)] // 64 at most
	}
	if has(k.takes, "state") && c.State == "" {
		c.State = filepath.Join(data, "agent", name+".state")
	}
}

// holds judges the keys of a block by what its kind or form needs and
// takes.
func (l *loader) holds(block any, path, what, needs, takes, all string) {
	v := reflect.ValueOf(block).Elem()
	for _, f := range fieldsOf(v.Type()) {
		given := l.given(v.FieldByIndex(f.index).Addr().Interface())
		switch {
		case given && !has(needs, f.key) && !has(takes, f.key):
			l.wrong(v.FieldByIndex(f.index).Addr().Interface(), "", "%s.%s is not a key of %s, which has %s", path, f.key, what, all)
		case !given && has(needs, f.key):
			l.wrong(block, "", "%s.%s is missing: %s needs it: %s", path, f.key, what, sentence(f.doc))
		}
	}
}

// source judges a reference to another credential.
func (l *loader) source(ref *string, key string, c *Credential, a *Agent, want []Material) {
	if *ref == "" || len(want) == 0 || checkName(*ref) != nil {
		return
	}
	other := a.Credentials[*ref]
	switch {
	case other == nil:
		l.unknownCredential(ref, "agent.credentials."+key, a)
	case other.Gives() != "" && !slices.Contains(want, other.Gives()):
		l.wrong(ref, "", "agent.credentials.%s: %s (%s) gives %s, and kind %s needs %s there",
			key, quote(*ref), other.Kind, other.Gives(), c.Kind, materials(want))
	}
}

func (l *loader) unknownCredential(ref *string, path string, a *Agent) {
	names := slices.Sorted(maps.Keys(a.Credentials))
	near := nearest(*ref, names)
	if near == "" && len(names) <= 20 {
		l.wrong(ref, "", "%s: there is no credential %s; there are %s", path, quote(*ref), strings.Join(names, ", "))
		return
	}
	l.wrong(ref, near, "%s: there is no credential %s", path, quote(*ref))
}

func materials(list []Material) string {
	texts := make([]string, 0, len(list))
	for _, m := range list {
		texts = append(texts, string(m))
	}
	return strings.Join(texts, " or ")
}

// maxChain bounds the links of a chain, the credential itself included.
const maxChain = 16

// chains refuses a credential that is got with itself, each ring once, and
// chains that are too long.
func (l *loader) chains(credentials map[string]*Credential) {
	w := &walker{l: l, credentials: credentials, links: map[string]int{}, at: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(credentials)) {
		w.walk(name)
	}
}

// walker follows chains to their sources, each credential once.
type walker struct {
	l           *loader
	credentials map[string]*Credential
	links       map[string]int // of the chains that are walked
	path        []string       // being walked
	at          map[string]int // where in path
}

// walk returns how many links the chain of name has.
func (w *walker) walk(name string) int {
	c := w.credentials[name]
	if links, done := w.links[name]; done || c == nil {
		return links
	}
	w.at[name] = len(w.path)
	w.path = append(w.path, name)
	links := 1
	for _, ref := range []*string{&c.From, &c.Actor} {
		if i, ring := w.at[*ref]; ring {
			names := append(slices.Clone(w.path[i:]), *ref)
			w.l.wrong(ref, "", "agent.credentials: %s is got with itself: %s", quote(*ref), strings.Join(names, " <- "))
			continue
		}
		links = max(links, w.walk(*ref)+1)
	}
	w.path = w.path[:len(w.path)-1]
	delete(w.at, name)
	w.links[name] = links
	if links == maxChain+1 {
		w.l.wrong(&c.From, "", "agent.credentials: the chain of %s has more than %d links", quote(name), maxChain)
	}
	return links
}

// refresh wants a renewal that begins before everyone has to wait for it.
func (l *loader) refresh(r *Refresh) {
	ahead, buffer := r.Ahead, r.Buffer
	if !l.given(&r.Ahead) && buffer.Part > 0 {
		ahead.Part = 0.33
	}
	if !l.given(&r.Buffer) && ahead.Part > 0 {
		buffer.Part = 0.05
	}
	sameUnit := ahead.Part > 0 && buffer.Part > 0 || ahead.Length > 0 && buffer.Length > 0
	if sameUnit && (buffer.Part >= ahead.Part && ahead.Part > 0 || buffer.Length >= ahead.Length && ahead.Length > 0) {
		at := &r.Buffer
		if !l.given(at) {
			at = &r.Ahead
		}
		l.wrong(at, "", "agent.credentials.refresh.buffer is %s and ahead %s: every renewal would be waited for", buffer, ahead)
	}
}

// clientEvidence wants a client with one proof, and none without a client.
func (l *loader) clientEvidence(c *Credential) {
	secret, key, certificate := l.given(&c.Secret), l.given(&c.Key), l.given(&c.Certificate)
	switch {
	case secret && key:
		l.wrong(&c.Key, "", "agent.credentials has a secret and a key: one of the two")
	case certificate && !key:
		l.wrong(&c.Certificate, "", "agent.credentials.certificate needs its key: {file: …} or ${NAME}")
	case !l.given(&c.Client) && (secret || key):
		l.wrong(c, "", "agent.credentials.client is missing: whose secret or key is it")
	case c.Kind == "oauth2" && !secret && !key:
		l.wrong(c, "", "agent.credentials has neither secret nor key: one of the two, from {file: …} or ${NAME}")
	}
}

// agentListeners wants addresses that no other room listens on.
func (l *loader) agentListeners(a *Agent, taken map[string]string) {
	free := func(listen *string, block any, path string) {
		if other := taken[oneSpelling(*listen)]; other != "" && !strings.HasSuffix(*listen, ":0") {
			at := block
			if l.given(listen) {
				at = listen
			}
			l.wrong(at, "", "%s: %s listens on %s already", path, other, *listen)
		}
	}
	if l.given(&a.Listen) || len(a.Publish) > 0 {
		free(&a.Listen, a, "agent.listen")
	}
	for i := range a.Publish {
		free(&a.Publish[i].Listen, nil, "agent.publish.listen")
	}
}

func (l *loader) publishers(a *Agent) {
	taken := map[string]string{} // form and place -> credential
	for i := range a.Publish {
		p := &a.Publish[i]
		f, known := forms[p.As]
		if !known { // told already
			continue
		}
		l.holds(p, "agent.publish", "as: "+p.As, f.needs, f.takes+" credential as", f.keys())
		l.published(p, a, f)
		l.settlePublisher(p, a)
		l.output(&p.Path, "path", p, a)
		l.output(&p.TokenFile, "token_file", p, a)
		place, key := p.place(), p.place()
		if p.As == "file" {
			key = onePath(p.Path)
		}
		if other := taken[key]; other != "" && place != "" {
			l.wrong(&p.As, "", "agent.publish: %s has %s already: give one of them a %s of its own", other, place, p.apart())
		}
		taken[key] = p.Credential
	}
}

// output refuses to write over what credentials are got with: their keys and
// secrets, and the token that the published one itself stands on.
func (l *loader) output(path *string, key string, p *Publisher, a *Agent) {
	if !l.given(path) || *path == "" {
		return
	}
	same := func(other string) bool { return other != "" && onePath(other) == onePath(*path) }
	if same(l.file) {
		l.wrong(path, "", "agent.publish.%s: this is the configuration file itself: it would be written over", key)
		return
	}
	if key == "path" && slices.ContainsFunc(a.Publish, func(p Publisher) bool { return same(p.TokenFile) }) {
		l.wrong(path, "", "agent.publish.path: a publisher keeps its token_file there")
		return
	}
	below := standsOn(p.Credential, a.Credentials)
	for _, name := range slices.Sorted(maps.Keys(a.Credentials)) {
		c := a.Credentials[name]
		reads := []string{c.File, c.TokenFile, c.State, c.Secret.File, c.Key.File, c.Certificate.File, c.RefreshToken.File}
		if below[name] {
			reads = append(reads, c.Path)
		}
		if slices.ContainsFunc(reads, same) {
			l.wrong(path, "", "agent.publish.%s: credential %s is got with this file: it would be written over", key, quote(name))
			return
		}
	}
}

// onePath is a path in its one spelling, wherever the process stands.
func onePath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

// standsOn is the named credential and all that it stands on.
func standsOn(name string, credentials map[string]*Credential) map[string]bool {
	found, next := map[string]bool{}, []string{name}
	for len(next) > 0 {
		name, next = next[0], next[1:]
		if c := credentials[name]; c != nil && !found[name] {
			found[name] = true
			next = append(next, c.From, c.Actor)
		}
	}
	return found
}

// place is what only one publisher can have.
func (p *Publisher) place() string {
	switch p.As {
	case "file":
		return p.Path
	case "aws-container": // its path is its credential's name
		return fmt.Sprintf("%s of %s on %s", p.As, p.Credential, p.Listen)
	case "azure-imds", "azure-app-service":
		return fmt.Sprintf("%s of %s on %s", p.As, p.Resource, p.Listen)
	}
	return fmt.Sprintf("%s on %s", p.As, p.Listen)
}

// apart is the key that keeps publishers of one form apart.
func (p *Publisher) apart() string {
	if p.As == "file" {
		return "path"
	}
	return "listen"
}

// published holds what a publisher shows against what its form can carry.
func (l *loader) published(p *Publisher, a *Agent, f form) {
	if p.Credential == "" || checkName(p.Credential) != nil {
		return
	}
	c := a.Credentials[p.Credential]
	switch {
	case c == nil:
		l.unknownCredential(&p.Credential, "agent.publish.credential", a)
	case c.Gives() != "" && !slices.Contains(f.of, c.Gives()):
		l.wrong(&p.Credential, "", "agent.publish: as: %s needs %s, and %s (%s) gives %s", p.As, materials(f.of), quote(p.Credential), c.Kind, c.Gives())
	case p.As == "file" && l.given(&p.Format) && p.Format != "json" && (p.Format == "aws-credentials") != (c.Gives() == AWSKeys):
		l.wrong(&p.Format, "", "agent.publish.format %s does not fit %s (%s), which gives %s", p.Format, quote(p.Credential), c.Kind, c.Gives())
	}
}

// settlePublisher fills in what depends on the form and the credential.
func (l *loader) settlePublisher(p *Publisher, a *Agent) {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	c := a.Credentials[p.Credential]
	if p.As != "file" {
		set(&p.Listen, a.Listen)
	}
	switch {
	case p.As == "imds":
		set(&p.Session, "sliding")
	case p.As == "file":
		set(&p.Mode, "0600")
		if c != nil && c.Gives() == AWSKeys {
			set(&p.Format, "aws-credentials")
		}
		set(&p.Format, "token")
	case strings.HasPrefix(p.As, "azure-") && c != nil && c.Gives() == Token:
		set(&p.Resource, c.ResourceServed())
		if p.Resource == "" {
			l.wrong(p, "", "agent.publish.resource is missing: whom the token of %s is for, such as https://vault.azure.net", quote(p.Credential))
		}
	}
}

// ResourceServed is whom a token is for, as Azure's clients ask for it.
func (c *Credential) ResourceServed() string {
	if c.Resource == "" && len(c.Scopes) == 1 {
		resource, _ := strings.CutSuffix(c.Scopes[0], "/.default")
		return resource
	}
	return c.Resource
}
