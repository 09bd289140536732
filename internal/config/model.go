package config

import (
	"net/netip"
	"time"

	"github.com/longcase/longcase/token"
)

// The struct tags below are the only description of the file. They drive the
// decoder, the JSON Schema and the nearest spellings:
//
//	key      the key in the file
//	need     "yes": refused when missing
//	default  the value when missing, as it would stand in the file
//	is       the rule of a text, see rules.go
//	of       the texts allowed, separated by |
//	min, max bounds of a duration
//	doc      one sentence for the schema

// Config is one file. A block that the file leaves out is nil; what it leaves
// out inside a block has its default. Paths are relative to the file's folder
// until Load has resolved them; URLs are byte for byte what the file says.
type Config struct {
	Data    Data     `key:"data" is:"data" default:"longcase-data" doc:"Directory of the embedded store, the admin socket and token files; or the URL of a database, postgres:// or cassandra://."`
	Keys    Keys     `key:"keys" doc:"How stored keys are protected."`
	Issuer  *Issuer  `key:"issuer" doc:"The token service."`
	Gate    *Gate    `key:"gate" doc:"The reverse proxy and /verify."`
	Agent   *Agent   `key:"agent" doc:"Credentials by name, kept fresh, and where they are published."`
	Console *Console `key:"console" doc:"Where /metrics is."`
	Clock   Clock    `key:"clock" doc:"Who says whether this host's clock is right."`

	File string // the path given to Load
}

// Keys is how keys at rest are sealed.
type Keys struct {
	EncryptWith Secret `key:"encrypt_with" doc:"The key-encryption key: a file of mode 0600, or the environment. Required with a database; default: DATA/kek, made at first start."`
}

// Listener is where a room listens. Beyond loopback it has TLS, or Plain says
// that TLS ends in front.
type Listener struct {
	Listen string `key:"listen" is:"address" doc:"Host and port to listen on; beyond loopback tls is required, or plain: true."`
	TLS    *TLS   `key:"tls" doc:"Serve TLS."`
	Plain  bool   `key:"plain" doc:"Plain http beyond loopback, because TLS ends in front."`
}

// TLS names PEM files. With ClientCA, client certificates from it are required.
type TLS struct {
	Certificate string `key:"certificate" is:"path" need:"yes" doc:"PEM file: the certificate and its chain."`
	Key         string `key:"key" is:"path" need:"yes" doc:"PEM file: the private key."`
	ClientCA    string `key:"client_ca" is:"path" doc:"PEM file: require client certificates from these authorities."`
}

// Issuer is the token service.
type Issuer struct {
	URL       string `key:"url" is:"url" need:"yes" doc:"The issuer identifier; becomes iss, byte for byte."`
	Listener  `listen:"127.0.0.1:4600"`
	Profile   string    `key:"profile" of:"rfc9700" default:"rfc9700" doc:"The rules that hold for every client."`
	Lifetimes Lifetimes `key:"lifetimes" doc:"When things end."`
	Signing   Signing   `key:"signing" doc:"The signing keys."`
	Clients   []Client  `key:"clients" doc:"The clients of this file; they win over clients added at run time."`
	Users     []User    `key:"users" doc:"People who may sign in."`
}

// Lifetimes are the ends of what the issuer hands out. SessionIdle and
// SessionAbsolute are zero if the file names no SessionAbsolute: then nothing
// may refresh. Backdate and Grace may be zero, which means none.
type Lifetimes struct {
	Access          time.Duration `key:"access" default:"5m" min:"1s" max:"24h" doc:"Life of an access token; at most 1h unless max_access says otherwise."`
	MaxAccess       time.Duration `key:"max_access" default:"1h" min:"1s" max:"24h" doc:"The most that access may be."`
	SessionIdle     time.Duration `key:"session_idle" min:"1s" max:"3650d" doc:"A session that is not refreshed for this long is over; default: session_absolute."`
	SessionAbsolute time.Duration `key:"session_absolute" min:"1s" max:"3650d" doc:"A session is over after this long, whatever happens; required as soon as one client may refresh."`
	Code            time.Duration `key:"code" default:"60s" min:"1s" max:"10m" doc:"Life of an authorization code."`
	Backdate        time.Duration `key:"backdate" default:"10s" max:"5m" doc:"nbf is this long before iat."`
	Grace           time.Duration `key:"grace" default:"60s" max:"10m" doc:"A lost refresh response may be repeated this long."`
}

// Signing is how the ring of keys turns.
type Signing struct {
	Algorithm    token.Algorithm `key:"algorithm" of:"ES256|ES384|RS256|PS256|EdDSA" default:"ES256" doc:"Algorithm of new keys."`
	Rotate       time.Duration   `key:"rotate" default:"30d" min:"1s" doc:"How long a key signs."`
	PublishAhead time.Duration   `key:"publish_ahead" default:"10m" min:"1s" doc:"How long a key is published before it signs."`
}

// Client is one client of the issuer (RFC 6749 section 2).
type Client struct {
	ID           string       `key:"id" is:"client" need:"yes" doc:"client_id."`
	Authenticate string       `key:"authenticate" of:"secret|private_key_jwt|none" need:"yes" doc:"How the client proves who it is; none: a public client."`
	Secret       ClientSecret `key:"secret" doc:"Hash of the client secret."`
	JWKS         KeySet       `key:"jwks" doc:"Public keys of a client that authenticates with private_key_jwt."`
	Grants       []string     `key:"grants" of:"client_credentials|authorization_code|refresh_token" doc:"What the client may ask for."`
	Audiences    []string     `key:"audiences" is:"audience" doc:"Whom its tokens may be for; one at a time."`
	Scopes       []string     `key:"scopes" is:"scope" doc:"What its tokens may allow."`
	RedirectURIs []string     `key:"redirect_uris" is:"redirect" doc:"Where /authorize may return to; compared exactly."`
	Origins      []string     `key:"origins" is:"origin" doc:"Web origins that may call /token (CORS)."`
	Revocations  bool         `key:"revocations" doc:"The client may follow the revocation feed and introspect any token."`
}

// ClientSecret is the hash that 'longcase client secret' prints.
type ClientSecret struct {
	Hash string `key:"hash" is:"secret-hash" need:"yes" doc:"The hash that 'longcase client secret' prints: sha256$…"`
}

// KeySet is a JWK Set, in a file or behind a URL: one of the two, or neither.
type KeySet struct {
	File string `key:"file" is:"path" doc:"File that holds a JWK Set."`
	URL  string `key:"url" is:"url" doc:"URL of a JWK Set."`
}

// User is a person who may sign in.
type User struct {
	Name     string   `key:"name" is:"name" need:"yes" doc:"Name to sign in with; becomes sub, so no client has it."`
	Password Password `key:"password" need:"yes" doc:"How the password is checked."`
}

// Password is the hash that 'longcase user password' prints.
type Password struct {
	Hash string `key:"hash" is:"password-hash" need:"yes" doc:"The hash that 'longcase user password' prints: $argon2id$…"`
}

// Gate is the place where tokens are judged.
type Gate struct {
	Listener       `listen:"127.0.0.1:4610"`
	URL            string         `key:"url" is:"url" doc:"What clients call this gate, if another proxy stands in front."`
	ExtAuthz       string         `key:"ext_authz" is:"address" doc:"Host and port for Envoy's external authorization over gRPC; with the gate's tls or plain."`
	Forward        string         `key:"forward" of:"nginx|traefik|envoy" doc:"Whose headers name the original request of /verify."`
	TrustedProxies []netip.Prefix `key:"trusted_proxies" doc:"Networks of the proxies in front whose headers are believed."`
	Accept         []Accept       `key:"accept" need:"yes" doc:"Whose tokens are accepted, and for whom."`
	Revocations    *Revocations   `key:"revocations" doc:"The feed of tokens that ended early."`
	Routes         []Route        `key:"routes" doc:"What a request needs, by path."`
	Rates          Rates          `key:"rates" doc:"How often one client or one address may ask; default: no bound."`
	Audit          string         `key:"audit" is:"path" doc:"File to which each decision is appended as one line of JSON; opened again on SIGHUP."`
}

// Rates bound how often one client or address may ask. The zero Rate is no
// bound.
type Rates struct {
	Client  Rate `key:"client" doc:"Requests of one client, like 100/s; bursts of a second's worth."`
	Address Rate `key:"address" doc:"Requests of one address, like 100/s."`
}

// Rate is events per second.
type Rate float64

// Clock is who says whether this host's clock is right, beside chrony and the
// kernel, which are asked anyway.
type Clock struct {
	NTP []string `key:"ntp" is:"ntp" doc:"NTP servers to compare this host's clock with; none by default."`
}

// Accept is one issuer and what its tokens must look like. Keys come by
// discovery unless JWKS or Secret is set. A Leeway of zero means none.
type Accept struct {
	Issuer      string            `key:"issuer" is:"issuer" need:"yes" doc:"iss, byte for byte; an https URL if its keys come by discovery."`
	Audience    string            `key:"audience" is:"audience" doc:"aud that means this service; required unless subject_from is aud."`
	Algorithms  []token.Algorithm `key:"algorithms" of:"ES256|ES384|RS256|PS256|EdDSA|HS256" doc:"Accepted algorithms; default: every one but HS256."`
	JWKS        KeySet            `key:"jwks" doc:"The issuer's keys; default: by discovery."`
	Secret      Secret            `key:"secret" doc:"Shared secret of HS256: the file's bytes less one final newline, at least 32."`
	Profile     string            `key:"profile" of:"rfc9068|jwt" default:"rfc9068" doc:"The shape of the tokens."`
	Leeway      time.Duration     `key:"leeway" default:"30s" max:"60s" doc:"How far clocks may disagree."`
	MaxLifetime time.Duration     `key:"max_lifetime" min:"1s" doc:"Longest exp - iat; default 1h, with profile jwt 24h."`
	KeysStale   time.Duration     `key:"keys_stale" default:"24h" min:"1s" doc:"How long the last good keys serve when they cannot be fetched."`
	SubjectFrom string            `key:"subject_from" of:"aud" doc:"aud, one string, is the user; only with profile jwt and no audience."`
	Required    []string          `key:"required" is:"claim" doc:"Further claims that must be there."`
	FollowSkew  bool              `key:"follow_skew" doc:"The leeway grows with the measured skew of the issuer's clock, to 60s at most."`
	Introspect  *Introspect       `key:"introspect" doc:"Ask the issuer about each token (RFC 7662) instead of looking at keys."`
}

// Introspect is where an issuer is asked about tokens, and as whom: exactly one
// of Key and Secret is set.
type Introspect struct {
	URL    string `key:"url" is:"url" need:"yes" doc:"The introspection endpoint."`
	Client string `key:"client" is:"client" need:"yes" doc:"The client that asks."`
	Key    Secret `key:"key" doc:"PEM private key of the client."`
	Secret Secret `key:"secret" doc:"Secret of the client."`
}

// Revocations is the feed a gate follows. Client is empty for a gate in the
// issuer's own process; else exactly one of Key and Secret is set.
type Revocations struct {
	Follow     string        `key:"follow" is:"url" need:"yes" doc:"The issuer whose feed is followed."`
	Client     string        `key:"client" is:"client" doc:"The client that follows; none in the issuer's own process."`
	Key        Secret        `key:"key" doc:"PEM private key of the client."`
	Secret     Secret        `key:"secret" doc:"Secret of the client."`
	StaleAfter time.Duration `key:"stale_after" default:"10s" min:"1s" doc:"Silence after which the feed is stale."`
	WhenStale  string        `key:"when_stale" of:"refuse|accept" default:"refuse" doc:"What happens to tokens while the feed is stale."`
}

// Route is what a request needs. A Path that ends in / is a prefix, else it is
// exact; the longest wins. Audience is always set, unless aud is to be the user.
type Route struct {
	Path     string   `key:"path" is:"route" need:"yes" doc:"A prefix if it ends in /, else exact; the longest wins."`
	Methods  []string `key:"methods" is:"method" doc:"Methods that are allowed; default: all."`
	Audience string   `key:"audience" is:"audience" doc:"Which accepted audience; required where several are accepted; left out beside subject_from: its tokens and no others."`
	Scopes   []string `key:"scopes" is:"scope" doc:"Scopes the token must have, all of them."`
	Clients  []string `key:"clients" is:"client" doc:"Clients that may call, one of them; default: any."`
	Binding  string   `key:"binding" of:"dpop|mtls" doc:"The token must be bound to a key of the caller: RFC 9449 or RFC 8705."`
	Once     bool     `key:"once" doc:"A token is good for one request: its jti is used up."`
	Upstream string   `key:"upstream" is:"url" doc:"Where the request goes; none: only /verify uses the route."`

	UpstreamTLS *UpstreamTLS `key:"upstream_tls" doc:"How an https upstream is verified, and what it is shown."`
}

// UpstreamTLS names PEM files for a connection to an upstream.
type UpstreamTLS struct {
	CA          string `key:"ca" is:"path" doc:"PEM file: the authorities of the upstream's certificate; default: the system's."`
	Certificate string `key:"certificate" is:"path" doc:"PEM file: the gate's own certificate and its chain."`
	Key         string `key:"key" is:"path" doc:"PEM file: the private key of certificate."`
}

// Console is where /metrics is.
type Console struct {
	Listener `listen:"127.0.0.1:4630"`
}
