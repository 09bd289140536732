package e2e

import (
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/google"
	"github.com/longcase/longcase/internal/clouds"
)

// Incident 0: google-auth-library up to 9.6.3 asks IMDSv2 for a session token of
// 300 s, once. Here a session ends after 0.4 s although its answer says 1 s, the
// least that it can say, so whoever renews by the clock alone fails too; the keys
// live for 0.6 s and Google's tokens for 2 s, of which it says 1.
func shortSky(t *testing.T) *sky {
	return newSky(t, clouds.AWSConfig{SessionLife: 400 * time.Millisecond, RoleLife: 600 * time.Millisecond}, 2*time.Second)
}

// externalAccount writes an external_account file with an AWS source, as
// `gcloud iam workload-identity-pools create-cred-config --aws
// --enable-imdsv2` does, but for the places of the services.
func (s *sky) externalAccount(imds string) string {
	s.t.Helper()
	return writeFile(s.t, s.t.TempDir(), "external.json", encode(s.t, map[string]any{
		"universe_domain": "googleapis.com", "type": "external_account", "audience": pool,
		"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request", "token_url": s.GoogleURL + "/v1/token",
		"credential_source": map[string]any{
			"environment_id":                 "aws1",
			"region_url":                     imds + "/latest/meta-data/placement/availability-zone",
			"url":                            imds + "/latest/meta-data/iam/security-credentials",
			"imdsv2_session_token_url":       imds + "/latest/api/token",
			"regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
		},
	}))
}

// asPool is what Google's API says to a token of the pool.
const asPool = `{"as":"` + pool + `"}` + "\n"

// googleAuth is google-auth-library of one version with an external_account file.
func (s *sky) googleAuth(t *testing.T, library, file string) *program {
	t.Helper()
	return converse(t, task{Library: library, Scopes: []string{cloudAll}, API: s.GoogleURL + "/api/orders"},
		[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + file}, append(node, "clients/node/google.mjs")...)
}

const buggy = "google-auth-library-9.6.3"

func TestIncident0WithoutLongcase(t *testing.T) {
	t.Parallel()
	s := shortSky(t)
	p := s.googleAuth(t, buggy, s.externalAccount(s.AWSURL))
	if r := p.call(); r.Who != asPool {
		t.Fatalf("the first call: %q %s", r.Who, r.Error)
	}
	time.Sleep(2100 * time.Millisecond) // until Google's first token has ended too
	for range 20 {
		if r := p.call(); r.Error != "Unauthorized" {
			t.Fatalf("it healed: %q %s", r.Who, r.Error)
		}
	}
	if puts := s.AWS.Count(clouds.PutToken); puts != 1 {
		t.Errorf("%d session tokens were asked for, want the one of the incident", puts)
	}
}

// The incident is the library's, not the double's: the newest one lives on.
func TestIncident0IsMendedInTheNewestLibrary(t *testing.T) {
	t.Parallel()
	s := shortSky(t)
	p := s.googleAuth(t, "google-auth-library", s.externalAccount(s.AWSURL))
	p.keepCalling(asPool, 200*time.Millisecond, func() bool { return s.signers() > 5 })
}

func TestIncident0WithOurProvider(t *testing.T) {
	t.Parallel()
	s := shortSky(t)
	imds := func(base string) aws.IMDS { return aws.IMDS{Endpoint: base} }
	chain, err := google.ExternalAccount(google.ExternalAccountConfig[aws.Keys]{
		File: s.externalAccount(s.AWSURL), Scopes: []string{cloudAll}, Policy: fresh.Policy{Name: "pool"},
		AWS: google.AWSLayers[aws.Keys]{
			Session: func(base string) fresh.Root[fresh.Token] { return aws.SessionToken(imds(base)) },
			Role:    func(base string) fresh.Fetch[fresh.Token, aws.Keys] { return aws.InstanceRole(imds(base)) },
			Keys:    func(k aws.Keys) (id, secret, session string) { return k.AccessKeyID, k.SecretAccessKey, k.SessionToken },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for s.signers() <= expiries {
		lease, err := chain.Layer.Get(t.Context())
		if err != nil {
			t.Fatalf("after %d calls: %v", calls, err)
		}
		who, err := bearer(t.Context(), s.GoogleURL+"/api/orders", lease.Value.Value)
		if err != nil || who != asPool {
			t.Fatalf("after %d calls: %q %v", calls, who, err)
		}
		calls++
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d calls, %d keys, %d sessions", calls, s.signers(), s.AWS.Count(clouds.PutToken))
}

// expiries is how many ends in a row are survived.
const expiries = 100
