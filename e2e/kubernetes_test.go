package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/longcase/longcase/internal/clouds"
)

// An ExecCredential, as client-go reads it (client.authentication.k8s.io/v1).
func TestExecCredential(t *testing.T) {
	t.Parallel()
	s := newSky(t, clouds.AWSConfig{}, short)
	pod := s.keepPod(t)
	file := writeFile(t, t.TempDir(), "longcase.yaml", "agent:\n  credentials:\n    pod: {kind: jwt-file, path: "+pod+"}\n")
	seen := map[string]bool{}
	for range 3 {
		seen[s.execCredential(t, file)] = true
		time.Sleep(short / 3)
	}
	if len(seen) < 2 {
		t.Error("the plugin prints the same token for ever")
	}
}

// execCredential runs the plugin as client-go does and takes the token as an API
// server does.
func (s *sky) execCredential(t *testing.T, file string) string {
	t.Helper()
	cmd := exec.Command(binary, "credential", "kubernetes", "pod", "-c", file)
	cmd.Env = append(os.Environ(), `KUBERNETES_EXEC_INFO={"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`)
	r := command(t, "", cmd)
	var said struct {
		APIVersion, Kind string
		Status           struct {
			ExpirationTimestamp time.Time
			Token               string
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil {
		t.Fatalf("exit %d: %v: %s", r.code, err, r.stderr)
	}
	if r.code != 0 || said.APIVersion != "client.authentication.k8s.io/v1" || said.Kind != "ExecCredential" {
		t.Fatalf("exit %d: %s %s: %s", r.code, said.APIVersion, said.Kind, r.stderr)
	}
	parsed, err := jwt.ParseSigned(said.Status.Token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(s.cluster.Key().Public(), &claims); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: cluster, AnyAudience: jwt.Audience{pods}, Time: now}, 0); err != nil {
		t.Error(err)
	}
	if end := said.Status.ExpirationTimestamp; end.After(claims.Expiry.Time()) || end.Before(now.Add(-time.Second)) {
		t.Errorf("the plugin is to be run again at %v, and the token ends at %v", end, claims.Expiry.Time())
	}
	return said.Status.Token
}
