package fresh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/token"
)

const rolePath = "iam/security-credentials/app"

// wire speaks with a double in memory, each exchange in 5 ms.
type wire struct{ cloud http.Handler }

// Do is what the SDK's client calls.
func (w wire) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(5 * time.Millisecond)
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), body)
	received.Header = r.Header
	rec := httptest.NewRecorder()
	w.cloud.ServeHTTP(rec, received)
	return rec.Result(), nil
}

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w.Do(r) }

// killedSession lets 500 callers ask for the keys of an instance's role after
// every session of its metadata service was killed.
func killedSession(k keeper) string {
	cloud := clouds.NewAWS(clouds.AWSConfig{Now: time.Now, RoleLife: time.Second})
	var ask func(context.Context) error
	switch k.name {
	case "longcase":
		ask = roleByChain(cloud)
	case "aws-sdk-go-v2":
		ask = roleByClient(cloud)
	default:
		return "-"
	}
	_ = ask(context.Background())
	time.Sleep(1100 * time.Millisecond) // the keys are over
	cloud.RevokeSessions()
	before, errs := cloud.Count(clouds.PutToken), atomic.Int64{}
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			if ask(context.Background()) != nil {
				errs.Add(1)
			}
		})
	}
	wg.Wait()
	return fmt.Sprintf("%d of 500, %d", errs.Load(), cloud.Count(clouds.PutToken)-before)
}

func roleByChain(cloud http.Handler) func(context.Context) error {
	cfg := aws.IMDS{HTTP: &http.Client{Transport: wire{cloud}}}
	session := fresh.New(aws.SessionToken(cfg), fresh.Policy{Name: "imds"})
	role := fresh.From(session, aws.InstanceRole(cfg), fresh.Policy{Name: "role"})
	return func(ctx context.Context) error { _, err := role.Get(ctx); return err }
}

func roleByClient(cloud http.Handler) func(context.Context) error {
	client := imds.New(imds.Options{Endpoint: "http://169.254.169.254", HTTPClient: wire{cloud}})
	return func(ctx context.Context) error {
		out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: rolePath})
		if err != nil {
			return err
		}
		defer func() { _ = out.Content.Close() }()
		_, err = io.Copy(io.Discard, out.Content)
		return err
	}
}

// suspended suspends the machine for an hour in the middle of a token's life:
// the wall clock goes on, the monotonic one stands still. Only a cache whose
// clocks can be given can be asked.
func suspended(k keeper) string {
	if k.name != "longcase" {
		return "-"
	}
	var slept time.Duration
	minted := 0
	fetch := func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		minted++
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: strconv.Itoa(minted)}, Life: 10 * time.Minute}, nil
	}
	l := fresh.New(fetch, fresh.Policy{Now: func() token.Instant {
		now := fresh.Now()
		now.Wall = now.Wall.Add(slept)
		return now
	}})
	before, _ := l.Get(context.Background())
	time.Sleep(5 * time.Minute)
	slept = time.Hour
	after, err := l.Get(context.Background())
	if err != nil || after.Generation == before.Generation {
		return "the ended token"
	}
	return "a new token"
}
