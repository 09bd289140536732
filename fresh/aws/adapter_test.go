package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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

// dead is a connection that every request is lost on.
type dead struct{ sent int }

func (d *dead) Do(*http.Request) (*http.Response, error) {
	d.sent++
	return nil, errors.New("connection reset by peer")
}

func TestRetryerSendsNoMoreThanBaseWhereNothingAnswers(t *testing.T) {
	w := newWorld(t, clouds.AWSConfig{})
	layer := fresh.From(w.user(), aws.AssumeRole(w.role), w.policy("role"))
	for _, most := range []int{1, 2, 3, 5} {
		base := retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = most
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
		wire := &dead{}
		client := sts.New(sts.Options{Region: "eu-west-1", HTTPClient: wire, Credentials: aws.Provider(layer), Retryer: aws.Retryer(layer, base)})
		if _, err := client.GetCallerIdentity(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "connection reset") || wire.sent != most {
			t.Errorf("sent %d times where base sends %d: %v", wire.sent, most, err)
		}
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

// What signed with the lease before is no reason to end the one in hand.
func TestRetryerInvalidatesExactlyTheLeaseThatSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		layer := fresh.New(counting(func() aws.Keys {
			n++
			return aws.Keys{AccessKeyID: fmt.Sprint("ASIA", n), SecretAccessKey: "s"}
		}), fresh.Policy{})
		retryer := aws.Retryer(layer, retry.NewStandard())
		first := lease(t, layer)
		layer.Invalidate(first)
		second := lease(t, layer)
		for _, tt := range []struct {
			signer string
			want   fresh.Lease[aws.Keys] // in hand afterwards
		}{{first.Value.AccessKeyID, second}, {"AKIASOMEBODYELSE", second}} {
			if !retryer.IsErrorRetryable(refusal(tt.signer, 1)) {
				t.Errorf("%s: not repeated with the keys in hand", tt.signer)
			}
			if got := lease(t, layer); got != tt.want {
				t.Errorf("%s: the lease in hand is %d now", tt.signer, got.Generation)
			}
		}
		time.Sleep(time.Minute) // renewals that refusals cause are spaced
		if !retryer.IsErrorRetryable(refusal(second.Value.AccessKeyID, 1)) || lease(t, layer) == second {
			t.Error("the lease that signed is still in hand")
		}
		if retryer.IsErrorRetryable(refusal(second.Value.AccessKeyID, 3)) {
			t.Error("a third repetition")
		}
		if unknown := (&smithy.GenericAPIError{Code: "ExpiredToken"}); retryer.IsErrorRetryable(unknown) {
			t.Error("repeated, although nothing says who signed")
		}
	})
}

// refusal is how the SDK tells that a service did not take a request's keys.
func refusal(id string, attempt int) error {
	req := &http.Request{Header: http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=" + id + "/20260101/eu-west-1/sts/aws4_request, SignedHeaders=host, Signature=0"},
		"Amz-Sdk-Request": {fmt.Sprintf("attempt=%d; max=3", attempt)}}}
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{Request: req, StatusCode: http.StatusForbidden}},
		Err: &smithy.GenericAPIError{Code: "ExpiredToken"}}
}
