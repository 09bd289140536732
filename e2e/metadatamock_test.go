package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/longcase/longcase/internal/clouds"
)

// mock is amazon-ec2-metadata-mock, AWS's own double of IMDS, which demands
// IMDSv2 sessions and ends them at their TTL. The keys in it never change, so it
// is started again for others, and forgets every session: what a restart of the
// real service does.
type mock struct {
	t       *testing.T
	path    string
	address string
	cmd     *exec.Cmd
}

func newMock(t *testing.T) *mock {
	t.Helper()
	m := &mock{t: t, path: filepath.Join(t.TempDir(), "metadata-mock"), address: freeAddress(t)}
	build := exec.Command("go", "build", "-o", m.path, "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(m.stop)
	return m
}

// start lets the mock say that the role has these keys.
func (m *mock) start(keys map[string]string) {
	m.t.Helper()
	m.stop()
	dir := m.t.TempDir()
	config := writeFile(m.t, dir, "mock.json", encode(m.t, map[string]any{
		"metadata": map[string]any{"values": map[string]any{"iam-security-credentials": keys}},
	}))
	host, port, _ := strings.Cut(m.address, ":")
	m.cmd = exec.Command(m.path, "--imdsv2", "--hostname", host, "--port", port, "--config-file", config)
	m.cmd.Env = []string{"HOME=" + dir}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, patience, "the mock answers", func() bool { return status("http://"+m.address+"/latest/meta-data/") != 0 })
}

func (m *mock) stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
}

// roleKeys are keys that AWS takes, as IMDS words them.
func (s *sky) roleKeys() map[string]string {
	s.t.Helper()
	role, session, jwt := orders, "pod", s.podToken("jwt", "sts.amazonaws.com", time.Hour)
	out, err := anonymous(s.AWSURL).AssumeRoleWithWebIdentity(context.Background(),
		&sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: &session, WebIdentityToken: &jwt})
	if err != nil {
		s.t.Fatal(err)
	}
	return map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": time.Now().UTC().Format(time.RFC3339),
		"AccessKeyId": *out.Credentials.AccessKeyId, "SecretAccessKey": *out.Credentials.SecretAccessKey,
		"Token": *out.Credentials.SessionToken, "Expiration": out.Credentials.Expiration.Format(time.RFC3339),
	}
}

func TestMetadataMockAsUpstream(t *testing.T) {
	t.Parallel()
	s := newSky(t, clouds.AWSConfig{AssumeLife: short}, time.Hour)
	m := newMock(t)
	m.start(s.roleKeys())
	a := newAgent(t, s, strings.ReplaceAll(strings.ReplaceAll(instanceRole, "AWS", "http://"+m.address), "aws-imds-token,", "aws-imds-token, ttl: 1s,"),
		`- {credential: role, as: imds, region: `+region+`}`)
	p := converse(t, task{STS: s.AWSURL, Region: region}, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + a.URL}, goClient("aws")...)
	for range 4 {
		next := time.Now().Add(short / 2)
		p.keepCalling(orderly, pace, func() bool { return time.Now().After(next) })
		m.start(s.roleKeys())
	}
	p.keepCalling(orderly, pace, func() bool { return s.callers() == 5 })
}
