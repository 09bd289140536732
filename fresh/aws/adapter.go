package aws

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/longcase/longcase/fresh"
)

// told is the longest that a cache of the SDK may go on with what it was given.
const told = time.Second

// Provider hands the layer's keys to the SDK. The end it tells is at most a
// second away: aws.CredentialsCache, which config.LoadDefaultConfig puts round
// every provider, would else sign with revoked keys, and never renew ahead.
func Provider(layer *fresh.Layer[Keys]) sdk.CredentialsProvider {
	return sdk.CredentialsProviderFunc(func(ctx context.Context) (sdk.Credentials, error) {
		lease, err := layer.Get(ctx)
		if err != nil {
			return sdk.Credentials{}, err
		}
		c := lease.Value.sdk()
		c.CanExpire, c.Expires = true, time.Now().Add(told)
		if !lease.Expires.IsZero() && lease.Expires.Before(c.Expires) {
			c.Expires = lease.Expires
		}
		return c, nil
	})
}

// Retryer returns base with one thing more: when a service says that the keys
// are no good, the lease that signed the request is invalidated and the request
// is sent again with another, at no cost to base's budget. The client's
// credentials must come from the same layer's Provider.
//
// Such a request is repeated at once, and once more a second later, for a cache
// of the SDK in between. A refusal without a code, as S3 answers a HEAD, is left
// to base.
func Retryer(layer *fresh.Layer[Keys], base sdk.Retryer) sdk.RetryerV2 {
	return &retryer{Retryer: base, layer: layer}
}

const healingAttempts = 3 // the first, one with other keys, and one after a cache forgot

type retryer struct {
	sdk.Retryer
	layer *fresh.Layer[Keys]
}

// MaxAttempts implements sdk.Retryer.
func (r *retryer) MaxAttempts() int {
	if n := r.Retryer.MaxAttempts(); n == 0 || n > healingAttempts {
		return n
	}
	return healingAttempts
}

// IsErrorRetryable implements sdk.Retryer. Beyond base's attempts, only other
// keys are a reason to go on.
func (r *retryer) IsErrorRetryable(err error) bool {
	if req := refused(err); req != nil {
		return r.renew(keyID(req)) && attempt(req) < healingAttempts
	}
	return r.Retryer.IsErrorRetryable(err) && !r.spent(max(1, attempt(request(err))))
}

// spent reports whether base makes no more attempts after the n-th.
func (r *retryer) spent(n int) bool {
	most := r.Retryer.MaxAttempts()
	return most > 0 && n >= most
}

// renew invalidates the lease in hand, if it is the one that signed. It reports
// whether another can be had.
func (r *retryer) renew(keyID string) bool {
	now, cancel := context.WithCancel(context.Background())
	cancel() // the lease in hand, without waiting for another
	lease, err := r.layer.Get(now)
	if err != nil || lease.Value.AccessKeyID != keyID {
		return true
	}
	return r.layer.Invalidate(lease)
}

// RetryDelay implements sdk.Retryer. Where nothing answered, only it is told
// which attempt that was.
func (r *retryer) RetryDelay(n int, err error) (time.Duration, error) {
	req := refused(err)
	switch {
	case request(err) == nil && r.spent(n):
		return 0, err
	case req == nil:
		return r.Retryer.RetryDelay(n, err)
	case attempt(req) > 1:
		return told, nil
	}
	return 0, nil
}

// GetRetryToken implements sdk.Retryer.
func (r *retryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if refused(err) != nil {
		return func(error) error { return nil }, nil
	}
	return r.Retryer.GetRetryToken(ctx, err)
}

// GetAttemptToken implements sdk.RetryerV2.
func (r *retryer) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	if v2, ok := r.Retryer.(sdk.RetryerV2); ok {
		return v2.GetAttemptToken(ctx)
	}
	return r.GetInitialToken(), nil
}

// refused is the request whose keys a service did not take; nil for every other
// error.
func refused(err error) *http.Request {
	if read(err).blamesKeys(time.Now()) {
		return request(err)
	}
	return nil
}

// request is the one that failed, as it was sent; nil if nothing answered.
func request(err error) *http.Request {
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.Response != nil {
		return answered.Response.Request
	}
	return nil
}

// keyID is the access key that signed req.
func keyID(req *http.Request) string {
	_, scope, _ := strings.Cut(req.Header.Get("Authorization"), "Credential=")
	id, _, _ := strings.Cut(scope, "/")
	return id
}

// attempt counts a request's attempts from 1, as the SDK writes them on it; 0 if
// it did not.
func attempt(req *http.Request) int {
	if req == nil {
		return 0
	}
	said, _, _ := strings.Cut(req.Header.Get("Amz-Sdk-Request"), ";")
	n, _ := strconv.Atoi(strings.TrimPrefix(said, "attempt="))
	return n
}
