package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/longcase/longcase/internal/clouds"
)

// What lives, lives for six seconds here, and each client is kept calling for
// the time of three such lives: nobody holds on to a credential.
const (
	short = 6 * time.Second
	whole = 3 * short
	pace  = 300 * time.Millisecond
)

// everything is an agent with a chain per cloud, published in every form.
const (
	everyCredential = instanceRole + `
google: {kind: google-sts, from: role, audience: "` + pool + `", endpoint: GOOGLE, region: ` + region + `, refresh: {ahead: 50%}}
mail: {kind: google-impersonate, from: google, service_account: ` + mail + `, endpoint: GOOGLE, lifetime: 6s, refresh: {ahead: 50%}}
vault: {kind: azure-imds, resource: "` + vault + `", endpoint: AZURE, refresh: {ahead: 50%}}
pod: {kind: jwt-file, path: DIR/pod.jwt}
`
	everyPublication = `
- {credential: role, as: imds, region: ` + region + `}
- {credential: role, as: aws-container, token_file: DIR/container.token}
- {credential: mail, as: gce-metadata, account: ` + mail + `, project: project}
- {credential: vault, as: azure-imds, resource: "` + vault + `"}
- {credential: vault, as: azure-app-service, resource: "` + vault + `", token_file: DIR/identity.token}
`
)

// cured is one unmodified client and where it looks for a credential.
type cured struct {
	name    string
	program []string
	task    task
	env     []string
	who     string
}

// In program and env AGENT, HOST, DIR and SECRET stand for the agent's places.

func script(runner []string, file string) []string {
	return append(runner[:len(runner):len(runner)], file)
}

// goClient is one of goClients.
func goClient(name string) []string { return []string{"env", clientSwitch + "=" + name, os.Args[0]} }

// Where each cloud's clients look.
var (
	byIMDS       = []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=AGENT"}
	byContainer  = []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=AGENT/container/role", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=DIR/container.token"}
	byProcess    = []string{"AWS_CONFIG_FILE=DIR/aws.config"}
	byGCE        = []string{"GCE_METADATA_HOST=HOST", "GCE_METADATA_IP=HOST", "GCE_METADATA_ROOT=HOST"}
	byExecutable = []string{"GOOGLE_APPLICATION_CREDENTIALS=DIR/executable.json", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"}
	byExternal   = []string{"GOOGLE_APPLICATION_CREDENTIALS=DIR/external.json"}
	byAzureIMDS  = []string{"AZURE_POD_IDENTITY_AUTHORITY_HOST=AGENT"}
	byAppService = []string{"IDENTITY_ENDPOINT=AGENT/msi/token", "IDENTITY_HEADER=SECRET"}
)

// asMail is what Google's API says to a token of the service account.
const (
	asMail     = `{"as":"` + mail + `"}` + "\n"
	asPods     = `{"as":"` + pods + `"}` + "\n"
	asIdentity = `{"client":"` + identity + `"}` + "\n"
)

func (s *sky) clients(t *testing.T) []cured {
	toAWS := task{STS: s.AWSURL, Region: region}
	toGoogle := task{Scopes: []string{cloudAll}, API: s.GoogleURL + "/api/orders", Library: "google-auth-library"}
	withID := task{Audience: audience, API: verifier(t, s.GoogleURL), Library: "google-auth-library"}
	toAzure := task{Scopes: []string{vault + "/.default"}, API: s.AzureURL + "/api/orders?resource=" + vault}
	py := func(file string) []string { return script(python, "clients/python/"+file) }
	js := func(file string) []string { return script(node, "clients/node/"+file) }
	within := func(name string, program []string) []string {
		return append([]string{binary, "exec", name, "-c", "DIR/longcase.yaml", "--"}, program...)
	}
	return []cured{
		{"boto3 by container", py("aws_client.py"), toAWS, byContainer, instance},
		{"boto3 by credential_process", py("aws_client.py"), toAWS, byProcess, instance},
		{"boto3 by imds", py("aws_client.py"), toAWS, byIMDS, instance},
		{"aws-sdk-js by imds", js("aws.mjs"), toAWS, byIMDS, instance},
		{"aws-sdk-js by container", js("aws.mjs"), toAWS, byContainer, instance},
		{"aws-sdk-go by imds", goClient("aws"), toAWS, byIMDS, instance},
		{"aws-sdk-go by container", goClient("aws"), toAWS, byContainer, instance},
		{"google-auth of PyPI by gce-metadata", py("google_client.py"), toGoogle, byGCE, asMail},
		{"google-auth of PyPI, ID tokens by gce-metadata", py("google_client.py"), withID, byGCE, mail},
		{"google-auth of PyPI by executable", py("google_client.py"), toGoogle, byExecutable, asPods},
		{"google-auth-library by gce-metadata", js("google.mjs"), toGoogle, byGCE, asMail},
		{"google-auth-library, ID tokens by gce-metadata", js("google.mjs"), withID, byGCE, mail},
		{"google-auth-library by imds", js("google.mjs"), toGoogle, byExternal, asPool},
		{"cloud.google.com/go/auth by gce-metadata", goClient("google"), toGoogle, byGCE, asMail},
		{"azidentity by azure-imds", goClient("azure"), toAzure, byAzureIMDS, asIdentity},
		{"azidentity by azure-app-service", goClient("azure"), toAzure, byAppService, asIdentity},
		{"azure-identity of PyPI by azure-imds", py("azure_client.py"), toAzure, byAzureIMDS, asIdentity},
		{"azure-identity of PyPI by azure-app-service", py("azure_client.py"), toAzure, byAppService, asIdentity},
		{"boto3 in longcase exec", within("role", py("aws_client.py")), toAWS, nil, instance},
		{"google-auth-library in longcase exec", within("mail", js("google.mjs")), toGoogle, nil, asMail},
		{"azidentity in longcase exec", within("vault", goClient("azure")), toAzure, nil, asIdentity},
	}
}

func TestUnmodifiedClients(t *testing.T) {
	t.Parallel()
	s := newSky(t, clouds.AWSConfig{RoleLife: short}, short)
	pod := s.keepPod(t)
	a := newAgent(t, s, strings.ReplaceAll(everyCredential, "DIR/pod.jwt", pod), everyPublication)
	a.files()
	a.hideCredentials()
	for _, c := range s.clients(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := converse(t, c.task, a.places(c.env), a.places(c.program)...)
			end := time.Now().Add(whole)
			calls := p.keepCalling(c.who, pace, func() bool { return time.Now().After(end) })
			t.Logf("%d calls", calls)
		})
	}
}

// places fills the agent's places in.
func (a *agent) places(words []string) []string {
	secret, err := os.ReadFile(filepath.Join(a.dir, "identity.token"))
	if err != nil {
		a.process.t.Fatal(err)
	}
	fill := strings.NewReplacer("=AGENT", "="+a.URL, "=HOST", "="+strings.TrimPrefix(a.URL, "http://"), "DIR/", a.dir+"/",
		"=SECRET", "="+strings.TrimSpace(string(secret)))
	filled := make([]string, len(words))
	for i, w := range words {
		filled[i] = fill.Replace(w)
	}
	return filled
}

// files writes the clients' own configuration.
func (a *agent) files() {
	t := a.process.t
	writeFile(t, a.dir, "aws.config", "[default]\ncredential_process = "+binary+" credential aws role -c "+a.file+"\n")
	data, err := os.ReadFile(a.externalAccount(a.URL))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, a.dir, "external.json", string(data))
	writeFile(t, a.dir, "executable.json", encode(t, map[string]any{
		"type": "external_account", "audience": pods, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": a.GoogleURL + "/v1/token",
		"credential_source": map[string]any{"executable": map[string]any{
			"command": binary + " credential google pod -c " + a.file, "timeout_millis": 20000,
		}},
	}))
}

// hideCredentials keeps what the agent hands out just now out of its log.
func (a *agent) hideCredentials() {
	t := a.process.t
	key, err := os.ReadFile(filepath.Join(a.dir, "container.token"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, header, value string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, value)
		return send(t, r)
	}
	keys := get("/container/role", "Authorization", strings.TrimSpace(string(key)))
	google := get("/computeMetadata/v1/instance/service-accounts/default/token", "Metadata-Flavor", "Google")
	azure := get("/metadata/identity/oauth2/token?api-version=2018-02-01&resource="+vault, "Metadata", "true")
	for _, secret := range []string{keys.text("SecretAccessKey"), keys.text("Token"), google.text("access_token"), azure.text("access_token")} {
		if secret == "" {
			t.Fatalf("nothing to hide: %s %s %s", keys.body, google.body, azure.body)
		}
		a.hide(secret)
	}
}

// keepPod keeps a pod's JWT in a file as the kubelet does, until the test ends.
func (s *sky) keepPod(t *testing.T) string {
	t.Helper()
	r := &race{sky: s, file: writeFile(t, t.TempDir(), "pod.jwt", s.podToken("pod", pods, short))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(short / 3):
				r.replace(s.podToken("pod", pods, short))
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r.file
}

// verifier is a service that takes Google's ID tokens, as go-oidc verifies them.
func verifier(t *testing.T, google string) string {
	keys := oidc.NewRemoteKeySet(context.Background(), google+"/oauth2/v3/certs")
	v := oidc.NewVerifier("https://accounts.google.com", keys, &oidc.Config{ClientID: audience})
	return open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		id, err := v.Verify(r.Context(), raw)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(id.Subject))
	}))
}
