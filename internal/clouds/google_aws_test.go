package clouds_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	nobody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	target = "x-goog-cloud-target-resource"
)

// callerIdentity is a GetCallerIdentity request for Google.
type callerIdentity struct {
	id, secret string
	audience   string
	age        time.Duration
	region     string // that it is signed for; default that of the host
	unsigned   bool   // the audience is added after signing
}

func (c *callerIdentity) defaults(id, secret string) {
	for field, value := range map[*string]string{&c.id: id, &c.secret: secret, &c.audience: awsPool, &c.region: "us-east-1"} {
		if *field == "" {
			*field = value
		}
	}
}

// sign returns the request as Google reads it.
func (c *callerIdentity) sign(t *testing.T, now time.Time) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://sts.us-east-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !c.unsigned {
		req.Header.Set(target, c.audience)
	}
	keys := aws.Credentials{AccessKeyID: c.id, SecretAccessKey: c.secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, req, nobody, "sts", c.region, now.Add(-c.age)); err != nil {
		t.Fatal(err)
	}
	req.Header.Set(target, c.audience)
	headers := []map[string]string{{"key": "host", "value": req.URL.Host}}
	for name := range req.Header {
		headers = append(headers, map[string]string{"key": name, "value": req.Header.Get(name)})
	}
	text, err := json.Marshal(map[string]any{"url": req.URL.String(), "method": "POST", "headers": headers})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
