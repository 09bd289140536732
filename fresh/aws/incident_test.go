package aws_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
)

// race makes a world in which the file of a JWT is replaced while the JWT in it
// is on its way to a service that takes it no more (aws-sdk-go-v2#2962).
func race(t *testing.T) (w *world, path string) {
	w = newWorld(t, clouds.AWSConfig{})
	path = file(t, w.jwt(t, "jwt-1", time.Minute))
	w.ahead.Store(int64(5 * time.Minute)) // by its clock jwt-1 has ended
	second := w.jwt(t, "jwt-2", time.Hour)
	replace := sync.OnceFunc(func() { write(t, path, second) })
	before := func(*http.Request) { replace() }
	w.before.Store(&before)
	return w, path
}

func TestIncident1(t *testing.T) {
	sdkFails := func(retryer sdk.Retryer, want []string) func(*testing.T) {
		return func(t *testing.T) {
			w, path := race(t)
			client := sts.New(sts.Options{Region: w.role.Region, BaseEndpoint: &w.role.Endpoint, HTTPClient: w.role.HTTP, Retryer: retryer})
			provider := stscreds.NewWebIdentityRoleProvider(client, roleARN, stscreds.IdentityTokenFile(path))
			if _, err := provider.Retrieve(t.Context()); err == nil {
				t.Error("the incident did not happen")
			}
			if got := w.presented(clouds.WebIdentity); !slices.Equal(got, want) {
				t.Errorf("presented %v, want %v", got, want)
			}
		}
	}
	quick := retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
	t.Run("the SDK fails", sdkFails(quick, []string{"jwt-1"}))
	t.Run("the published workaround sends the dead JWT three times",
		sdkFails(retry.AddWithErrorCodes(quick, "ExpiredTokenException"), []string{"jwt-1", "jwt-1", "jwt-1"}))
	t.Run("every call succeeds here", func(t *testing.T) {
		w, path := race(t)
		layer := fresh.From(w.jwtFile(path), aws.WebIdentity(w.role), w.policy("role"))
		everyone(t, 50, func(ctx context.Context) error {
			_, err := layer.Get(ctx)
			return err
		})
		if got := w.presented(clouds.WebIdentity); !slices.Equal(got, []string{"jwt-1", "jwt-2"}) {
			t.Errorf("presented %v, want exactly jwt-1 and jwt-2", got)
		}
	})
}

// everyone calls do as often at once as n says; none may see an error.
func everyone(t *testing.T, n int, do func(context.Context) error) {
	t.Helper()
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() {
			if err := do(t.Context()); err != nil {
				t.Errorf("a caller sees: %v", err)
			}
		})
	}
	callers.Wait()
}

func TestJWTThatEndedIsNotSent(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	path := file(t, w.jwt(t, "jwt-1", -time.Second))
	pod := w.jwtFile(path)
	if _, err := pod.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, path, w.jwt(t, "jwt-2", time.Hour))
	if _, err := fresh.From(pod, aws.WebIdentity(w.role), w.policy("role")).Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.presented(clouds.WebIdentity); !slices.Equal(got, []string{"jwt-2"}) {
		t.Errorf("presented %v, want jwt-2 only", got)
	}
}

// The clock of this host is two hours ahead of the issuer's and of AWS's, as the
// issuer's Date tells: the JWT lives, although its exp is past here.
func TestJWTThatEndedByAWrongClockIsSent(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	w.ahead.Store(int64(-2 * time.Hour))
	jwt := w.jwt(t, "jwt-1", -time.Hour)
	pod := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: jwt}, Expires: time.Now().Add(-time.Hour), Date: w.now()}, nil
	}, w.policy("pod"))
	got, err := fresh.From(pod, aws.WebIdentity(w.role), w.policy("role")).Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(got.Expires); life > time.Hour || life < 50*time.Minute {
		t.Errorf("the keys live %v by this host's clock", life)
	}
	if n := w.events.count("pod", fresh.RefusedLease); n != 0 {
		t.Errorf("the JWT was blamed %d times", n)
	}
}

// The chain of an instance: session, role, and a role of another account, as one
// would exchange for a token of another cloud.
func TestChainHealsWhenAllOfItIsRevoked(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	session := fresh.New(aws.SessionToken(w.imds), w.policy("session"))
	role := fresh.From(session, aws.InstanceRole(w.imds), w.policy("role"))
	top := fresh.From(role, aws.AssumeRole(w.role), w.policy("top"))
	old, err := top.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := role.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	puts, taken := w.Count(clouds.PutToken), w.Count(clouds.AssumeRole)
	w.RevokeSessions()
	w.Revoke(keys.Value.AccessKeyID)
	everyone(t, 500, func(ctx context.Context) error {
		top.Invalidate(old) // its service said 401
		lease, err := top.Get(ctx)
		if err == nil && lease.Value == old.Value {
			t.Error("a caller gets the lease that it said was refused")
		}
		return err
	})
	for what, n := range map[string][2]int{
		"PUTs of a session token":           {w.Count(clouds.PutToken) - puts, 1},
		"calls of AssumeRole, one refused":  {w.Count(clouds.AssumeRole) - taken, 2},
		"leases refused of the session":     {w.events.count("session", fresh.RefusedLease), 1},
		"leases refused of the role":        {w.events.count("role", fresh.RefusedLease), 1},
		"leases refused of the top":         {w.events.count("top", fresh.RefusedLease), 1},
		"renewals that failed of any layer": {w.events.count("session", fresh.Failed) + w.events.count("role", fresh.Failed) + w.events.count("top", fresh.Failed), 0},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: %d, want %d", what, n[0], n[1])
		}
	}
}
