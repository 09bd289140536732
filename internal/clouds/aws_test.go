package clouds

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	testIssuer = "https://issuer.test"
	testRole   = "arn:aws:iam::123456789012:role/reader"
)

// world is an AWS on loopback whose clock is ahead of this host's.
type world struct {
	*AWS
	url    string
	ahead  atomic.Int64
	signer token.Signer
}

func newWorld(t *testing.T, cfg AWSConfig) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	if w.signer, err = token.NewSigner("k1", token.ES256, key); err != nil {
		t.Fatal(err)
	}
	cfg.Now = w.now
	cfg.Issuer, cfg.Keys = testIssuer, jwks.FromKeys(w.signer.Key())
	w.AWS = NewAWS(cfg)
	server := httptest.NewServer(w.AWS)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) now() time.Time          { return time.Now().Add(time.Duration(w.ahead.Load())) }
func (w *world) advance(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *world) jwt(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": testIssuer, "aud": "sts.amazonaws.com", "sub": "pod", "jti": "jwt-1", "exp": w.now().Add(time.Hour).Unix()}
	for name, v := range claims {
		all[name] = v
	}
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.signer.Sign("JWT", payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (w *world) client(c aws.Credentials) *sts.Client { return w.clientAt(c, 0) }

// clientAt signs with a clock that is ahead.
func (w *world) clientAt(c aws.Credentials, ahead time.Duration) *sts.Client {
	return sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: &w.url, Retryer: aws.NopRetryer{}, DisableClockSkewCorrection: true, HTTPSignerV4: shifted{v4.NewSigner(), ahead},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })})
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestSTSTakesWhatTheSDKSigns(t *testing.T) {
	w := newWorld(t, AWSConfig{})
	id, secret := w.User()
	client := w.client(aws.Credentials{AccessKeyID: id, SecretAccessKey: secret})
	taken, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(testRole), RoleSessionName: aws.String("me")})
	if err != nil {
		t.Fatal(err)
	}
	if life := taken.Credentials.Expiration.Sub(w.now()); life < 59*time.Minute || life > time.Hour {
		t.Errorf("the session lives %v", life)
	}
	client = w.client(aws.Credentials{AccessKeyID: *taken.Credentials.AccessKeyId, SecretAccessKey: *taken.Credentials.SecretAccessKey,
		SessionToken: *taken.Credentials.SessionToken})
	who, err := client.GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *who.Arn != "arn:aws:sts::123456789012:assumed-role/reader/me" || *who.Account != "123456789012" {
		t.Errorf("the caller is %s of %s", *who.Arn, *who.Account)
	}
	signed, err := sts.NewPresignClient(client).PresignGetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		method, url string
		status      int
	}{
		"presigned":                 {"GET", signed.URL, http.StatusOK},
		"presigned, another method": {"POST", signed.URL, http.StatusForbidden},
		"presigned, tampered":       {"GET", strings.Replace(signed.URL, "X-Amz-Date", "X-Amz-Meta-A=1&X-Amz-Date", 1), http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tt.status)
		}
	}
}

func TestSTSRefusesAsTheRealOne(t *testing.T) {
	w := newWorld(t, AWSConfig{})
	id, secret := w.User()
	good := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	session := func(revoke bool) aws.Credentials {
		taken, err := w.client(good).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(testRole), RoleSessionName: aws.String("me")})
		if err != nil {
			t.Fatal(err)
		}
		c := taken.Credentials
		if revoke {
			w.Revoke(*c.AccessKeyId)
		}
		return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
	}
	other, otherSecret := w.User()
	gone := aws.Credentials{AccessKeyID: other, SecretAccessKey: otherSecret}
	w.Revoke(other)
	mixed := session(false)
	mixed.SessionToken = session(false).SessionToken
	ended, live := session(true), session(false)
	for _, tt := range []struct {
		name   string
		keys   aws.Credentials
		ahead  time.Duration // the cloud's clock
		signed time.Duration // the signer's
		want   string
	}{
		{"wrong secret", aws.Credentials{AccessKeyID: id, SecretAccessKey: "no"}, 0, 0, "SignatureDoesNotMatch"},
		{"unknown key", aws.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: secret}, 0, 0, "InvalidClientTokenId"},
		{"user's key withdrawn", gone, 0, 0, "InvalidClientTokenId"},
		{"session token of another", mixed, 0, 0, "InvalidClientTokenId"},
		{"session revoked", ended, 0, 0, "ExpiredToken"},
		{"clock within the window", good, 14 * time.Minute, 0, "<nil>"},
		{"clock 16 min behind", good, 16 * time.Minute, 0, "SignatureDoesNotMatch"},
		{"clock 16 min ahead", good, -16 * time.Minute, 0, "SignatureDoesNotMatch"},
		{"session alive", live, 0, 0, "<nil>"},
		{"session ended, and the clock right", live, time.Hour, time.Hour, "ExpiredToken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.advance(tt.ahead)
			defer w.advance(-tt.ahead)
			if _, err := w.clientAt(tt.keys, tt.signed).GetCallerIdentity(t.Context(), nil); code(err) != tt.want {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
		})
	}
}

// shifted signs with a clock that is ahead.
type shifted struct {
	*v4.Signer
	by time.Duration
}

func (s shifted) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, hash, service, region, at.Add(s.by), opts...)
}

func TestSTSJudgesJWTs(t *testing.T) {
	w := newWorld(t, AWSConfig{})
	other := newWorld(t, AWSConfig{})
	w.Revoke("withdrawn")
	past := w.now().Add(-time.Second).Unix()
	for _, tt := range []struct {
		name, jwt, want string
		seconds         int32
	}{
		{"good", w.jwt(t, nil), "<nil>", 0},
		{"ended", w.jwt(t, map[string]any{"exp": past}), "ExpiredTokenException", 0},
		{"withdrawn", w.jwt(t, map[string]any{"jti": "withdrawn"}), "ExpiredTokenException", 0},
		{"another audience", w.jwt(t, map[string]any{"aud": "me"}), "InvalidIdentityToken", 0},
		{"another issuer", w.jwt(t, map[string]any{"iss": "https://other.test"}), "InvalidIdentityToken", 0},
		{"another key", other.jwt(t, nil), "InvalidIdentityToken", 0},
		{"no JWT", "abc", "InvalidIdentityToken", 0},
		{"too short", w.jwt(t, nil), "ValidationError", 899},
		{"too long", w.jwt(t, nil), "ValidationError", 43201},
		{"longest", w.jwt(t, nil), "<nil>", 43200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String(testRole), RoleSessionName: aws.String("me"), WebIdentityToken: &tt.jwt}
			if tt.seconds != 0 {
				in.DurationSeconds = &tt.seconds
			}
			if _, err := w.client(aws.Credentials{}).AssumeRoleWithWebIdentity(t.Context(), in); code(err) != tt.want {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
		})
	}
	if log := w.Log(); log[0].Credential != "jwt-1" || log[1].Code != "ExpiredTokenException" || w.Count(WebIdentity) != len(log) {
		t.Errorf("the log is %+v", log)
	}
}

func TestMetadataServiceAsTheRealOne(t *testing.T) {
	w := newWorld(t, AWSConfig{})
	do := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)
		return a
	}
	put := func(header ...string) *httptest.ResponseRecorder { return do("PUT", "/latest/api/token", header...) }
	session := put(awsTTLHeader, "60").Body.String()
	roles := func() int { return do("GET", awsRolePath+"/", awsTokenHeader, session).Code }
	for _, tt := range []struct {
		name      string
		got, want int
	}{
		{"longest TTL", put(awsTTLHeader, "21600").Code, 200},
		{"TTL too long", put(awsTTLHeader, "21601").Code, 400},
		{"TTL zero", put(awsTTLHeader, "0").Code, 400},
		{"no TTL", put().Code, 400},
		{"through a proxy", put(awsTTLHeader, "60", "X-Forwarded-For", "10.0.0.1").Code, 403},
		{"no session", do("GET", awsRolePath).Code, 401},
		{"another's session", do("GET", awsRolePath, awsTokenHeader, "x").Code, 401},
		{"session alive", roles(), 200},
		{"unknown role", do("GET", awsRolePath+"/nobody", awsTokenHeader, session).Code, 404},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	w.advance(time.Minute)
	if got := roles(); got != 401 {
		t.Errorf("a session that ended: %d", got)
	}
	session = put(awsTTLHeader, "60").Body.String()
	w.RevokeSessions()
	if got := roles(); got != 401 {
		t.Errorf("a revoked session: %d", got)
	}
}

func TestRoleKeysRotateBeforeTheirEnd(t *testing.T) {
	w := newWorld(t, AWSConfig{RoleLife: time.Hour, RoleAhead: 10 * time.Minute})
	client := imds.New(imds.Options{Endpoint: w.url, DisableDefaultMaxBackoff: true, // the SDK's own client; its sessions last 5 min
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})})
	keys := func() (d struct{ AccessKeyID, Expiration string }) {
		t.Helper()
		out, err := client.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: "iam/security-credentials/app"})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Content.Close()
		if err := json.NewDecoder(out.Content).Decode(&d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := keys()
	w.advance(49 * time.Minute)
	if keys() != first {
		t.Error("other keys 11 min before the end")
	}
	w.advance(2 * time.Minute)
	second := keys()
	if second == first {
		t.Error("the same keys 9 min before the end")
	}
	w.Stale(true)
	w.advance(2 * time.Hour)
	if keys() != second {
		t.Error("a service that cannot renew hands out other keys")
	}
	w.Stale(false)
	w.Revoke(keys().AccessKeyID)
	if keys() == second {
		t.Error("revoked keys are handed out")
	}
}

func TestFailuresAreTold(t *testing.T) {
	w := newWorld(t, AWSConfig{ContainerToken: "secret"})
	get := func(authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/container", nil)
		r.Header.Set("Authorization", authorization)
		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)
		return a
	}
	w.Fail(Failure{Call: AssumeRole, Times: 1, Status: 500})
	w.Fail(Failure{Times: 2, Status: 503, RetryAfter: 7 * time.Second, Code: "SlowDown"})
	w.Fail(Failure{Call: ContainerKeys, Times: 1, Status: 200, Body: "{"})
	for i, want := range []string{"503 7", "503 7", "200 ", "200 ", "401 "} {
		authorization := "secret"
		if i == 4 {
			authorization = "other"
		}
		a := get(authorization)
		if got := fmt.Sprint(a.Code, " ", a.Header().Get("Retry-After")); got != want || (i == 2) != (a.Body.String() == "{") {
			t.Errorf("answer %d is %q %s, want %q", i, got, a.Body, want)
		}
	}
	if n := w.Count(ContainerKeys); n != 5 {
		t.Errorf("%d calls counted", n)
	}
}
