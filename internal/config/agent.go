package config

import "time"

// Agent keeps credentials fresh, by name, and publishes them on local
// endpoints. It listens for this machine only: on loopback or a Unix socket.
type Agent struct {
	Listen      string                 `key:"listen" is:"local" default:"127.0.0.1:4620" doc:"Loopback host and port, or unix:PATH; where credentials are published."`
	AllowUID    []uint32               `key:"allow_uid" doc:"Users who may ask, besides the agent's own and root."`
	Credentials map[string]*Credential `key:"credentials" need:"yes" doc:"Credentials by name."`
	Publish     []Publisher            `key:"publish" doc:"Which credentials unmodified programs get, and how."`
}

// Credential is one layer of a chain. Which keys a kind has, and what its from
// may be, stands in one table: see kinds.go. What the file leaves out is zero
// and has the provider's default, except SessionName, State and the Region of
// google-sts. A Grace of -1 is none.
type Credential struct {
	Kind    string  `key:"kind" of:"aws-imds-token|aws-instance-role|aws-container|aws-profile|aws-assume-role|aws-web-identity|google-sts|google-impersonate|google-external-account|google-service-account|gce-metadata|azure-imds|azure-workload-identity|oauth2|oauth2-refresh|token-exchange|device|jwt-file|self-signed|exec" need:"yes" doc:"How the credential is got."`
	From    string  `key:"from" is:"credential" doc:"The credential that this one is got with."`
	Actor   string  `key:"actor" is:"credential" doc:"The credential of the one who acts for the subject (RFC 8693)."`
	Refresh Refresh `key:"refresh" doc:"When it is renewed."`

	Endpoint string        `key:"endpoint" is:"url" doc:"Base URL of the service; default: the real one. Of the OAuth kinds, the token endpoint; default: by discovery."`
	URL      string        `key:"url" is:"url" doc:"URL that answers with the credential; default: what the environment of the container says."`
	File     string        `key:"file" is:"path" doc:"The cloud's own file: a service account, an external account, AWS profiles."`
	Path     string        `key:"path" is:"path" doc:"File that holds the token; it is read anew when it changes."`
	Timeout  time.Duration `key:"timeout" min:"1s" max:"10m" doc:"How long the command may take; default 30s."`
	Command  []string      `key:"command" is:"argument" doc:"Program and arguments; no shell reads them. A program with a slash starts at the file's folder, another is looked for in PATH."`
	Format   string        `key:"format" of:"plain|google|aws|kubernetes" doc:"What the command prints; default plain: the token, a JWT if it is to have an end."`

	// AWS
	TTL         time.Duration `key:"ttl" min:"1s" max:"6h" doc:"Life of the IMDSv2 session token that is asked for; default 6h."`
	Role        string        `key:"role" is:"aws-role" doc:"Name of the instance's role; default: the first one."`
	Profile     string        `key:"profile" is:"name" doc:"Profile of the AWS files; default: default."`
	RoleARN     string        `key:"role_arn" is:"role-arn" doc:"ARN of the role to assume."`
	SessionName string        `key:"session_name" is:"session-name" doc:"Name of the role's session, for the audit log; default: longcase-NAME."`
	ExternalID  string        `key:"external_id" is:"external-id" doc:"What the role's trust policy asks for."`
	Region      string        `key:"region" is:"region" doc:"AWS region of STS; default us-east-1."`
	Duration    time.Duration `key:"duration" min:"15m" max:"12h" doc:"Life of the role's credentials that is asked for; default 1h."`
	TokenFile   string        `key:"token_file" is:"path" doc:"File that holds the authorization token of url."`

	// Google
	ServiceAccount string   `key:"service_account" is:"email" doc:"E-mail address of the service account to become."`
	Delegates      []string `key:"delegates" is:"email" doc:"Service accounts between, in order."`
	Account        string   `key:"account" is:"gce-account" doc:"Service account of the instance; default: default."`

	// Azure
	Resource string `key:"resource" is:"audience" doc:"Whom the token is for, as Azure calls it."`
	Tenant   string `key:"tenant" is:"tenant" doc:"Entra tenant."`

	// OAuth and JWTs
	Issuer           string        `key:"issuer" is:"issuer" doc:"The token service, found by discovery; of a self-signed token, its iss."`
	Client           string        `key:"client" is:"client" doc:"client_id."`
	Secret           Secret        `key:"secret" doc:"The client secret."`
	Key              Secret        `key:"key" doc:"PEM private key: private_key_jwt, or mTLS with certificate; of a self-signed token, what signs it."`
	Certificate      Secret        `key:"certificate" is:"path" doc:"PEM certificate of the client; with key: mTLS."`
	Audience         string        `key:"audience" is:"audience" doc:"Whom the token is for."`
	Scopes           []string      `key:"scopes" is:"scope" doc:"What the token is to allow."`
	RefreshToken     Secret        `key:"refresh_token" doc:"The first refresh token; later ones are in state."`
	State            string        `key:"state" is:"path" doc:"File of a refresh token that rotates, mode 0600; default: DATA/agent/NAME.state."`
	Grace            time.Duration `key:"grace" is:"or-none" min:"1s" max:"24h" doc:"How long the service answers a repeat of a refresh whose answer was lost; none: it does not rotate refresh tokens, or a false alarm of theft is the lesser evil. Default 60s."`
	SubjectTokenType string        `key:"subject_token_type" is:"token-type" doc:"What from gives: jwt (the default), access_token, id_token, saml2 or a URN."`
	Subject          string        `key:"subject" is:"name" doc:"sub; default: issuer."`
	Algorithm        string        `key:"algorithm" of:"ES256|ES384|RS256|PS256|EdDSA" doc:"How it is signed; default: what fits key."`
	Lifetime         time.Duration `key:"lifetime" min:"1s" max:"12h" doc:"Life that is asked for; default 5m if self-signed, 1h at Google."`
}

// Refresh is when a credential is renewed. A zero Span is the default.
type Refresh struct {
	Ahead  Span `key:"ahead" doc:"This long before its end, in the background; default 33%, at most 5m."`
	Buffer Span `key:"buffer" doc:"This close to its end, whoever asks waits; default 5%, at most 30s."`
	Jitter Span `key:"jitter" doc:"Up to this much earlier; a percentage is of ahead; default 10%."`
}

// Span is a length of time: a part of a life (above 0, at most 1), or a duration
// of at least a second. The zero Span is none.
type Span struct {
	Part   float64
	Length time.Duration
}

// Publisher hands one credential to programs that know nothing of Longcase.
// Which keys a form has stands in the table of kinds.go.
type Publisher struct {
	Credential    string `key:"credential" is:"credential" need:"yes" doc:"Which one."`
	As            string `key:"as" of:"imds|aws-container|gce-metadata|azure-imds|azure-app-service|file" need:"yes" doc:"In which form."`
	Listen        string `key:"listen" is:"local" doc:"Loopback host and port, or unix:PATH, of its own; default: the agent's."`
	Region        string `key:"region" is:"region" doc:"AWS region that the metadata says; default: none."`
	Session       string `key:"session" of:"sliding|strict" doc:"sliding: a session token lives while it is used; strict: for the TTL asked for. Default sliding."`
	TokenFile     string `key:"token_file" is:"path" doc:"Where the agent keeps the secret of this form, for its clients to read; default: DATA/container/NAME.token, below imds and identity for those forms."`
	Account       string `key:"account" is:"account" doc:"The service account's e-mail address, or at Azure the identity's client_id, that programs may ask for."`
	Project       string `key:"project" is:"project" doc:"Google project that the metadata says; default: none."`
	ProjectNumber string `key:"project_number" is:"number" doc:"The project's number that the metadata says; default: none."`
	Resource      string `key:"resource" is:"audience" doc:"The one resource it answers for; default: the credential's."`
	Path          string `key:"path" is:"path" doc:"File that always holds a live credential; replaced whole."`
	Format        string `key:"format" of:"token|aws-credentials|json" doc:"What the file holds; default: token, or aws-credentials for AWS keys."`
	Mode          string `key:"mode" is:"mode" doc:"Mode of the file, or of token_file: nothing for others; default 0600."`
}
