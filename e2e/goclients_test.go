package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"cloud.google.com/go/auth/credentials"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The clients in Go run in a process of their own, as the others do, because
// what they look at is the environment: this very test binary, told by
// clientSwitch which one to be.
const clientSwitch = "LONGCASE_E2E_CLIENT"

// use is one call with the credential: it returns who the cloud says we are.
type use func(context.Context) (string, error)

var goClients = map[string]func(context.Context, task) (use, error){
	"aws": awsClient, "google": googleClient, "azure": azureClient,
}

// beClient speaks converse.mjs's lines until stdin ends.
func beClient(name string) int {
	ctx := context.Background()
	lines, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	var what task
	first, err := lines.ReadBytes('\n')
	if err = errors.Join(err, json.Unmarshal(first, &what)); err != nil {
		return 2
	}
	call, err := goClients[name](ctx, what)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = out.Encode(reply{Ready: true})
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			return 0
		}
		who, err := call(ctx)
		r := reply{Who: who}
		if err != nil {
			r.Error = err.Error()
		}
		_ = out.Encode(r)
	}
}

// awsClient is the AWS SDK for Go v2 with its default credentials.
func awsClient(ctx context.Context, what task) (use, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(what.Region))
	if err != nil {
		return nil, err
	}
	return callerOf(cfg, what.STS), nil
}

func callerOf(cfg aws.Config, endpoint string) use {
	client := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = &endpoint })
	return func(ctx context.Context) (string, error) {
		out, err := client.GetCallerIdentity(ctx, nil)
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Arn), nil
	}
}

// googleClient is cloud.google.com/go/auth with its default credentials.
func googleClient(_ context.Context, what task) (use, error) {
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: what.Scopes})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		token, err := found.Token(ctx)
		if err != nil {
			return "", err
		}
		return bearer(ctx, what.API, token.Value)
	}, nil
}

// azureClient is azidentity's managed identity. Of all the SDKs it alone has no
// switch for where the metadata service is: here its transport goes elsewhere,
// as an alias of the link-local address on lo makes it without a change.
func azureClient(_ context.Context, what task) (use, error) {
	var o azidentity.ManagedIdentityCredentialOptions
	if host := os.Getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"); host != "" {
		o.Transport = elsewhereTo(host)
	}
	credential, err := azidentity.NewManagedIdentityCredential(&o)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: what.Scopes})
		if err != nil {
			return "", err
		}
		return bearer(ctx, what.API, token.Token)
	}, nil
}

// elsewhereTo sends what is meant for the link-local address to another one.
type elsewhereTo string

func (to elsewhereTo) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "169.254.169.254" {
		r.URL.Host = strings.TrimPrefix(string(to), "http://")
		r.Host = r.URL.Host
	}
	return client.Do(r)
}

// bearer calls an API, which says whose token it is.
func bearer(ctx context.Context, api, token string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the API says %s: %s", resp.Status, body)
	}
	return string(body), err
}
