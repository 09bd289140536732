package render

import (
	"fmt"
	"strings"
	"time"
)

// InstanceRole is the answer of IMDS for a role's credentials (EC2 User Guide,
// "Retrieve security credentials from instance metadata"). Its Expiration has a
// fraction, RFC 3339 all the same: botocore goes on for up to ten minutes with
// keys of IMDS that end within a quarter of an hour, be they over or not, but
// only where it can read the end with "%Y-%m-%dT%H:%M:%SZ".
func InstanceRole(k Keys, now time.Time) []byte {
	return line(struct {
		Code, LastUpdated, Type, AccessKeyId, SecretAccessKey, Token, Expiration string //nolint:staticcheck // AWS's spelling
	}{"Success", stamp(now), "AWS-HMAC", k.AccessKeyID, k.SecretAccessKey, k.SessionToken, fine(endOf(k.Expires, now))})
}

// Container is the answer of the container credentials endpoint (AWS SDKs and
// Tools Reference Guide, "Container credential provider").
func Container(k Keys, now time.Time) []byte {
	return line(struct{ AccessKeyId, SecretAccessKey, Token, Expiration string }{ //nolint:staticcheck // AWS's spelling
		k.AccessKeyID, k.SecretAccessKey, k.SessionToken, stamp(endOf(k.Expires, now))})
}

// CredentialProcess is what a credential_process prints (AWS SDKs and Tools
// Reference Guide, "Process credential provider"). Keys without an end are
// printed without one: the program never asks again.
func CredentialProcess(k Keys) []byte {
	return line(struct {
		Version         int
		AccessKeyId     string //nolint:staticcheck // AWS's spelling
		SecretAccessKey string
		SessionToken    string `json:",omitempty"`
		Expiration      string `json:",omitempty"`
	}{1, k.AccessKeyID, k.SecretAccessKey, k.SessionToken, optional(k.Expires)})
}

// AWSCredentials is a shared credentials file with the keys as its default
// profile (AWS SDKs and Tools Reference Guide, "Shared config and credentials
// files"). It cannot say when they end. The error is for keys that hold what
// would be another line.
func AWSCredentials(k Keys) ([]byte, error) {
	var b strings.Builder
	b.WriteString("[default]\n")
	for _, s := range []struct{ name, value string }{
		{"aws_access_key_id", k.AccessKeyID},
		{"aws_secret_access_key", k.SecretAccessKey},
		{"aws_session_token", k.SessionToken},
	} {
		if strings.ContainsFunc(s.value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("%s holds a space or a control character", s.name)
		}
		if s.value != "" {
			fmt.Fprintf(&b, "%s = %s\n", s.name, s.value)
		}
	}
	return []byte(b.String()), nil
}
