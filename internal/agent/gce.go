package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/longcase/longcase/internal/agent/render"
)

const (
	gceRoot     = "/computeMetadata"
	gceV1       = "/computeMetadata/v1"
	gceAccounts = gceV1 + "/instance/service-accounts"
	flavor      = "Metadata-Flavor"
	google      = "Google"
	allScopes   = "https://www.googleapis.com/auth/cloud-platform"
)

// gce answers as Google's metadata server does (Compute Engine, "About VM
// metadata"). What a client asks for with scopes is what the credential has: as
// on a VM, it cannot be widened.
type gce struct {
	agent *Agent
	p     Publication
}

func (*gce) name() Form { return GCEMetadata }

func (*gce) owns(path string) bool {
	return path == "/" || path == gceRoot || strings.HasPrefix(path, gceRoot+"/")
}

func (*gce) say(r *refusal) answer { return flavoured(plainly(r)) }

// flavoured adds what every answer of the metadata server has.
func flavoured(a answer) answer {
	a.header = append(a.header, [2]string{flavor, google}, [2]string{"Server", "Metadata Server for VM"})
	return a
}

func (g *gce) answer(ctx context.Context, c call) answer { return flavoured(g.route(ctx, c)) }

func (g *gce) route(ctx context.Context, c call) answer {
	path := strings.TrimSuffix(c.URL.Path, "/")
	given := c.Header.Values(flavor)
	switch {
	case c.Method != http.MethodGet:
		return plainly(no(http.StatusMethodNotAllowed, ByRequest, "only GET is allowed"))
	case path == "" || path == gceRoot:
		return text("computeMetadata/\n") // how clients find out where they are
	case len(given) != 1 || !strings.EqualFold(given[0], google):
		return plainly(no(http.StatusForbidden, ByHeader, "Missing Metadata-Flavor:Google header."))
	case c.URL.Query().Has("wait_for_change"):
		return plainly(no(http.StatusBadRequest, ByRequest, "wait_for_change is not served: nothing here changes but credentials"))
	}
	if rest, yes := strings.CutPrefix(path, gceAccounts); yes && (rest == "" || rest[0] == '/') {
		return g.accounts(ctx, c, strings.TrimPrefix(rest, "/"))
	}
	return g.fact(path)
}

// fact answers what is not a credential.
func (g *gce) fact(path string) answer {
	facts := map[string]string{
		gceV1:                                 "instance/\nproject/\n",
		gceV1 + "/instance":                   "service-accounts/\n",
		gceV1 + "/project":                    "numeric-project-id\nproject-id\n",
		gceV1 + "/project/project-id":         g.p.Project,
		gceV1 + "/project/numeric-project-id": g.p.ProjectNumber,
	}
	if said := facts[path]; said != "" {
		return text(said)
	}
	return notHere()
}

func notHere() answer {
	return plainly(no(http.StatusNotFound, ByNotFound, "nothing is published at this path"))
}

// account is the email of the one service account.
func (g *gce) account() string {
	if g.p.Account != "" {
		return g.p.Account
	}
	return g.p.Name + "@longcase.invalid"
}

// accounts answers below service-accounts/; rest has no slash at its ends.
func (g *gce) accounts(ctx context.Context, c call, rest string) answer {
	recursive := strings.EqualFold(c.URL.Query().Get("recursive"), "true")
	who, what, _ := strings.Cut(rest, "/")
	switch {
	case rest == "" && recursive:
		return g.described(ctx, func(one any) any { return map[string]any{"default": one, g.account(): one} })
	case rest == "":
		return text("default/\n" + g.account() + "/\n")
	case who != "default" && who != g.account():
		return plainly(no(http.StatusNotFound, ByNotFound, "the service account here is %s", g.account()))
	case what == "" && recursive:
		return g.described(ctx, func(one any) any { return one })
	}
	return g.leaf(ctx, c, what)
}

func (g *gce) leaf(ctx context.Context, c call, what string) answer {
	switch what {
	case "":
		return text("aliases\nemail\nidentity\nscopes\ntoken\n")
	case "aliases":
		return text("default\n")
	case "email":
		return text(g.account())
	case "scopes":
		return g.scopeList(ctx)
	case "token":
		return g.token(ctx)
	case "identity":
		return g.identity(ctx, c)
	}
	return notHere()
}

// described is the account as JSON, wrapped.
func (g *gce) described(ctx context.Context, wrap func(any) any) answer {
	scopes, refused := g.scopes(ctx)
	if refused != nil {
		return *refused
	}
	body, _ := json.Marshal(wrap(map[string]any{"aliases": []string{"default"}, "email": g.account(), "scopes": scopes}))
	return answer{status: http.StatusOK, kind: jsonText, body: body}
}

func (g *gce) scopeList(ctx context.Context) answer {
	scopes, refused := g.scopes(ctx)
	if refused != nil {
		return *refused
	}
	return text(strings.Join(scopes, "\n") + "\n")
}

// scopes are those of the token in hand; what is not known is told as
// everything that the account may.
func (g *gce) scopes(ctx context.Context) ([]string, *answer) {
	if g.p.Bearer == nil {
		return []string{}, nil
	}
	t, refused, after := g.agent.token(ctx, g.p, g.p.Bearer)
	if refused != nil {
		a := plainly(refused)
		a.header, a.from = after, &g.p
		return nil, &a
	}
	if list := strings.Fields(t.Scope); len(list) > 0 {
		return list, nil
	}
	return []string{allScopes}, nil
}

func (g *gce) token(ctx context.Context) answer {
	if g.p.Bearer == nil {
		return plainly(no(http.StatusNotFound, ByNotFound, "%s has identity tokens only", g.p.Name))
	}
	t, refused, after := g.agent.token(ctx, g.p, g.p.Bearer)
	if refused != nil {
		a := plainly(refused)
		a.header, a.from = after, &g.p
		return a
	}
	return answer{status: http.StatusOK, kind: jsonText, body: render.GoogleToken(t, g.agent.cfg.Now()), from: &g.p}
}

// identity answers with an identity token for the audience asked for. Its format
// is the issuer's: full and standard are not told apart.
func (g *gce) identity(ctx context.Context, c call) answer {
	audience := c.URL.Query()["audience"]
	switch {
	case len(audience) != 1 || audience[0] == "" || len(audience[0]) > 2048:
		return plainly(no(http.StatusBadRequest, ByRequest, "non-empty audience parameter required, once"))
	case g.p.Identity == nil:
		return plainly(no(http.StatusNotFound, ByNotFound, "%s has no identity tokens", g.p.Name))
	}
	t, refused, after := g.agent.token(ctx, g.p, func(ctx context.Context) (render.Token, error) { return g.p.Identity(ctx, audience[0]) })
	if refused != nil {
		a := plainly(refused)
		a.header, a.from = after, &g.p
		return a
	}
	a := text(t.Value)
	a.from = &g.p
	return a
}
