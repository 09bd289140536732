package aws

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
	"github.com/longcase/longcase/token"
)

const (
	stsEndpoint = "https://sts.amazonaws.com" // the one that needs no region
	stsRegion   = "us-east-1"                 // which that one signs for

	minDuration, maxDuration = 15 * time.Minute, 12 * time.Hour
)

// STS is the Security Token Service.
type STS struct {
	Endpoint string       // default that of the region, or without a region https://sts.amazonaws.com
	Region   string       // that requests are signed for; default us-east-1
	HTTP     *http.Client // default ask.Default
}

// RoleConfig is a role to take.
type RoleConfig struct {
	STS
	RoleARN     string
	SessionName string        // default "longcase"
	ExternalID  string        // AssumeRole only
	Duration    time.Duration // 15 min to 12 h, whole seconds; default what the service gives: 1 h
}

var (
	roleARN     = regexp.MustCompile(`^arn:[\w-]+:iam::\d{12}:role/[\x21-\x7e]{1,512}$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
	region      = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
)

// Check names every field that cannot work.
func (c RoleConfig) Check() error {
	var wrong []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fresh.Fail(fresh.Misconfigured, format, args...))
		}
	}
	want(roleARN.MatchString(c.RoleARN), "%.200q is not the ARN of a role (arn:aws:iam::123456789012:role/name)", c.RoleARN)
	want(c.SessionName == "" || sessionName.MatchString(c.SessionName), "%.80q is not the name of a session", c.SessionName)
	want(c.ExternalID == "" || externalID.MatchString(c.ExternalID) && len(c.ExternalID) <= 1224, "this is not an external id")
	want(c.Region == "" || region.MatchString(c.Region), "%.80q is not a region", c.Region)
	want(c.Duration == 0 || c.Duration >= minDuration && c.Duration <= maxDuration && c.Duration%time.Second == 0,
		"the duration of a role session is 15 min to 12 h, not %v", c.Duration)
	if c.Endpoint != "" {
		wrong = append(wrong, ask.CheckURL(c.Endpoint))
	}
	return errors.Join(wrong...)
}

// client speaks with the service as configured. It repeats nothing.
func (s STS) client() *sts.Client {
	if s.Region == "" {
		s.Region = stsRegion
		if s.Endpoint == "" {
			s.Endpoint = stsEndpoint
		}
	}
	o := sts.Options{Region: s.Region, HTTPClient: whole{unled(s.HTTP, ask.Default)}, Retryer: sdk.NopRetryer{}}
	if s.Endpoint != "" {
		o.BaseEndpoint = &s.Endpoint
	}
	return sts.New(o)
}

// AssumeRole takes a role with keys. Keys that the service does not take, or
// takes no more, are blamed.
func AssumeRole(cfg RoleConfig) fresh.Fetch[Keys, Keys] {
	wrong, client := cfg.Check(), cfg.client()
	return func(ctx context.Context, from fresh.Lease[Keys], now time.Time) (fresh.Credential[Keys], error) {
		if wrong != nil {
			return fresh.Credential[Keys]{}, misconfigured(wrong)
		}
		in := &sts.AssumeRoleInput{RoleArn: &cfg.RoleARN, RoleSessionName: cfg.session(), DurationSeconds: cfg.seconds()}
		if cfg.ExternalID != "" {
			in.ExternalId = &cfg.ExternalID
		}
		keys := from.Value.sdk()
		out, err := client.AssumeRole(ctx, in, func(o *sts.Options) {
			o.Credentials = sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) { return keys, nil })
		})
		if err != nil {
			said := read(err)
			err = said.failure(ctx, now, keys.SecretAccessKey, keys.SessionToken)
			if said.blamesKeys(now) {
				err = fresh.Blame(from, err)
			}
			return fresh.Credential[Keys]{}, err
		}
		return taken(out.Credentials, out.ResultMetadata)
	}
}

// WebIdentity takes a role with a JWT of an issuer that the account trusts. A
// JWT that has ended, by the service's word, is blamed; so is one that has ended
// by its own "exp", where its layer knows no end. Where it does, that end may be
// corrected by the issuer's clock, which "exp" is not.
func WebIdentity(cfg RoleConfig) fresh.Fetch[fresh.Token, Keys] {
	wrong, client := cfg.Check(), cfg.client()
	return func(ctx context.Context, from fresh.Lease[fresh.Token], now time.Time) (fresh.Credential[Keys], error) {
		if wrong != nil {
			return fresh.Credential[Keys]{}, misconfigured(wrong)
		}
		if end := endOf(from.Value.Value); from.Expires.IsZero() && !end.IsZero() && !now.Before(end) {
			return fresh.Credential[Keys]{}, fresh.Blame(from,
				fresh.Fail(fresh.Ended, "the JWT ended at %s: nothing was sent", end.Format(time.RFC3339)))
		}
		out, err := client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &cfg.RoleARN, RoleSessionName: cfg.session(), DurationSeconds: cfg.seconds(), WebIdentityToken: &from.Value.Value,
		})
		if err != nil {
			said := read(err)
			err = said.failure(ctx, now, from.Value.Value)
			if said.blames("ExpiredTokenException", "ExpiredToken") || said.blames("InvalidIdentityToken") && said.says("expired") {
				err = fresh.Blame(from, err)
			}
			return fresh.Credential[Keys]{}, err
		}
		return taken(out.Credentials, out.ResultMetadata)
	}
}

func (c RoleConfig) session() *string {
	if c.SessionName == "" {
		c.SessionName = "longcase"
	}
	return &c.SessionName
}

func (c RoleConfig) seconds() *int32 {
	if c.Duration == 0 {
		return nil
	}
	return sdk.Int32(int32(c.Duration / time.Second))
}

// endOf is the "exp" of a JWT, unverified; the zero time if it says none.
func endOf(jwt string) time.Time {
	j, err := token.Parse(jwt)
	if err != nil {
		return time.Time{}
	}
	c, err := j.Claims()
	if err != nil {
		return time.Time{}
	}
	return c.Expires
}

// taken is what the service gave.
func taken(c *types.Credentials, answer middleware.Metadata) (fresh.Credential[Keys], error) {
	if c == nil || c.Expiration == nil {
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Malformed, "%s gave no keys, or keys without an Expiration", service)
	}
	k := Keys{sdk.ToString(c.AccessKeyId), sdk.ToString(c.SecretAccessKey), sdk.ToString(c.SessionToken)}
	if k.SessionToken == "" {
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Malformed, "%s gave keys without a SessionToken", service)
	}
	if err := cmp.Or(k.check(service), checkEnd(service, *c.Expiration)); err != nil {
		return fresh.Credential[Keys]{}, err
	}
	date, _ := awsmiddleware.GetServerTime(answer)
	return fresh.Credential[Keys]{Value: k, Expires: c.Expiration.UTC(), Date: date}, nil
}

// whole is an HTTP client whose answers are bounded and have come whole when Do
// returns. The SDK then closes the request's body. Where net/http has yet to see
// the end of that, it takes the request for a failed one and closes the
// connection, together with what is still to come of the answer.
type whole struct{ client *http.Client }

func (w whole) Do(req *http.Request) (*http.Response, error) {
	a, err := ask.Do(w.client, req, service)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(a.Status) + " " + http.StatusText(a.Status), StatusCode: a.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: int64(len(a.Body)), Request: req,
	}, nil
}

// said is a failure of the service, read.
type said struct {
	err           error
	code, message string
	answer        ask.Answer // Status 0: there was none
}

func (s said) says(word string) bool { return strings.Contains(strings.ToLower(s.message), word) }
