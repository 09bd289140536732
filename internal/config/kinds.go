package config

import (
	"maps"
	"slices"
	"strings"
)

// Material is what a credential is made of: what its kind gives, and what the
// kind above it may ask for in from.
type Material string

// The materials. AWSSession is the IMDSv2 session token, which is good for
// nothing but the instance's metadata.
const (
	Token      Material = "a token"
	AWSKeys    Material = "AWS keys"
	AWSSession Material = "an IMDSv2 session token"
)

// kind is what a credential of one kind is written with.
type kind struct {
	needs string // keys it cannot do without
	takes string // keys it may have beside; every kind takes refresh
	from  []Material
	gives Material
}

// proof is how a client proves who it is; see clientEvidence.
const proof = " secret key certificate"

// kinds is the table of the kinds, in the order in which chains grow. It is read
// only.
var kinds = map[string]kind{
	"aws-imds-token":    {takes: "endpoint ttl", gives: AWSSession},
	"aws-instance-role": {needs: "from", takes: "endpoint role", from: []Material{AWSSession}, gives: AWSKeys},
	"aws-container":     {takes: "endpoint url token_file", gives: AWSKeys},
	"aws-profile":       {takes: "profile file", gives: AWSKeys},
	"aws-assume-role": {needs: "from role_arn", takes: "endpoint session_name external_id region duration",
		from: []Material{AWSKeys}, gives: AWSKeys},
	"aws-web-identity": {needs: "from role_arn", takes: "endpoint session_name region duration",
		from: []Material{Token}, gives: AWSKeys},

	"google-sts": {needs: "from audience", takes: "endpoint scopes subject_token_type region",
		from: []Material{AWSKeys, Token}, gives: Token},
	"google-impersonate": {needs: "from service_account", takes: "endpoint scopes audience delegates lifetime",
		from: []Material{Token}, gives: Token},
	"google-external-account": {needs: "file", takes: "scopes", gives: Token},
	"google-service-account":  {needs: "file", takes: "endpoint scopes audience", gives: Token},
	"gce-metadata":            {takes: "endpoint account scopes audience", gives: Token},

	"azure-imds": {needs: "resource", takes: "endpoint client", gives: Token},
	"azure-workload-identity": {needs: "from tenant client", takes: "endpoint resource scopes",
		from: []Material{Token}, gives: Token},

	"oauth2":         {needs: "client audience", takes: "issuer endpoint scopes" + proof, gives: Token},
	"oauth2-refresh": {needs: "client", takes: "issuer endpoint audience scopes refresh_token state grace" + proof, gives: Token},
	"device":         {needs: "issuer client", takes: "audience scopes state grace" + proof, gives: Token},
	"token-exchange": {needs: "from audience", takes: "issuer endpoint actor scopes subject_token_type client" + proof,
		from: []Material{Token}, gives: Token},

	"jwt-file":    {needs: "path", gives: Token},
	"self-signed": {needs: "issuer audience key", takes: "subject algorithm lifetime", gives: Token},
	"exec":        {needs: "command", takes: "format timeout", gives: Token}, // AWS keys with format: aws
}

// Kinds lists the kinds of credentials, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// has reports whether a list of keys names key.
func has(keys, key string) bool { return slices.Contains(strings.Fields(keys), key) }

// keys lists every key of a kind.
func (k kind) keys() string {
	return strings.Join(strings.Fields(k.needs+" "+k.takes+" refresh"), ", ")
}

// Gives says what the credential is made of.
func (c *Credential) Gives() Material {
	if c.Kind == "exec" && c.Format == "aws" {
		return AWSKeys
	}
	return kinds[c.Kind].gives
}

// form is what a publisher of one form is written with.
type form struct {
	needs, takes string // keys, besides credential and as
	of           []Material
}

// forms is the table of the published forms. It is read only.
var forms = map[string]form{
	"imds":              {takes: "listen region session token_file", of: []Material{AWSKeys}},
	"aws-container":     {takes: "listen token_file mode", of: []Material{AWSKeys}},
	"gce-metadata":      {takes: "listen account project project_number", of: []Material{Token}},
	"azure-imds":        {takes: "listen resource account", of: []Material{Token}},
	"azure-app-service": {takes: "listen resource account token_file mode", of: []Material{Token}},
	"file":              {needs: "path", takes: "format mode", of: []Material{Token, AWSKeys}},
}

func (f form) keys() string {
	return strings.Join(strings.Fields("credential as "+f.needs+" "+f.takes), ", ")
}

// tokenTypes are the short names of RFC 8693 section 3. It is read only.
var tokenTypes = []string{"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"}

const tokenTypePrefix = "urn:ietf:params:oauth:token-type:"

// tokenType is the URN of a token type.
func tokenType(s string) string {
	if slices.Contains(tokenTypes, s) {
		return tokenTypePrefix + s
	}
	return s
}
