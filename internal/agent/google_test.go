package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

const gceDefault = gceAccounts + "/default/"

func gceOf(change func(*Publication)) []Publication {
	p := Publication{
		Form: GCEMetadata, Name: "mail", Listen: listen, Bearer: someToken, Identity: someIdentity,
		Account: "mail@p.iam.gserviceaccount.com", Project: "p", ProjectNumber: "123",
	}
	if change != nil {
		change(&p)
	}
	return []Publication{p}
}

func TestGCEAnswersAsTheMetadataServerDoes(t *testing.T) {
	a := prepared(t, Config{Publish: gceOf(nil)})
	with := []string{"Metadata-Flavor", "Google"}
	mail := gceAccounts + "/mail@p.iam.gserviceaccount.com/"
	described := `{"aliases":["default"],"email":"mail@p.iam.gserviceaccount.com","scopes":["a","b"]}`
	token := `{"access_token":"hush.token","expires_in":3600,"token_type":"Bearer"}` + "\n"
	rows(t, a, []row{
		{name: "a ping", target: "/", headers: with, status: 200},
		{name: "a ping without the header", target: "/", status: 200},
		{name: "the root", target: "/computeMetadata/v1/", headers: with, status: 200},
		{name: "the instance, as npm pings", target: "/computeMetadata/v1/instance", headers: with, status: 200},
		{name: "a token", target: gceDefault + "token", headers: with, status: 200, body: token},
		{name: "a token for scopes", target: gceDefault + "token?scopes=a%2Cb", headers: with, status: 200, body: token},
		{name: "a token by email", target: mail + "token", headers: with, status: 200, body: token},
		{name: "a token by escaped email", target: strings.ReplaceAll(mail, "@", "%40") + "token", headers: with, status: 200, body: token},
		{name: "an identity", target: gceDefault + "identity?audience=https://b.example.com&format=full", headers: with, status: 200, body: "hush-for-https://b.example.com"},
		{name: "an email", target: gceDefault + "email", headers: with, status: 200, body: "mail@p.iam.gserviceaccount.com"},
		{name: "the scopes", target: gceDefault + "scopes", headers: with, status: 200, body: "a\nb\n"},
		{name: "the aliases", target: gceDefault + "aliases", headers: with, status: 200, body: "default\n"},
		{name: "an account", target: gceDefault, headers: with, status: 200, body: "aliases\nemail\nidentity\nscopes\ntoken\n"},
		{name: "an account as a whole", target: gceDefault + "?recursive=true", headers: with, status: 200, body: described},
		{name: "an account as a whole, Python's True", target: gceDefault + "?recursive=True", headers: with, status: 200, body: described},
		{name: "an account as a whole without a slash", target: gceAccounts + "/default?recursive=true&alt=json", headers: with, status: 200, body: described},
		{name: "the accounts", target: gceAccounts + "/", headers: with, status: 200, body: "default/\nmail@p.iam.gserviceaccount.com/\n"},
		{name: "the accounts as a whole", target: gceAccounts + "/?recursive=true", headers: with, status: 200, body: `{"default":` + described + `,"mail@p.iam.gserviceaccount.com":` + described + `}`},
		{name: "the project", target: gceV1 + "/project/project-id", headers: with, status: 200, body: "p"},
		{name: "the project's number", target: gceV1 + "/project/numeric-project-id", headers: with, status: 200, body: "123"},

		{name: "no universe", target: gceV1 + "/universe/universe-domain", headers: with, status: 404},
		{name: "no other fact", target: gceV1 + "/instance/id", headers: with, status: 404},
		{name: "no other account", target: gceAccounts + "/other@p.iam.gserviceaccount.com/token", headers: with, status: 404},
		{name: "nothing below a token", target: gceDefault + "token/x", headers: with, status: 404},
		{name: "no older version", target: "/computeMetadata/v1beta1/instance/service-accounts/default/token", headers: with, status: 404},
		{name: "no waiting", target: gceDefault + "?recursive=true&wait_for_change=true", headers: with, status: 400},
		{name: "an identity for nobody", target: gceDefault + "identity", headers: with, status: 400},
		{name: "an identity for two", target: gceDefault + "identity?audience=a&audience=b", headers: with, status: 400},
		{name: "no header", target: gceDefault + "token", status: 403, body: "~Missing Metadata-Flavor:Google header."},
		{name: "another header's value", target: gceDefault + "token", headers: []string{"Metadata-Flavor", "Amazon"}, status: 403},
		{name: "two headers", target: gceDefault + "token", headers: append(with, with...), status: 403},
		{name: "an older header", target: gceDefault + "token", headers: []string{"X-Google-Metadata-Request", "True"}, status: 403},
		{name: "without the header no path is told apart", target: gceV1 + "/nothing", status: 403},
		{name: "through a proxy", target: gceDefault + "token", headers: append(with, "X-Forwarded-For", "10.0.0.1"), status: 403},
		{name: "PUT", method: "PUT", target: gceDefault + "token", headers: with, status: 405},
	})
}

func TestEveryAnswerHasTheFlavor(t *testing.T) {
	a := prepared(t, Config{Publish: gceOf(nil)})
	for _, target := range []string{"/", gceDefault + "token", gceV1 + "/nothing"} {
		for _, h := range [][]string{nil, {"Metadata-Flavor", "Google"}, {"Origin", "x"}} {
			if got := ask(a, "GET", target, h...).Header.Get("Metadata-Flavor"); got != "Google" {
				t.Errorf("%s with %v: %q", target, h, got)
			}
		}
	}
}

func TestAGCEServerHasWhatItIsGiven(t *testing.T) {
	with := []string{"Metadata-Flavor", "Google"}
	t.Run("no identity", func(t *testing.T) {
		rows(t, prepared(t, Config{Publish: gceOf(func(p *Publication) { p.Identity = nil })}), []row{
			{name: "identity", target: gceDefault + "identity?audience=a", headers: with, status: 404, body: "mail has no identity tokens\n"},
		})
	})
	t.Run("identity only, and no names", func(t *testing.T) {
		rows(t, prepared(t, Config{Publish: gceOf(func(p *Publication) { p.Bearer, p.Project, p.ProjectNumber, p.Account = nil, "", "", "" })}), []row{
			{name: "token", target: gceDefault + "token", headers: with, status: 404, body: "mail has identity tokens only\n"},
			{name: "scopes", target: gceDefault + "?recursive=true", headers: with, status: 200, body: `~"scopes":[]`},
			{name: "email", target: gceDefault + "email", headers: with, status: 200, body: "mail@longcase.invalid"},
			{name: "project", target: gceV1 + "/project/project-id", headers: with, status: 404},
			{name: "number", target: gceV1 + "/project/numeric-project-id", headers: with, status: 404},
		})
	})
	t.Run("a token that cannot be had", func(t *testing.T) {
		fail := func(context.Context) (render.Token, error) {
			return render.Token{}, &fresh.Error{Layer: "sts", Reason: fresh.Unavailable, RetryAfter: 3 * time.Second}
		}
		rows(t, prepared(t, Config{Publish: gceOf(func(p *Publication) {
			p.Bearer = fail
			p.Identity = func(ctx context.Context, _ string) (render.Token, error) { return fail(ctx) }
		})}), []row{
			{name: "token", target: gceDefault + "token", headers: with, status: 503, body: "mail: sts: unavailable\n"},
			{name: "identity", target: gceDefault + "identity?audience=a", headers: with, status: 503},
			{name: "scopes", target: gceDefault + "scopes", headers: with, status: 503},
			{name: "account", target: gceDefault + "?recursive=true", headers: with, status: 503},
			{name: "a ping needs none", target: "/", headers: with, status: 200},
		})
	})
	t.Run("a token that has ended", func(t *testing.T) {
		rows(t, prepared(t, Config{Publish: gceOf(nil), Now: func() time.Time { return start.Add(time.Hour) }}), []row{
			{name: "token", target: gceDefault + "token", headers: with, status: 503},
			{name: "identity", target: gceDefault + "identity?audience=a", headers: with, status: 503},
		})
	})
}

// Google's own client for Go finds the agent by GCE_METADATA_HOST.
func TestGooglesOwnClientLivesOnTheAgent(t *testing.T) {
	a := prepared(t, Config{Publish: gceOf(nil)})
	at := served(t, a, "tcp", listen)
	t.Setenv("GCE_METADATA_HOST", at.String())
	c := metadata.NewClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	for path, want := range map[string]string{
		"instance/service-accounts/default/email":               "mail@p.iam.gserviceaccount.com",
		"instance/service-accounts/default/identity?audience=b": "hush-for-b",
		"project/project-id":                                    "p",
	} {
		if got, err := c.GetWithContext(t.Context(), path); err != nil || got != want {
			t.Errorf("%s = %q, %v", path, got, err)
		}
	}
	var token struct {
		Value string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	said, err := c.GetWithContext(t.Context(), "instance/service-accounts/default/token?scopes=a")
	if err := json.Unmarshal([]byte(said), &token); err != nil || token.Value != "hush.token" || token.Life != 3600 {
		t.Errorf("token: %v, a life of %d s", err, token.Life)
	}
	if err != nil || !metadata.OnGCEWithContext(t.Context()) {
		t.Errorf("the client is not on GCE: %v", err)
	}
}

// What is told is how long a token lives from the answer on, not from the
// request: a renewal may have been waited for between the two.
func TestALifeIsToldFromTheAnswerOn(t *testing.T) {
	for target, headers := range map[string][]string{
		gceDefault + "token": {"Metadata-Flavor", "Google"},
		azurePath + "?api-version=2018-02-01&resource=https://vault.azure.net": {"Metadata", "true"},
	} {
		wall := &clock{now: start}
		slow := func(ctx context.Context) (render.Token, error) {
			wall.forward(15 * time.Second)
			return someToken(ctx)
		}
		a := prepared(t, Config{Now: wall.Now, Publish: []Publication{
			{Form: GCEMetadata, Name: "mail", Listen: listen, Bearer: slow},
			{Form: AzureIMDS, Name: "vm", Listen: listen, Bearer: slow, Resource: "https://vault.azure.net"},
		}})
		var said struct {
			In json.Number `json:"expires_in"`
		}
		if err := json.NewDecoder(ask(a, http.MethodGet, target, headers...).Body).Decode(&said); err != nil || said.In != "3585" {
			t.Errorf("%s: a token with 3585 s to live is told to have %s: %v", target, said.In, err)
		}
	}
}
