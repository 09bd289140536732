package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/longcase/longcase/internal/agent/render"
)

const (
	azurePath      = "/metadata/identity/oauth2/token"
	servicePath    = "/msi/token"
	serviceVersion = "2019-08-01"
	oldestVersion  = "2018-02-01"
	identityHeader = "X-Identity-Header"
)

var versionShape = regexp.MustCompile(`^20[0-9]{2}-[01][0-9]-[0-3][0-9]$`)

// azure is what both endpoints have in common: tokens by resource.
type azure struct {
	agent      *Agent
	byResource map[string]resource
}

type resource struct {
	p   Publication
	key *secret // of App Service
}

// oneSlash is a resource without its last slash: clients make it from a scope
// and disagree about it.
func oneSlash(s string) string { return strings.TrimSuffix(s, "/") }

// find is the publication that the query asks for.
func (z *azure) find(q url.Values) (resource, *refusal) {
	asked := q["resource"]
	if len(asked) != 1 || asked[0] == "" {
		return resource{}, no(http.StatusBadRequest, ByRequest, "resource is required, once")
	}
	one, known := z.byResource[oneSlash(asked[0])]
	if !known {
		return resource{}, no(http.StatusBadRequest, ByRequest, "resource %.200q is not published here: publish a credential for it", asked[0])
	}
	for _, name := range []string{"client_id", "object_id", "principal_id", "mi_res_id", "msi_res_id"} {
		if id := q.Get(name); id != "" && !strings.EqualFold(id, one.p.Account) {
			return resource{}, no(http.StatusBadRequest, ByRequest, "%s %.100q is not the identity published here: set account to it", name, id)
		}
	}
	return one, nil
}

// give answers with the token of one resource.
func (z *azure) give(ctx context.Context, c call, one resource, say func(*refusal) answer) answer {
	t, refused, after := z.agent.token(ctx, one.p, one.p.Bearer)
	if refused != nil {
		a := say(refused)
		a.header, a.from = after, &one.p
		return a
	}
	asked := c.URL.Query().Get("resource")
	return answer{status: http.StatusOK, kind: jsonText, body: render.Azure(t, asked, one.p.Account, z.agent.cfg.Now()), from: &one.p}
}

// azureIMDS answers as the instance metadata service (Microsoft Entra, "How to
// use managed identities on a VM to acquire an access token").
type azureIMDS struct{ azure }

func (*azureIMDS) name() Form { return AzureIMDS }

func (*azureIMDS) owns(path string) bool { return strings.HasPrefix(path, "/metadata/") }

func (*azureIMDS) say(r *refusal) answer {
	code := "invalid_request"
	switch {
	case r.why == ByUpstream:
		code = "temporarily_unavailable"
	case r.status == http.StatusNotFound:
		code = "not_found"
	}
	body, _ := json.Marshal(struct {
		Error string `json:"error"`
		Words string `json:"error_description"`
	}{code, r.words})
	return answer{status: r.status, kind: jsonText, body: body, refused: r.why}
}

func (z *azureIMDS) answer(ctx context.Context, c call) answer {
	q := c.URL.Query()
	version := q["api-version"]
	switch {
	case c.URL.Path != azurePath:
		return z.say(no(http.StatusNotFound, ByNotFound, "nothing is published at this path"))
	case c.Method != http.MethodGet:
		return z.say(no(http.StatusMethodNotAllowed, ByRequest, "only GET is allowed"))
	case !strings.EqualFold(strings.Join(c.Header.Values("Metadata"), ","), "true"):
		return z.say(no(http.StatusBadRequest, ByHeader, "Required metadata header not specified"))
	case len(version) != 1 || !versionShape.MatchString(version[0]) || version[0] < oldestVersion:
		return z.say(no(http.StatusBadRequest, ByRequest, "api-version must be %s or later", oldestVersion))
	}
	one, refused := z.find(q)
	if refused != nil {
		return z.say(refused)
	}
	return z.give(ctx, c, one, z.say)
}

// appService answers as the identity endpoint of App Service (Azure App Service,
// "REST endpoint reference").
type appService struct{ azure }

func (*appService) name() Form { return AzureAppService }

func (*appService) owns(path string) bool { return path == servicePath || path == servicePath+"/" }

func (*appService) say(r *refusal) answer {
	body, _ := json.Marshal(struct {
		Status  int    `json:"statusCode"`
		Message string `json:"message"`
	}{r.status, r.words})
	return answer{status: r.status, kind: jsonText, body: body, refused: r.why}
}

func (z *appService) answer(ctx context.Context, c call) answer {
	q := c.URL.Query()
	switch {
	case c.Method != http.MethodGet:
		return z.say(no(http.StatusMethodNotAllowed, ByRequest, "only GET is allowed"))
	case !z.authenticated(c):
		return z.say(no(http.StatusUnauthorized, ByHeader, "X-IDENTITY-HEADER is not the secret of this endpoint: read it from the token file"))
	case len(q["api-version"]) != 1 || q.Get("api-version") != serviceVersion:
		return z.say(no(http.StatusBadRequest, ByRequest, "api-version must be %s", serviceVersion))
	}
	one, refused := z.find(q)
	if refused != nil {
		return z.say(refused)
	}
	if !one.key.is(c.Header.Get(identityHeader)) {
		return z.say(no(http.StatusUnauthorized, ByHeader, "X-IDENTITY-HEADER is the secret of another resource"))
	}
	return z.give(ctx, c, one, z.say)
}

// authenticated reports whether the request has the secret of any resource here.
func (z *appService) authenticated(c call) bool {
	given := c.Header.Values(identityHeader)
	if len(given) != 1 {
		return false
	}
	for _, one := range z.byResource {
		if one.key.is(given[0]) {
			return true
		}
	}
	return false
}
