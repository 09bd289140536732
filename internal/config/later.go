package config

// later is the part of the contract that this version does not have: keys, and
// values written "key=value", by their path. Items of a list and names of a map
// are not part of a path. It is read only.
var later = map[string]bool{
	"issuer.federation":        true,
	"issuer.rates":             true,
	"issuer.profile=fapi2":     true,
	"issuer.clients.bootstrap": true, "issuer.clients.certificate": true,
	"issuer.clients.authenticate=mtls":     true,
	"issuer.clients.grants=token_exchange": true,
	"issuer.clients.grants=jwt_bearer":     true,
	"issuer.clients.grants=device_code":    true,
	"issuer.clients.grants=password":       true,
	"issuer.clients.grants=implicit":       true,

	"agent.credentials.bootstrap":       true,
	"agent.credentials.kind=spiffe-jwt": true,
	"agent.publish.as=spiffe":           true,
}

const notInThisVersion = "is not in this version of Longcase"
