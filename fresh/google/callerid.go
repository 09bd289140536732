package google

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/longcase/longcase/fresh"
)

// noBody is the SHA-256 of nothing.
const noBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// callerIdentity is an AWS request that says who its signer is, and to whom:
// Google sends it to AWS and reads the answer. The audience is a signed header,
// so that nobody else can use the request.
type callerIdentity struct {
	url      string
	region   string
	audience string
}

// signedHeader is one header of the request, as Google reads it.
type signedHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// sign returns the subject token of type aws4_request: the request in JSON,
// escaped as a query.
func (c callerIdentity) sign(ctx context.Context, id, secret, session string, now time.Time) (string, error) {
	if id == "" || secret == "" {
		return "", fresh.Fail(fresh.Malformed, "the AWS keys are empty")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, nil)
	if err != nil {
		return "", cannot(err)
	}
	req.Header.Set("x-goog-cloud-target-resource", c.audience)
	keys := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: session}
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, noBody, "sts", c.region, now); err != nil {
		return "", &fresh.Error{Reason: fresh.Malformed, Detail: "the AWS keys cannot sign", Err: err}
	}
	return serialize(req)
}

func serialize(req *http.Request) (string, error) {
	headers := []signedHeader{{"host", req.URL.Host}}
	for _, name := range []string{"Authorization", "x-amz-date", "x-amz-security-token", "x-goog-cloud-target-resource"} {
		if v := req.Header.Get(name); v != "" {
			headers = append(headers, signedHeader{name, v})
		}
	}
	body, err := json.Marshal(map[string]any{"url": req.URL.String(), "method": req.Method, "headers": headers})
	return url.QueryEscape(string(body)), err
}

// regionName keeps a metadata service from naming another host as the region.
func regionName(s string) bool {
	return s != "" && len(s) <= 40 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) < 0
}
