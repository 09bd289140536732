package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/clouds"
)

// agent is a `longcase serve` that keeps credentials of a sky fresh and
// publishes them.
type agent struct {
	*process
	*sky
	URL  string
	file string
}

// newAgent starts an agent with the credentials and publications given, written
// as in a file; AWS, GOOGLE, AZURE, AGENT and DIR stand for the places.
func newAgent(t *testing.T, s *sky, credentials, publish string) *agent {
	t.Helper()
	address, dir := freeAddress(t), t.TempDir()
	places := strings.NewReplacer("AWS", s.AWSURL, "GOOGLE", s.GoogleURL, "AZURE", s.AzureURL, "AGENT", "http://"+address, "DIR", dir)
	text := "data: longcase-data\nagent:\n  listen: " + address + "\n  credentials:" + indent(credentials)
	if publish != "" {
		text += "\n  publish:" + indent(publish)
	}
	a := &agent{sky: s, URL: "http://" + address}
	a.file = writeFile(t, dir, "longcase.yaml", places.Replace(text)+"\n")
	a.process = serve(t, dir, "-c", a.file)
	eventually(t, patience, "the agent is ready", func() bool { return status(a.URL+"/.longcase/readyz") == 200 })
	return a
}

func indent(lines string) string {
	return "\n    " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n    ")
}

// instanceRole is the chain of an EC2 instance, renewed at half of its life.
const instanceRole = `
session: {kind: aws-imds-token, endpoint: AWS, refresh: {ahead: 50%, jitter: 1%}}
role: {kind: aws-instance-role, from: session, endpoint: AWS, refresh: {ahead: 50%, jitter: 1%}}
`

// The cure of incident 0: the library and its file are as they were, but the
// file's URLs of the metadata service are the agent's.
func TestIncident0BehindTheAgent(t *testing.T) {
	t.Parallel()
	s := newSky(t, clouds.AWSConfig{SessionLife: 400 * time.Millisecond, RoleLife: 1200 * time.Millisecond}, 2*time.Second)
	a := newAgent(t, s, instanceRole, `- {credential: role, as: imds, region: `+region+`}`)
	p := s.googleAuth(t, buggy, s.externalAccount(a.URL))
	sessions := func() int { return s.AWS.Count(clouds.PutToken) }
	calls := p.keepCalling(asPool, 100*time.Millisecond, func() bool { return s.signers() > expiries && sessions() > expiries })
	t.Logf("%d calls, %d keys, %d sessions", calls, s.signers(), sessions())
}

// Our own provider with the same file, as the program runs it: by the command,
// and published.
func TestIncident0WithTheFileInTheAgent(t *testing.T) {
	t.Parallel()
	s := newSky(t, clouds.AWSConfig{SessionLife: 400 * time.Millisecond, RoleLife: 600 * time.Millisecond}, short)
	a := newAgent(t, s, "pool: {kind: google-external-account, file: "+s.externalAccount(s.AWSURL)+"}", "- {credential: pool, as: gce-metadata, project: project}")
	p := converse(t, task{Scopes: []string{cloudAll}, API: s.GoogleURL + "/api/orders"}, []string{"GCE_METADATA_HOST=" + strings.TrimPrefix(a.URL, "http://")}, goClient("google")...)
	p.keepCalling(asPool, 200*time.Millisecond, func() bool { return s.signers() > 4 })
	for range 3 {
		r := longcase(t, "", "token", "get", "pool", "-c", a.file)
		who, err := bearer(t.Context(), s.GoogleURL+"/api/orders", strings.TrimSpace(r.stdout))
		if who != asPool {
			t.Errorf("token get exits %d, and its token is answered for %q: %v %s", r.code, who, err, r.stderr)
		}
	}
}
