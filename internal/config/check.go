package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/longcase/longcase/token"
)

// given reports whether the file names the field that p points to, right or
// wrong.
func (l *loader) given(p any) bool { return l.at[p] != nil }

// wrong tells a problem at the field that p points to.
func (l *loader) wrong(p any, near, format string, args ...any) {
	if n := l.at[p]; n != nil {
		l.fail(n, near, format, args...)
	}
}

// empty reports whether the file names the list that p points to, with nothing
// in it.
func (l *loader) empty(p any) bool {
	n := l.at[p]
	return n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0
}

// check judges what no single value shows.
func (l *loader) check(cfg *Config) {
	if cfg.Data.Database() && !l.given(&cfg.Keys.EncryptWith) {
		l.wrong(&cfg.Data, "", "data is a database, and its nodes seal their keys with one key: make it with 'openssl rand -base64 32', "+
			"mode 0600, on every node, and name it: keys: {encrypt_with: {file: kek}}")
	}
	l.listeners(cfg)
	if cfg.Issuer != nil {
		l.issuer(cfg.Issuer)
	}
	if cfg.Gate != nil {
		l.gate(cfg.Gate, cfg.Issuer)
	}
	if cfg.Agent != nil {
		l.agent(cfg)
	}
	if n := &cfg.Clock.NTP; len(*n) > maxServers {
		l.wrong(n, "", "clock.ntp names %d servers: %d at most", len(*n), maxServers)
	}
}

// Bounds that the rooms behind have too.
const (
	maxServers  = 8
	maxRequired = 32
	maxAsked    = 4
)

func (l *loader) listeners(cfg *Config) {
	taken := map[string]string{} // address in its one spelling -> room
	listen := func(room string, block any, r *Listener) {
		l.listener(room, block, r)
		at := oneSpelling(r.Listen)
		if other := taken[at]; other != "" && !strings.HasSuffix(at, ":0") {
			l.wrong(&r.Listen, "", "%s.listen: %s listens on %s already", room, other, r.Listen)
		}
		taken[at] = room
	}
	if cfg.Issuer != nil {
		listen("issuer", cfg.Issuer, &cfg.Issuer.Listener)
	}
	if cfg.Gate != nil {
		listen("gate", cfg.Gate, &cfg.Gate.Listener)
		l.extAuthz(cfg.Gate, taken)
	}
	if cfg.Console != nil {
		listen("console", cfg.Console, &cfg.Console.Listener)
	}
	if cfg.Agent != nil {
		l.agentListeners(cfg.Agent, taken)
	}
}

// extAuthz holds Envoy's listener to the rules of every other one.
func (l *loader) extAuthz(g *Gate, taken map[string]string) {
	if g.ExtAuthz == "" || checkAddress(g.ExtAuthz) != nil {
		return
	}
	at := oneSpelling(g.ExtAuthz)
	switch other := taken[at]; {
	case other != "" && !strings.HasSuffix(at, ":0"):
		l.wrong(&g.ExtAuthz, "", "gate.ext_authz: %s listens on %s already", other, g.ExtAuthz)
	case !g.Plain && !l.given(&g.TLS) && !loopbackAddress(g.ExtAuthz):
		l.wrong(&g.ExtAuthz, "", "gate.ext_authz %s is plain beyond loopback: give gate.tls, or plain: true if nobody else can reach it", g.ExtAuthz)
	}
	taken[at] = "gate.ext_authz"
}

func (l *loader) listener(room string, block any, r *Listener) {
	switch {
	case r.Plain && l.given(&r.TLS):
		l.wrong(&r.Plain, "", "%s.plain contradicts %s.tls: one of the two", room, room)
	case r.Plain || l.given(&r.TLS) || !l.given(&r.Listen) || checkAddress(r.Listen) != nil:
	case !loopbackAddress(r.Listen):
		l.wrong(&r.Listen, "", "%s.listen %s is plain http beyond loopback: give tls, or plain: true if TLS ends in front", room, r.Listen)
	}
}

func (l *loader) issuer(is *Issuer) {
	t := &is.Lifetimes
	if t.Access > t.MaxAccess && t.MaxAccess > 0 {
		at := &t.Access
		if !l.given(at) { // its default is too much
			at = &t.MaxAccess
		}
		l.wrong(at, "", "issuer.lifetimes.access is %s: %s is the most, unless max_access (at most 24h) says otherwise",
			formatDuration(t.Access), formatDuration(t.MaxAccess))
	}
	if !l.given(&t.SessionAbsolute) {
		l.wrong(&t.SessionIdle, "", "issuer.lifetimes.session_idle without session_absolute is an endless session: add session_absolute, for instance 12h")
	} else if !l.given(&t.SessionIdle) {
		t.SessionIdle = t.SessionAbsolute
	}
	ids := map[string]bool{}
	for i := range is.Clients {
		c := &is.Clients[i]
		l.unique(ids, &c.ID, "issuer.clients: id")
		l.client(c, t)
	}
	names := map[string]bool{}
	for i := range is.Users {
		name := &is.Users[i].Name
		l.unique(names, name, "issuer.users: name")
		if *name != "" && ids[*name] {
			l.wrong(name, "", "issuer.users: name %s %s", quote(*name), alsoClient)
		}
	}
}

// alsoClient is why a user and a client share no name: both stand in sub (RFC
// 9068 section 5), and a client could act as the user.
const alsoClient = "is the id of a client too, and sub would not tell them apart: rename one"

// unique refuses a name that was there before.
func (l *loader) unique(seen map[string]bool, name *string, what string) {
	if *name != "" && seen[*name] {
		l.wrong(name, "", "%s %s is there already", what, quote(*name))
	}
	seen[*name] = true
}

func (l *loader) client(c *Client, t *Lifetimes) {
	l.evidence(c)
	l.need(c, len(c.Grants) > 0 || c.Revocations, &c.Grants, "grants", "what the client may ask for")
	l.need(c, len(c.Audiences) > 0 || len(c.Grants) == 0, &c.Audiences, "audiences", "whom its tokens may be for")
	for i := range c.Grants {
		switch grant := &c.Grants[i]; *grant {
		case "refresh_token":
			if !l.given(&t.SessionAbsolute) {
				l.wrong(grant, "", "client %s may refresh, but issuer.lifetimes.session_absolute is missing: an endless session; add session_absolute, for instance 12h", quote(c.ID))
			}
		case "authorization_code":
			l.need(c, len(c.RedirectURIs) > 0, &c.RedirectURIs, "redirect_uris", "where /authorize may return to")
		case "client_credentials":
			if c.Authenticate == "none" {
				l.wrong(grant, "", "client %s is public (authenticate: none) and has no credentials for client_credentials", quote(c.ID))
			}
		}
	}
}

// need refuses a list that is missing or empty where ok is false.
func (l *loader) need(c *Client, ok bool, list *[]string, key, what string) {
	switch {
	case ok:
	case l.empty(list):
		l.wrong(list, "", "issuer.clients.%s is empty: %s", key, what)
	case !l.given(list):
		l.wrong(c, "", "issuer.clients.%s is missing: %s", key, what)
	}
}

// evidence holds authenticate against secret and jwks.
func (l *loader) evidence(c *Client) {
	secret, jwks := l.given(&c.Secret), l.given(&c.JWKS)
	switch c.Authenticate {
	case "secret":
		if !secret {
			l.wrong(c, "", "issuer.clients.secret is missing: authenticate: secret needs its hash; 'longcase client secret' prints one")
		}
	case "private_key_jwt":
		if !jwks {
			l.wrong(c, "", "issuer.clients.jwks is missing: authenticate: private_key_jwt needs the client's public keys, {file: …} or {url: …}")
		}
	case "none":
		if c.Revocations {
			l.wrong(&c.Revocations, "", "client %s is public and cannot follow revocations", quote(c.ID))
		}
	default:
		return
	}
	if secret && c.Authenticate != "secret" {
		l.wrong(&c.Secret, "", "issuer.clients.secret is not used with authenticate: %s", c.Authenticate)
	}
	if jwks && c.Authenticate != "private_key_jwt" {
		l.wrong(&c.JWKS, "", "issuer.clients.jwks is not used with authenticate: %s", c.Authenticate)
	}
	l.keySet(&c.JWKS, "issuer.clients.jwks")
}

// keySet wants exactly one of file and url in a key set that is given.
func (l *loader) keySet(k *KeySet, path string) {
	if l.given(&k.File) == l.given(&k.URL) {
		l.wrong(k, "", "%s is either {file: …} or {url: …}", path)
	}
}

// oneOf wants exactly one of a client's secret and key.
func (l *loader) oneOf(block any, path string, secret, key *Secret) {
	switch {
	case l.given(secret) && l.given(key):
		l.wrong(key, "", "%s has a secret and a key: one of the two", path)
	case !l.given(secret) && !l.given(key):
		l.wrong(block, "", "%s has neither secret nor key: one of the two, from {file: …} or ${NAME}", path)
	}
}

func (l *loader) gate(g *Gate, is *Issuer) {
	if l.empty(&g.Accept) {
		l.wrong(&g.Accept, "", "gate.accept is empty: name an issuer and an audience")
	}
	if l.given(&g.Forward) && !l.given(&g.TrustedProxies) {
		l.wrong(&g.Forward, "", "gate.forward is believed only from gate.trusted_proxies, which is missing")
	}
	l.accept(g.Accept)
	l.routes(g)
	if g.Revocations != nil {
		l.revocations(g.Revocations, g.Accept, is)
	}
}

func (l *loader) accept(accept []Accept) {
	l.together(accept)
	for i := range accept {
		a := &accept[i]
		l.audience(a)
		l.algorithms(a)
		l.issuerURL(a)
		if l.given(&a.JWKS) {
			l.keySet(&a.JWKS, "gate.accept.jwks")
		}
		if a.Introspect != nil {
			l.introspect(a)
		}
		if n := len(a.Required); n > maxRequired {
			l.wrong(&a.Required, "", "gate.accept.required names %d claims: %d at most", n, maxRequired)
		}
		if !l.given(&a.MaxLifetime) {
			a.MaxLifetime = map[string]time.Duration{"jwt": day}[a.Profile]
			a.MaxLifetime = max(a.MaxLifetime, time.Hour)
		}
	}
}

// together judges what several entries say of one issuer.
func (l *loader) together(accept []Accept) {
	type pair struct{ issuer, audience string }
	seen, users, asked := map[pair]bool{}, map[string]bool{}, map[string]bool{} // users, asked: all of an issuer's tokens, or none
	count := 0
	for i := range accept {
		a := &accept[i]
		if p := (pair{a.Issuer, a.Audience}); a.Issuer != "" && seen[p] {
			l.wrong(&a.Issuer, "", "gate.accept has this issuer and audience already")
		} else {
			seen[p] = true
		}
		l.allOrNone(users, a, a.SubjectFrom == "aud", "subject_from: aud and with an audience: a token for another service would be taken for a user of that name")
		if a.Introspect != nil && !asked[a.Issuer] {
			count++
		}
		l.allOrNone(asked, a, a.Introspect != nil, "introspect and without: it is asked about all its tokens, or about none")
		if count == maxAsked+1 && a.Introspect != nil {
			l.wrong(a.Introspect, "", "gate.accept has introspect for %d issuers: %d issuers at most are asked about one token", count, maxAsked)
		}
	}
}

// allOrNone refuses an entry whose issuer has another one that differs in this.
func (l *loader) allOrNone(known map[string]bool, a *Accept, is bool, what string) {
	if before, ok := known[a.Issuer]; ok && before != is {
		l.wrong(&a.Issuer, "", "gate.accept has this issuer with %s", what)
		return
	}
	known[a.Issuer] = is
}

func (l *loader) audience(a *Accept) {
	switch {
	case a.SubjectFrom == "" && !l.given(&a.SubjectFrom) && !l.given(&a.Audience):
		l.wrong(a, "", "gate.accept.audience is missing: a token is for one audience, and this says which one is ours")
	case a.SubjectFrom == "aud" && l.given(&a.Audience):
		l.wrong(&a.Audience, "", "gate.accept.audience contradicts subject_from: aud, where aud is the user")
	}
	if a.SubjectFrom == "aud" && a.Profile != "jwt" {
		l.wrong(&a.SubjectFrom, "", "gate.accept.subject_from needs profile: jwt, not %s", a.Profile)
	}
}

// introspect wants nothing beside it that would never be looked at.
func (l *loader) introspect(a *Accept) {
	l.oneOf(a.Introspect, "gate.accept.introspect", &a.Introspect.Secret, &a.Introspect.Key)
	if a.SubjectFrom != "" {
		l.wrong(&a.SubjectFrom, "", "gate.accept.subject_from is not for introspect, whose answers name the user in sub")
	}
	idle := map[string]any{"jwks": &a.JWKS, "secret": &a.Secret, "algorithms": &a.Algorithms, "keys_stale": &a.KeysStale}
	for _, key := range slices.Sorted(maps.Keys(idle)) {
		if l.given(idle[key]) {
			l.wrong(idle[key], "", "gate.accept.%s has no effect beside introspect: the issuer is asked, not its keys", key)
		}
	}
}

// issuerURL wants a URL of an issuer whose keys nothing else names, and of each
// one with profile rfc9068.
func (l *loader) issuerURL(a *Accept) {
	why := "its keys come by discovery, unless jwks or secret is given"
	if l.given(&a.JWKS) || l.given(&a.Secret) || a.Introspect != nil {
		why = "any other name needs profile: jwt"
		if a.Profile != "rfc9068" {
			return
		}
	}
	if f := checkURL(a.Issuer); f != nil && a.Issuer != "" {
		l.wrong(&a.Issuer, f.near, "gate.accept.issuer %s (%s)", f.message, why)
	}
}

// algorithms keeps shared secrets and public keys apart (RFC 8725 section 3.1).
func (l *loader) algorithms(a *Accept) {
	shared := slices.Index(a.Algorithms, token.HS256)
	switch secret := l.given(&a.Secret); {
	case secret && (shared < 0 || len(a.Algorithms) > 1):
		l.wrong(&a.Secret, "", "gate.accept.secret is for HS256: it needs algorithms: [HS256], and nothing beside")
	case secret && l.given(&a.JWKS):
		l.wrong(&a.JWKS, "", "gate.accept has a secret and jwks: one of the two")
	case !secret && shared >= 0:
		l.wrong(&a.Algorithms[shared], "", "gate.accept.algorithms names HS256, which needs secret: {file: …}")
	}
	if l.empty(&a.Algorithms) {
		l.wrong(&a.Algorithms, "", "gate.accept.algorithms is empty: leave it out for the default")
	}
}

func (l *loader) routes(g *Gate) {
	audiences := make([]string, 0, len(g.Accept)) // "": aud is the user
	for _, a := range g.Accept {
		missing := a.Audience == "" && a.SubjectFrom != "aud" // that was said
		if !missing && !slices.Contains(audiences, a.Audience) {
			audiences = append(audiences, a.Audience)
		}
	}
	methods := map[string]map[string]bool{}
	for i := range g.Routes {
		r := &g.Routes[i]
		if g.Forward == "envoy" && strings.HasPrefix(r.Path, "/verify/") {
			l.wrong(&r.Path, "", "gate.routes.path %s is the gate's own with forward: envoy, which asks below /verify", quote(r.Path))
		}
		l.routeAudience(r, audiences)
		if methods[r.Path] == nil {
			methods[r.Path] = map[string]bool{}
		}
		l.overlap(r, methods[r.Path])
		l.binding(r, g)
		l.once(r, g)
		l.upstreamTLS(r)
	}
}

// binding wants what a proof is compared with: the URL that the caller used, or
// a certificate that somebody has seen.
func (l *loader) binding(r *Route, g *Gate) {
	switch {
	case r.Binding == "dpop" && g.URL == "" && (l.given(&g.Forward) || l.given(&g.ExtAuthz)):
		l.wrong(&r.Binding, "", "gate.routes.binding: dpop behind another proxy needs gate.url: a proof names the URL that the client called")
	case r.Binding == "mtls" && !l.given(&g.TLS) && !l.given(&g.TrustedProxies) && !l.given(&g.ExtAuthz):
		l.wrong(&r.Binding, "", "gate.routes.binding: mtls needs gate.tls, or gate.trusted_proxies that pass the client's certificate on")
	}
}

// once wants tokens that end before a use of theirs is forgotten: after 25 hours.
func (l *loader) once(r *Route, g *Gate) {
	long := slices.ContainsFunc(g.Accept, func(a Accept) bool { return a.Audience == r.Audience && a.MaxLifetime > day })
	if r.Once && long {
		l.wrong(&r.Once, "", "gate.routes.once needs max_lifetime: 24h or less for this audience: a use is remembered for 25h at most")
	}
}

func (l *loader) upstreamTLS(r *Route) {
	t := r.UpstreamTLS
	if t == nil {
		return
	}
	switch {
	case !strings.HasPrefix(strings.ToLower(r.Upstream), "https:"):
		l.wrong(t, "", "gate.routes.upstream_tls is for an https upstream")
	case l.given(&t.Certificate) != l.given(&t.Key):
		l.wrong(t, "", "gate.routes.upstream_tls has one of certificate and key: both, or neither")
	}
}

// routeAudience wants a route to say which service it is, where several are
// accepted. Without an audience it is for users' tokens, if those are accepted.
func (l *loader) routeAudience(r *Route, audiences []string) {
	switch {
	case l.given(&r.Audience) && r.Audience != "" && len(audiences) > 0 && !slices.Contains(audiences, r.Audience):
		l.wrong(&r.Audience, nearest(r.Audience, audiences), "gate.routes.audience %s is not among gate.accept", quote(r.Audience))
	case l.given(&r.Audience):
	case len(audiences) == 1:
		r.Audience = audiences[0]
	case len(audiences) > 1 && !slices.Contains(audiences, ""):
		l.wrong(r, "", "gate.routes.audience is missing: several are accepted (%s)", strings.Join(audiences, ", "))
	}
}

// overlap refuses a second route for the same path and method.
func (l *loader) overlap(r *Route, taken map[string]bool) {
	methods := r.Methods
	if len(methods) == 0 {
		methods = []string{"*"}
	}
	for _, m := range methods {
		if r.Path != "" && (taken[m] || taken["*"] || m == "*" && len(taken) > 0) {
			l.wrong(&r.Path, "", "gate.routes: %s is there already", quote(r.Path))
			return
		}
	}
	for _, m := range methods {
		taken[m] = true
	}
}

func (l *loader) revocations(r *Revocations, accept []Accept, is *Issuer) {
	accepted := make([]string, 0, len(accept))
	for _, a := range accept {
		accepted = append(accepted, a.Issuer)
	}
	if checkURL(r.Follow) == nil && len(accept) > 0 && !slices.Contains(accepted, r.Follow) {
		l.wrong(&r.Follow, nearest(r.Follow, accepted), "gate.revocations.follow %s is not among gate.accept", quote(r.Follow))
		return
	}
	credentials := l.given(&r.Secret) || l.given(&r.Key)
	switch {
	case l.given(&r.Client):
		l.oneOf(r, "gate.revocations", &r.Secret, &r.Key)
	case credentials:
		l.wrong(r, "", "gate.revocations.client is missing: whose secret or key is it")
	case r.Follow != "" && (is == nil || is.URL != r.Follow):
		l.wrong(&r.Follow, "", "gate.revocations.follow is not the issuer of this file: it needs client, and secret or key")
	}
}
