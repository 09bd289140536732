// Command clouds serves doubles of AWS, Google and Azure on loopback, so that
// chains of credentials can be tried where there is no cloud. They judge
// signatures, audiences and ends as the real ones do, and what they give means
// nothing to those.
//
//	go run ./examples/clouds -life 30s -dir /tmp/clouds
//
// It writes into -dir a configuration of Longcase that uses them (longcase.yaml),
// the JWT of a pod, written anew before each end (pod.jwt), and the file that
// Google's libraries read (external_account.json).
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/internal/clouds"
	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

const (
	pool    = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws"
	mail    = "mail@project.iam.gserviceaccount.com"
	cluster = "https://kubernetes.example.com"
	tenant  = "11111111-2222-3333-4444-555555555555"
	app     = "66666666-7777-8888-9999-000000000000"
)

//go:embed longcase.yaml
var configuration string

//go:embed external_account.json
var externalAccount string

func main() {
	life := flag.Duration("life", 30*time.Second, "how long what the clouds give lives; session tokens of IMDS a tenth more")
	dir := flag.String("dir", ".", "`directory` for the files")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *dir, *life); err != nil {
		fmt.Fprintln(os.Stderr, "clouds:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, dir string, life time.Duration) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signer, err := token.NewSigner("cluster-1", token.ES256, key)
	if err != nil {
		return err
	}
	keys := jwks.FromKeys(signer.Key())
	aws := clouds.NewAWS(clouds.AWSConfig{Now: time.Now, SessionLife: life + life/10, RoleLife: life, AssumeLife: life,
		Issuer: cluster, Keys: keys, Region: "eu-central-1"})
	google := clouds.NewGoogle(clouds.GoogleConfig{Now: time.Now, Life: life,
		Providers: []clouds.GoogleProvider{{Audience: pool, AWS: aws.Signed}},
		Accounts:  []clouds.GoogleAccount{{Email: mail, Members: []string{pool}}}})
	azure := clouds.NewAzure(clouds.AzureConfig{Now: time.Now, Life: life, Tenant: tenant, Identities: []string{app},
		Applications: []clouds.AzureApplication{{ClientID: app, Issuer: cluster, Subject: "pod", Audience: "sts.amazonaws.com", Keys: keys}}})
	g, ctx := errgroup.WithContext(ctx)
	urls := []string{}
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"AWS", aws}, {"GOOGLE", google}, {"AZURE", azure}} {
		url, err := serve(ctx, g, c.handler)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, c.name, url)
		urls = append(urls, "{"+c.name+"}", url)
	}
	g.Go(func() error { return keepPod(ctx, filepath.Join(dir, "pod.jwt"), signer, life) })
	names := strings.NewReplacer(urls...)
	err = errors.Join(os.WriteFile(filepath.Join(dir, "longcase.yaml"), []byte(names.Replace(configuration)), 0o600),
		os.WriteFile(filepath.Join(dir, "external_account.json"), []byte(names.Replace(externalAccount)), 0o600))
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "ready: longcase serve -c", filepath.Join(dir, "longcase.yaml"))
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve answers on a port of its own until ctx ends.
func serve(ctx context.Context, g *errgroup.Group, h http.Handler) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	g.Go(func() error {
		if err := s.Serve(ln); ctx.Err() == nil {
			return err
		}
		return nil
	})
	return "http://" + ln.Addr().String(), nil
}

// keepPod writes a new JWT at each half life, as Kubernetes does.
func keepPod(ctx context.Context, path string, signer token.Signer, life time.Duration) error {
	for {
		now := time.Now()
		claims, err := json.Marshal(map[string]any{"iss": cluster, "sub": "pod", "aud": "sts.amazonaws.com", "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(life).Unix()})
		if err != nil {
			return err
		}
		jwt, err := signer.Sign("JWT", claims)
		if err != nil {
			return err
		}
		err = errors.Join(os.WriteFile(path+".new", []byte(jwt), 0o600), os.Rename(path+".new", path))
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(life / 2):
		}
	}
}
