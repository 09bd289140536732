package e2e

import (
	"crypto"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// The clouds themselves cannot be reached from a test. Their doubles
// (internal/clouds) compute signatures again and judge ends, audiences and
// times as the real ones do.
//
// Nothing here turns a clock: clients and agent judge ends by the host's, so
// what is short is the lives. A day of incident 0 is a minute.

// What the doubles know.
const (
	region   = "eu-central-1"
	pool     = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws"
	pods     = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/pods"
	mail     = "mail@project.iam.gserviceaccount.com"
	cloudAll = "https://www.googleapis.com/auth/cloud-platform"
	cluster  = "https://kubernetes.example.com"
	tenant   = "11111111-2222-3333-4444-555555555555"
	identity = "66666666-7777-8888-9999-000000000000"
	vault    = "https://vault.azure.net"
	instance = "arn:aws:sts::123456789012:assumed-role/app/i-0123456789abcdef0"
)

// sky is AWS, Google and Azure.
type sky struct {
	t         *testing.T
	AWS       *clouds.AWS
	Google    *clouds.Google
	Azure     *clouds.Azure
	AWSURL    string // IMDS and STS
	GoogleURL string
	AzureURL  string
	cluster   token.Signer // of the pods' JWTs

	mu     sync.Mutex
	signed map[string]bool // access key ids
}

// newSky starts them; life is that of Google's and Azure's tokens.
func newSky(t *testing.T, aws clouds.AWSConfig, life time.Duration) *sky {
	t.Helper()
	s := &sky{t: t, cluster: signerOf(t, "cluster-1", token.ES256, newKey(t)), signed: map[string]bool{}}
	keys := jwks.FromKeys(s.cluster.Key())
	aws.Now, aws.Region, aws.Issuer, aws.Keys = time.Now, region, cluster, keys
	s.AWS = clouds.NewAWS(aws)
	s.Google = clouds.NewGoogle(clouds.GoogleConfig{
		Now: time.Now, Life: life, Signer: signerOf(t, "google-1", token.RS256, newRSAKey(t)),
		Providers: []clouds.GoogleProvider{{Audience: pool, AWS: s.judge}, {Audience: pods, Issuer: cluster, Keys: keys}},
		Accounts:  []clouds.GoogleAccount{{Email: mail, Members: []string{pool, pods}}},
	})
	s.Azure = clouds.NewAzure(clouds.AzureConfig{Now: time.Now, Tenant: tenant, Identities: []string{identity}, Life: life})
	s.AWSURL, s.GoogleURL, s.AzureURL = open(t, s.AWS), open(t, s.Google), open(t, s.Azure)
	return s
}

// judge is what Google does with signed evidence of the pool: it asks AWS.
func (s *sky) judge(r *http.Request) error {
	if r.URL.Path == "" {
		r.URL.Path = "/" // as a server would see it
	}
	err := s.AWS.Signed(r)
	if err == nil {
		_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(scope, "/")
		s.mu.Lock()
		s.signed[key] = true
		s.mu.Unlock()
	}
	return err
}

// signers counts the different keys that Google was shown live signatures of.
func (s *sky) signers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.signed)
}

func open(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func signerOf(t *testing.T, id string, alg token.Algorithm, key crypto.Signer) token.Signer {
	t.Helper()
	s, err := token.NewSigner(id, alg, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// podToken makes the JWT of a pod, named id, that lives for life.
func (s *sky) podToken(id, audience string, life time.Duration) string {
	s.t.Helper()
	now := time.Now()
	raw, err := s.cluster.Sign("JWT", []byte(encode(s.t, jwt.Claims{
		ID: id, Issuer: cluster, Subject: "system:serviceaccount:shop:orders", Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	})))
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// refused counts the calls of a kind that AWS did not take, of all that were made.
func (s *sky) calls(name string) (all, refused int) {
	for _, c := range s.AWS.Log() {
		if c.Name == name {
			all++
			if c.Status != http.StatusOK {
				refused++
			}
		}
	}
	return all, refused
}

// callers counts the different keys that AWS saw live signatures of.
func (s *sky) callers() int {
	seen := map[string]bool{}
	for _, c := range s.AWS.Log() {
		if c.Name == clouds.GetCallerIdentity && c.Status == http.StatusOK {
			seen[c.Credential] = true
		}
	}
	return len(seen)
}

// presented lists what was presented for a call, in order.
func (s *sky) presented(name string) (ids []string) {
	for _, c := range s.AWS.Log() {
		if c.Name == name {
			ids = append(ids, c.Credential)
		}
	}
	return ids
}
