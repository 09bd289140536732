package clouds

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	awsDate    = "20060102T150405Z"
	awsWindow  = 15 * time.Minute // that a signature's date may be off
	awsSigning = "AWS4-HMAC-SHA256"
)

// awsSigned is what a request says of its signature (AWS General Reference,
// "Signature Version 4").
type awsSigned struct {
	id, region    string
	headers       []string
	signature     string
	date          time.Time
	token         string
	presigned     bool
	presignedLife time.Duration
}

// awsRefusal is an error of STS.
type awsRefusal struct {
	status        int
	code, message string
}

func (e *awsRefusal) Error() string { return e.code + ": " + e.message }

func awsRefuse(status int, code, message string) *awsRefusal {
	return &awsRefusal{status, code, message}
}

var awsAuthorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 +Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$`)

func awsReadSignature(r *http.Request) (awsSigned, *awsRefusal) {
	q := r.URL.Query()
	if q.Get("X-Amz-Algorithm") == awsSigning {
		life, err := strconv.Atoi(q.Get("X-Amz-Expires"))
		if err != nil {
			life = int(awsWindow / time.Second)
		}
		s := awsSigned{token: q.Get("X-Amz-Security-Token"), signature: q.Get("X-Amz-Signature"), presigned: true,
			presignedLife: time.Duration(min(max(life, 0), 604800)) * time.Second}
		return s.read(q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Date"))
	}
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return awsSigned{}, awsRefuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	m := awsAuthorization.FindStringSubmatch(authorization)
	if m == nil {
		return awsSigned{}, awsRefuse(http.StatusForbidden, "IncompleteSignature", "The Authorization header is not that of "+awsSigning)
	}
	s := awsSigned{token: r.Header.Get("X-Amz-Security-Token"), signature: m[3]}
	return s.read(m[1], m[2], r.Header.Get("X-Amz-Date"))
}

func (s awsSigned) read(credential, headers, date string) (awsSigned, *awsRefusal) {
	scope := strings.Split(credential, "/")
	at, err := time.Parse(awsDate, date)
	switch {
	case len(scope) != 5 || scope[3] != "sts" || scope[4] != "aws4_request":
		return s, awsRefuse(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'.")
	case err != nil:
		return s, awsRefuse(http.StatusForbidden, "IncompleteSignature", "Date must be in ISO-8601 'basic format'.")
	case scope[1] != at.Format("20060102"):
		return s, awsRefuse(http.StatusForbidden, "SignatureDoesNotMatch", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	}
	s.id, s.region, s.date, s.headers = scope[0], scope[2], at, strings.Split(headers, ";")
	if !slices.Contains(s.headers, "host") {
		return s, awsRefuse(http.StatusForbidden, "SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return s, nil
}

// caller is who signed r.
func (a *AWS) caller(r *http.Request, body []byte, now time.Time) (awsKey, string, *awsRefusal) {
	s, wrong := awsReadSignature(r)
	if wrong != nil {
		return awsKey{}, s.id, wrong
	}
	k, known := a.keys[s.id]
	switch {
	case !s.at(r.Host):
		return k, s.id, awsRefuse(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
	case !known || k.token != s.token || k.revoked && k.end.IsZero():
		return k, s.id, awsRefuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	case !s.matches(k, r, body):
		return k, s.id, awsRefuse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	case s.outside(now) != "":
		return k, s.id, awsRefuse(http.StatusForbidden, "SignatureDoesNotMatch", s.outside(now))
	case k.revoked || !k.end.IsZero() && !now.Before(k.end):
		return k, s.id, awsRefuse(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	return k, s.id, nil
}

var awsSTSHost = regexp.MustCompile(`^sts\.(?:([a-z0-9-]+)\.)?amazonaws\.com$`)

// at reports whether the signature is for the region whose service host is; one
// on loopback is of every region.
func (s awsSigned) at(host string) bool {
	m := awsSTSHost.FindStringSubmatch(host)
	return m == nil || s.region == cmp.Or(m[1], "us-east-1")
}

// outside says how the signature's date is too far from now.
func (s awsSigned) outside(now time.Time) string {
	life := awsWindow
	if s.presigned {
		life = s.presignedLife
	}
	date, at := s.date.Format(awsDate), now.Format(awsDate)
	switch {
	case now.Sub(s.date) > life:
		return "Signature expired: " + date + " is now earlier than " + now.Add(-life).Format(awsDate) + " (" + at + " - " + life.String() + ")"
	case s.date.Sub(now) > awsWindow:
		return "Signature not yet current: " + date + " is still later than " + now.Add(awsWindow).Format(awsDate) + " (" + at + " + 15 min.)"
	}
	return ""
}

// matches computes the signature again, with the SDK's own signer.
func (s awsSigned) matches(k awsKey, r *http.Request, body []byte) bool {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	again := s.bare(r)
	keys := aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.token}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
	ctx := context.Background() // the signer only logs with it
	if s.presigned {
		signed, _, err := signer.PresignHTTP(ctx, keys, again, hash, "sts", s.region, s.date)
		if err != nil {
			return false
		}
		u, err := url.Parse(signed)
		return err == nil && hmac.Equal([]byte(u.Query().Get("X-Amz-Signature")), []byte(s.signature))
	}
	if err := signer.SignHTTP(ctx, keys, again, hash, "sts", s.region, s.date); err != nil {
		return false
	}
	m := awsAuthorization.FindStringSubmatch(again.Header.Get("Authorization"))
	return m != nil && hmac.Equal([]byte(m[3]), []byte(s.signature))
}

// bare is r with what was signed and nothing else.
func (s awsSigned) bare(r *http.Request) *http.Request {
	u := *r.URL
	q := u.Query()
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Security-Token", "X-Amz-Signature"} {
		if s.presigned {
			q.Del(name)
		}
	}
	u.RawQuery = q.Encode()
	bare := &http.Request{Method: r.Method, URL: &u, Host: r.Host, Header: http.Header{}}
	for _, name := range s.headers {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Host":
		case "Content-Length":
			bare.ContentLength = r.ContentLength
		default:
			bare.Header[name] = slices.Clone(r.Header[name])
		}
	}
	return bare
}
