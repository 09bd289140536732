package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/file"
	"github.com/longcase/longcase/internal/clouds"
)

// Incident 1: the JWT in the file lives when it is read, and has ended when STS
// reads it. Here the way to STS takes as long as jwt-1 has left, and meanwhile
// the kubelet puts jwt-2 into the file.
type race struct {
	*sky
	file string
	once sync.Once
}

const orders = "arn:aws:iam::123456789012:role/orders"

// orderly is who the role's sessions are.
const orderly = "arn:aws:sts::123456789012:assumed-role/orders/pod"

func newRace(t *testing.T) (r *race, endpoint string) {
	t.Helper()
	r = &race{sky: newSky(t, clouds.AWSConfig{}, time.Hour)}
	r.file = writeFile(t, t.TempDir(), "token", r.podToken("jwt-1", "sts.amazonaws.com", 2*time.Second))
	return r, open(t, http.HandlerFunc(r.late))
}

// late is STS at the end of a slow way.
func (r *race) late(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Authorization") == "" { // AssumeRoleWithWebIdentity is not signed
		r.once.Do(func() {
			r.replace(r.podToken("jwt-2", "sts.amazonaws.com", time.Hour))
			time.Sleep(2 * time.Second)
		})
	}
	r.AWS.ServeHTTP(w, req)
}

// replace does as the kubelet does: the file is never half written.
func (r *race) replace(text string) {
	next := filepath.Join(filepath.Dir(r.file), "next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		r.t.Error(err)
	}
	if err := os.Rename(next, r.file); err != nil {
		r.t.Error(err)
	}
}

// anonymous is an STS client that needs no keys.
func anonymous(endpoint string, options ...func(*sts.Options)) *sts.Client {
	return sts.New(sts.Options{Region: region, BaseEndpoint: &endpoint, Credentials: sdk.AnonymousCredentials{}}, options...)
}

// whoami calls AWS once.
func whoami(ctx context.Context, endpoint string, from sdk.CredentialsProvider) (string, error) {
	return callerOf(sdk.Config{Region: region, Credentials: sdk.NewCredentialsCache(from)}, endpoint)(ctx)
}

func TestIncident1WithoutLongcase(t *testing.T) {
	t.Parallel()
	workaround := func(o *sts.Options) {
		o.Retryer = retry.AddWithErrorCodes(retry.NewStandard(), "ExpiredTokenException")
	}
	for _, tt := range []struct {
		name    string
		options []func(*sts.Options)
		sent    []string
	}{
		{"the SDK as it is", nil, []string{"jwt-1"}},
		{"with the workaround that people publish", []func(*sts.Options){workaround}, []string{"jwt-1", "jwt-1", "jwt-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, endpoint := newRace(t)
			from := stscreds.NewWebIdentityRoleProvider(anonymous(endpoint, tt.options...), orders,
				stscreds.IdentityTokenFile(r.file), func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "pod" })
			if who, err := whoami(t.Context(), endpoint, from); err == nil || !strings.Contains(err.Error(), "ExpiredTokenException") {
				t.Errorf("the call is answered for %q: %v", who, err)
			}
			if sent := r.presented(clouds.WebIdentity); !slices.Equal(sent, tt.sent) {
				t.Errorf("sent %q, want %q", sent, tt.sent)
			}
		})
	}
}

// The cure without a change to the program: it takes its keys from the agent.
func TestIncident1BehindTheAgent(t *testing.T) {
	t.Parallel()
	r, endpoint := newRace(t)
	a := newAgent(t, r.sky, `
pod: {kind: jwt-file, path: `+r.file+`}
role: {kind: aws-web-identity, from: pod, role_arn: "`+orders+`", session_name: pod, region: `+region+`, endpoint: "`+endpoint+`"}
`, `- {credential: role, as: aws-container, token_file: DIR/container.token}`)
	p := converse(t, task{STS: r.AWSURL, Region: region}, []string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + a.URL + "/container/role",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + filepath.Join(a.dir, "container.token"),
	}, goClient("aws")...)
	for range 3 {
		if r := p.call(); r.Who != orderly {
			t.Errorf("the call is answered for %q: %s", r.Who, r.Error)
		}
	}
	if sent := r.presented(clouds.WebIdentity); !slices.Equal(sent, []string{"jwt-1", "jwt-2"}) {
		t.Errorf("sent %q, want jwt-1 and jwt-2", sent)
	}
}

func TestIncident1WithOurProvider(t *testing.T) {
	t.Parallel()
	r, endpoint := newRace(t)
	pod := fresh.New(file.JWT(file.JWTConfig{Path: r.file}), fresh.Policy{Name: "pod"})
	role := fresh.From(pod, aws.WebIdentity(aws.RoleConfig{
		STS: aws.STS{Endpoint: endpoint, Region: region}, RoleARN: orders, SessionName: "pod",
	}), fresh.Policy{Name: "role"})
	for range 3 {
		if who, err := whoami(t.Context(), endpoint, aws.Provider(role)); who != orderly {
			t.Errorf("the call is answered for %q: %v", who, err)
		}
	}
	if sent := r.presented(clouds.WebIdentity); !slices.Equal(sent, []string{"jwt-1", "jwt-2"}) {
		t.Errorf("sent %q, want jwt-1 and jwt-2", sent)
	}
	if _, refused := r.calls(clouds.GetCallerIdentity); refused != 0 {
		t.Errorf("%d calls of the program's own failed", refused)
	}
}
