package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/longcase/longcase/internal/agent/render"
)

const containerPath = "/container/"

// containers answers as the container credentials endpoint does, one path for
// each credential.
type containers struct {
	agent  *Agent
	byName map[string]container
}

type container struct {
	p   Publication
	key *secret
}

func (*containers) name() Form { return AWSContainer }

func (*containers) owns(path string) bool { return strings.HasPrefix(path, containerPath) }

func (*containers) say(r *refusal) answer { return awsFault(r) }

// answer does not tell a wrong name and a wrong token apart.
func (cs *containers) answer(ctx context.Context, c call) answer {
	if c.Method != http.MethodGet {
		return awsFault(no(http.StatusMethodNotAllowed, ByRequest, "only GET is allowed"))
	}
	one, known := cs.byName[strings.TrimPrefix(c.URL.Path, containerPath)]
	given := c.Header.Values("Authorization")
	if !known || len(given) != 1 || !one.key.is(given[0]) {
		return awsFault(no(http.StatusUnauthorized, ByHeader, "Authorization is not the token of a credential at this path: read it from the token file"))
	}
	k, refused, after := cs.agent.keys(ctx, one.p)
	if refused != nil {
		a := awsFault(refused)
		a.header, a.from = after, &one.p
		return a
	}
	return answer{status: http.StatusOK, kind: jsonText, body: render.Container(k, cs.agent.cfg.Now()), from: &one.p}
}

// awsFault is a refusal as the SDKs of AWS read it.
func awsFault(r *refusal) answer {
	body, _ := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{http.StatusText(r.status), r.words})
	return answer{status: r.status, kind: jsonText, body: append(body, '\n'), refused: r.why}
}
