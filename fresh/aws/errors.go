package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const service = "STS"

// What services say where new keys help (Common Errors of each API reference),
// where waiting helps, and where a clock is wrong.
var (
	expiredKeys = []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "InvalidToken",
		"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}
	throttled = []string{"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
		"RequestThrottled", "SlowDown", "PriorRequestNotComplete", "ServiceUnavailable", "InternalFailure", "InternalError",
		"IDPCommunicationError", "RequestTimeout"}
	clockCodes = []string{"RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException", "RequestExpired", "AuthFailure"}
)

// clockDiffers is how far two clocks are apart before we call one wrong.
const clockDiffers = time.Minute

// read takes an error of the SDK apart.
func read(err error) said {
	s := said{err: err}
	var api smithy.APIError
	if errors.As(err, &api) {
		s.code, s.message = spoken(api.ErrorCode()), spoken(api.ErrorMessage())
	}
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.Response != nil {
		h := answered.Response.Header
		s.answer = ask.Answer{Status: answered.HTTPStatusCode(), Header: h}
		s.answer.Date, _ = http.ParseTime(h.Get("Date"))
	}
	return s
}

// spoken is what a service said; the SDK has a word for nothing.
func spoken(word string) string {
	if word == "UnknownError" {
		return ""
	}
	return word
}

// words are what the service said, once, or what to do where it said nothing.
func (s said) words() string {
	switch {
	case s.code != "" && s.message != "" && !strings.HasPrefix(s.message, s.code):
		return s.code + ": " + s.message
	case s.code != "" || s.message != "":
		return cmp.Or(s.message, s.code)
	case s.answer.Status/100 == 3:
		return "a redirect, which is not followed: check the endpoint"
	case s.answer.Status/100 == 4 && s.answer.Status != http.StatusTooManyRequests && s.answer.Status != http.StatusRequestTimeout:
		return "not as " + service + " does: check the endpoint"
	}
	return ""
}

// cause is why nothing was answered, without the SDK's words around it.
func cause(err error) error {
	var canceled *smithy.CanceledError
	var operation *smithy.OperationError
	switch {
	case errors.As(err, &canceled):
		return canceled.Err
	case errors.As(err, &operation):
		return operation.Err
	}
	return err
}

// blames reports whether the service's code is one of these.
func (s said) blames(codes ...string) bool { return slices.Contains(codes, s.code) }

// blamesKeys reports whether other keys may help. RequestExpired is said of keys
// that ended and of clocks that disagree.
func (s said) blamesKeys(now time.Time) bool {
	return s.blames(expiredKeys...) && (s.code != "RequestExpired" || s.clock(now) == "")
}

// failure is the error of a provider. secrets were sent: STS repeats the session
// token in the canonical string of a signature that does not match.
func (s said) failure(ctx context.Context, now time.Time, secrets ...string) error {
	var own *fresh.Error
	switch {
	case errors.As(s.err, &own):
		return own
	case s.answer.Status == 0:
		return ask.Unreachable(ctx, service, cause(s.err))
	case s.answer.Status/100 == 2:
		return fresh.Fail(fresh.Malformed, "%s answered what is not the XML it should be", service)
	}
	var e *fresh.Error
	if err := s.answer.OK(service, s.words(), secrets...); !errors.As(err, &e) {
		return err
	}
	if s.blames(throttled...) || s.blames("InvalidIdentityToken") && s.says("verification key") {
		e.Reason = fresh.Unavailable
	}
	e.Detail += s.clock(now)
	return e
}

// clock names the clocks, where the service refused by time and its Date shows
// that they disagree.
func (s said) clock(now time.Time) string {
	if !s.blames(clockCodes...) || s.answer.Date.IsZero() {
		return ""
	}
	ahead := now.Sub(s.answer.Date).Round(time.Second)
	switch {
	case ahead > clockDiffers:
		return fmt.Sprintf(" (this host's clock is %v ahead of the service's: check NTP here)", ahead)
	case ahead < -clockDiffers:
		return fmt.Sprintf(" (this host's clock is %v behind the service's: check NTP here)", -ahead)
	}
	return ""
}
