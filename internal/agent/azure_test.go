package agent

import (
	"context"
	"errors"
	"testing"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

const vault = "https://vault.azure.net"

func azureOf(f Form) []Publication {
	return []Publication{
		{Form: f, Name: "vault", Listen: listen, Bearer: someToken, Resource: vault, Account: "11111111-2222-3333-4444-555555555555"},
		{Form: f, Name: "arm", Listen: listen, Bearer: func(context.Context) (render.Token, error) {
			return render.Token{}, fresh.Fail(fresh.Unavailable, "Entra answered 503")
		}, Resource: "https://management.azure.com/"},
		{Form: f, Name: "graph", Listen: listen, Bearer: func(context.Context) (render.Token, error) {
			return render.Token{}, &fresh.Error{Reason: fresh.Refused, Detail: "Entra answered 400: AADSTS70021", Err: errors.New("hush")}
		}, Resource: "https://graph.microsoft.com"},
	}
}

func TestAzureAnswersAsTheInstanceMetadataServiceDoes(t *testing.T) {
	a := prepared(t, Config{Publish: azureOf(AzureIMDS)})
	with := []string{"Metadata", "true"}
	at := func(query string) string { return azurePath + "?api-version=2018-02-01&" + query }
	token := `{"access_token":"hush.token","client_id":"11111111-2222-3333-4444-555555555555","expires_in":"3600","expires_on":"1795345200","resource":"https://vault.azure.net","token_type":"Bearer"}` + "\n"
	rows(t, a, []row{
		{name: "a token", target: at("resource=" + vault), headers: with, status: 200, body: token},
		{name: "a resource with a slash", target: at("resource=" + vault + "/"), headers: with, status: 200, body: `~"resource":"https://vault.azure.net/"`},
		{name: "a later version", target: azurePath + "?api-version=2021-02-01&resource=" + vault, headers: with, status: 200, body: token},
		{name: "the identity published", target: at("resource=" + vault + "&client_id=11111111-2222-3333-4444-555555555555"), headers: with, status: 200, body: token},
		{name: "True", target: at("resource=" + vault), headers: []string{"Metadata", "True"}, status: 200, body: token},

		{name: "a probe without the header", target: at("resource=" + vault), status: 400, body: `{"error":"invalid_request","error_description":"Required metadata header not specified"}`},
		{name: "the header is false", target: at("resource=" + vault), headers: []string{"Metadata", "false"}, status: 400},
		{name: "two headers", target: at("resource=" + vault), headers: append(with, with...), status: 400},
		{name: "no version", target: azurePath + "?resource=" + vault, headers: with, status: 400, body: "~api-version"},
		{name: "an old version", target: azurePath + "?api-version=2017-12-01&resource=" + vault, headers: with, status: 400},
		{name: "no version at all", target: azurePath + "?api-version=latest&resource=" + vault, headers: with, status: 400},
		{name: "no resource", target: at(""), headers: with, status: 400, body: "~resource is required"},
		{name: "two resources", target: at("resource=" + vault + "&resource=" + vault), headers: with, status: 400},
		{name: "another resource", target: at("resource=https://storage.azure.com/"), headers: with, status: 400, body: "~is not published here"},
		{name: "a longer resource", target: at("resource=" + vault + ".evil.example.com"), headers: with, status: 400},
		{name: "another identity", target: at("resource=" + vault + "&client_id=x"), headers: with, status: 400, body: "~set account to it"},
		{name: "an identity by object", target: at("resource=" + vault + "&object_id=x"), headers: with, status: 400},
		{name: "an identity where none is named", target: at("resource=https://management.azure.com&client_id=x"), headers: with, status: 400},
		{name: "unavailable", target: at("resource=https://management.azure.com"), headers: with, status: 503, body: `{"error":"temporarily_unavailable","error_description":"arm: unavailable: Entra answered 503"}`},
		{name: "refused", target: at("resource=https://graph.microsoft.com/"), headers: with, status: 503, body: `{"error":"temporarily_unavailable","error_description":"graph: refused: Entra answered 400: AADSTS70021"}`},
		{name: "elsewhere", target: "/metadata/instance?api-version=2021-02-01", headers: with, status: 404, body: "~not_found"},
		{name: "PUT", method: "PUT", target: at("resource=" + vault), headers: with, status: 405},
	})
}

func TestAzureAnswersAsAppServiceDoes(t *testing.T) {
	all := azureOf(AzureAppService)
	file := t.TempDir() + "/shared.token"
	for i := range all[:2] {
		all[i].TokenFile = file // graph has its own
	}
	a := prepared(t, Config{Publish: all})
	with := []string{"X-IDENTITY-HEADER", secretText(t, a, AzureAppService)}
	at := func(query string) string { return servicePath + "?api-version=2019-08-01&" + query }
	rows(t, a, []row{
		{name: "a token", target: at("resource=" + vault), headers: with, status: 200, body: `~"expires_on":"1795345200"`},
		{name: "a path with a slash", target: servicePath + "/?api-version=2019-08-01&resource=" + vault, headers: with, status: 200},
		{name: "a secret for two resources", target: at("resource=https://management.azure.com"), headers: with, status: 503, body: `{"statusCode":503,"message":"arm: unavailable: Entra answered 503"}`},

		{name: "the secret of another resource", target: at("resource=https://graph.microsoft.com"), headers: with, status: 401},
		{name: "no secret", target: at("resource=" + vault), status: 401, body: "~read it from the token file"},
		{name: "an empty secret", target: at("resource=" + vault), headers: []string{"X-IDENTITY-HEADER", ""}, status: 401},
		{name: "another secret", target: at("resource=" + vault), headers: []string{"X-IDENTITY-HEADER", "x"}, status: 401},
		{name: "two secrets", target: at("resource=" + vault), headers: append(with, with...), status: 401},
		{name: "the older header", target: at("resource=" + vault), headers: []string{"Secret", with[1]}, status: 401},
		{name: "without the secret no resource is told apart", target: at("resource=x"), status: 401},
		{name: "an older version", target: servicePath + "?api-version=2017-09-01&resource=" + vault, headers: with, status: 400},
		{name: "another resource", target: at("resource=x"), headers: with, status: 400},
		{name: "another identity", target: at("resource=" + vault + "&mi_res_id=x"), headers: with, status: 400},
		{name: "PUT", method: "PUT", target: at("resource=" + vault), headers: with, status: 405},
	})
}
