package config

// later is the part of the contract that this version does not have: keys, and
// values written "key=value", by their path. Items of a list and names of a map
// are not part of a path. It is read only.
var later = map[string]bool{
	"rates":                    true,
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

	"gate.rates": true, "gate.ext_authz": true, "gate.forward=envoy": true,
	"gate.accept.introspect": true,
	"gate.routes.binding":    true, "gate.routes.once": true,

	"agent.listen": true, "agent.allow_uid": true, "agent.publish": true,
	"agent.credentials.refresh": true, "agent.credentials.bootstrap": true, "agent.credentials.certificate": true,
	"agent.credentials.kind=aws-imds-token":          true,
	"agent.credentials.kind=aws-instance-role":       true,
	"agent.credentials.kind=aws-container":           true,
	"agent.credentials.kind=aws-profile":             true,
	"agent.credentials.kind=aws-assume-role":         true,
	"agent.credentials.kind=aws-web-identity":        true,
	"agent.credentials.kind=google-sts":              true,
	"agent.credentials.kind=google-impersonate":      true,
	"agent.credentials.kind=google-external-account": true,
	"agent.credentials.kind=google-service-account":  true,
	"agent.credentials.kind=gce-metadata":            true,
	"agent.credentials.kind=azure-imds":              true,
	"agent.credentials.kind=azure-workload-identity": true,
	"agent.credentials.kind=oauth2-refresh":          true,
	"agent.credentials.kind=token-exchange":          true,
	"agent.credentials.kind=device":                  true,
	"agent.credentials.kind=jwt-file":                true,
	"agent.credentials.kind=self-signed":             true,
	"agent.credentials.kind=spiffe-jwt":              true,
	"agent.credentials.kind=exec":                    true,
}

const notInThisVersion = "is not in this version of Longcase"
