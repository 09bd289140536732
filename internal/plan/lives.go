package plan

import (
	"time"

	"github.com/longcase/longcase/internal/config"
)

// life is what is known of the life of one kind of credential.
type life struct {
	asked    func(*config.Credential) time.Duration // what the file asks for; 0: nothing
	standard time.Duration                          // else; 0: nobody knows
	from     string                                 // where standard is known from
	capped   bool                                   // it never outlives what it is got with
}

func duration(c *config.Credential) time.Duration { return c.Duration }
func lifetime(c *config.Credential) time.Duration { return c.Lifetime }
func ttl(c *config.Credential) time.Duration      { return c.TTL }
func none(*config.Credential) time.Duration       { return 0 }

const asTheServiceSays = "the service says (expires_in)"

// lives is the table of the kinds. It is read only. Capped is what Google's STS
// does (google-github-actions/auth#432, external-secrets#6690), and what a token
// exchange is expected to do (RFC 8693 section 2.2.1 leaves it open).
var lives = map[string]life{
	"aws-imds-token":    {ttl, 6 * time.Hour, "the TTL that is asked for", false},
	"aws-instance-role": {none, 6 * time.Hour, "about; EC2 User Guide, instance metadata", false},
	"aws-container":     {none, 6 * time.Hour, "about; ECS and EKS Pod Identity", false},
	"aws-profile":       {none, 0, "the profile: keys without an end, or what its program says", false},
	"aws-assume-role":   {duration, time.Hour, "AWS STS, DurationSeconds", false},
	"aws-web-identity":  {duration, time.Hour, "AWS STS, DurationSeconds", false},

	"google-sts":              {none, time.Hour, "Google STS; never beyond the subject token", true},
	"google-impersonate":      {lifetime, time.Hour, "IAM Credentials API, lifetime", false},
	"google-external-account": {none, time.Hour, "its file", false},
	"google-service-account":  {none, time.Hour, "Google's token endpoint", false},
	"gce-metadata":            {none, time.Hour, "Compute Engine, metadata server", false},

	"azure-imds":              {none, 24 * time.Hour, "Entra, managed identities", false},
	"azure-workload-identity": {none, time.Hour, "Entra; 60 to 90 min", false},

	"oauth2":         {none, 0, asTheServiceSays, false},
	"oauth2-refresh": {none, 0, asTheServiceSays, false},
	"device":         {none, 0, asTheServiceSays, false},
	"token-exchange": {none, 0, asTheServiceSays, true},

	"self-signed": {lifetime, 5 * time.Minute, "the default of lifetime", false},
	"jwt-file":    {none, 5 * time.Minute, "assumed, as GitHub's: the file cannot be read", false},
	"exec":        {none, 0, "what the command prints", false},
}

// writers are who renews a token that stands in a file, by where it stands. They
// are read only.
var writers = []struct {
	below, who string
	life       time.Duration
	from       string
}{
	{"/var/run/secrets/eks.amazonaws.com/", "the kubelet", 24 * time.Hour, "EKS, projected token"},
	{"/var/run/secrets/azure/", "the kubelet", time.Hour, "AKS, projected token"},
	{"/var/run/secrets/", "the kubelet", time.Hour, "Kubernetes, projected token: expirationSeconds"},
	{"/run/secrets/", "the kubelet", time.Hour, "Kubernetes, projected token: expirationSeconds"},
}
