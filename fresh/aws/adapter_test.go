package aws_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
)

// callerIdentity is a client of the SDK whose credentials are the layer's.
func (w *world) callerIdentity(credentials sdk.CredentialsProvider, retryer sdk.Retryer) func(context.Context) error {
	client := sts.New(sts.Options{Region: w.role.Region, BaseEndpoint: &w.role.Endpoint, HTTPClient: w.role.HTTP,
		Credentials: credentials, Retryer: retryer})
	return func(ctx context.Context) error {
		_, err := client.GetCallerIdentity(ctx, nil)
		return err
	}
}

func TestKeysRevokedEarly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		callers int
		cached  bool
		base    sdk.Retryer
		most    int // calls of GetCallerIdentity
	}{
		{"one caller", 1, false, retry.NewStandard(), 2},
		{"one caller, base repeats nothing", 1, false, sdk.NopRetryer{}, 2},
		{"500 callers at once cost base's budget nothing", 500, false, retry.NewStandard(), 1000},
		{"one caller behind the SDK's cache", 1, true, retry.NewStandard(), 3},
		{"200 callers behind the SDK's cache", 200, true, retry.NewStandard(), 600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, clouds.AWSConfig{})
			layer := fresh.From(w.user(), aws.AssumeRole(w.role), w.policy("role"))
			credentials := aws.Provider(layer)
			if tt.cached {
				credentials = sdk.NewCredentialsCache(credentials)
			}
			call := w.callerIdentity(credentials, aws.Retryer(layer, tt.base))
			everyone(t, 1, call)
			lease, err := layer.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.Revoke(lease.Value.AccessKeyID)
			everyone(t, tt.callers, call)
			if n := w.Count(clouds.AssumeRole) - 1; n != 1 {
				t.Errorf("%d re-mints, want 1", n)
			}
			if n := w.Count(clouds.GetCallerIdentity) - 1; n > tt.most {
				t.Errorf("%d calls, want at most %d", n, tt.most)
			}
		})
	}
}

func TestWithoutTheRetryerTheCallerSeesIt(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	layer := fresh.From(w.user(), aws.AssumeRole(w.role), w.policy("role"))
	lease, err := layer.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Revoke(lease.Value.AccessKeyID)
	err = w.callerIdentity(aws.Provider(layer), retry.NewStandard())(t.Context())
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "ExpiredToken" {
		t.Errorf("the error is %v: the test above proves nothing", err)
	}
}

func TestKeysRefusedForGoodAreNotRenewedForEver(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	layer := fresh.From(w.user(), aws.AssumeRole(w.role), w.policy("role"))
	call := w.callerIdentity(aws.Provider(layer), aws.Retryer(layer, retry.NewStandard()))
	w.Fail(clouds.Failure{Call: clouds.GetCallerIdentity, Times: 1000, Status: http.StatusForbidden, Code: "InvalidClientTokenId"})
	for range 5 {
		var api smithy.APIError
		if err := call(t.Context()); !errors.As(err, &api) || api.ErrorCode() != "InvalidClientTokenId" {
			t.Fatalf("the caller sees %v, not the service's refusal", err)
		}
	}
	if n := w.Count(clouds.AssumeRole); n > 4 {
		t.Errorf("%d keys for 5 calls that no keys can help", n)
	}
}

func TestRetryerLeavesTheRestToBase(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	layer := fresh.From(w.user(), aws.AssumeRole(w.role), w.policy("role"))
	base := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 2
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
	call := w.callerIdentity(aws.Provider(layer), aws.Retryer(layer, base))
	w.Fail(clouds.Failure{Call: clouds.GetCallerIdentity, Times: 1, Status: http.StatusInternalServerError, Code: "InternalFailure"})
	everyone(t, 1, call)
	w.Fail(clouds.Failure{Call: clouds.GetCallerIdentity, Times: 2, Status: http.StatusInternalServerError, Code: "InternalFailure"})
	if err := call(t.Context()); err == nil {
		t.Error("base's second attempt was not its last")
	}
	if n := w.Count(clouds.GetCallerIdentity); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
	if n := w.Count(clouds.AssumeRole); n != 1 {
		t.Errorf("%d keys: a failure that is not the keys' renewed them", n)
	}
}

func TestProviderNeverTellsAnEndBeyondTheLease(t *testing.T) {
	for _, life := range []time.Duration{500 * time.Millisecond, time.Hour} {
		layer := fresh.New(func(context.Context, time.Time) (fresh.Credential[aws.Keys], error) {
			return fresh.Credential[aws.Keys]{Value: aws.Keys{AccessKeyID: "AKIA", SecretAccessKey: "s"}, Life: life}, nil
		}, fresh.Policy{})
		c, err := aws.Provider(layer).Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lease, err := layer.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !c.CanExpire || c.Expires.After(lease.Expires) || c.Expires.After(time.Now().Add(2*time.Second)) {
			t.Errorf("a lease until %v is told to end at %v", lease.Expires, c.Expires)
		}
	}
}
