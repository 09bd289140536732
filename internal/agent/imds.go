package agent

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/internal/agent/render"
)

const (
	imdsToken   = "/latest/api/token"
	imdsRoles   = "/latest/meta-data/iam/security-credentials"
	imdsZone    = "/latest/meta-data/placement/availability-zone"
	imdsRegion  = "/latest/meta-data/placement/region"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTTL      = 21600
)

// imds answers as EC2's instance metadata service does when it insists on
// version 2 (EC2 User Guide, "Use the Instance Metadata Service").
type imds struct {
	agent *Agent
	p     Publication
	key   *secret
}

func (*imds) name() Form { return IMDS }

func (*imds) owns(path string) bool { return path == "/latest" || strings.HasPrefix(path, "/latest/") }

func (*imds) say(r *refusal) answer { return plainly(r) }

func (m *imds) answer(ctx context.Context, c call) answer {
	key, err := m.key.text()
	if err != nil {
		return plainly(no(http.StatusServiceUnavailable, ByUpstream, "%v", err))
	}
	switch {
	case c.Method == http.MethodPut && c.URL.Path == imdsToken:
		return m.issue(c, key)
	case c.Method != http.MethodGet || c.URL.Path == imdsToken:
		return plainly(no(http.StatusMethodNotAllowed, ByRequest, "PUT is for %s, GET for all else", imdsToken))
	case !m.knows(c, key):
		return plainly(no(http.StatusUnauthorized, ByHeader, "a live session token is needed: PUT %s", imdsToken))
	}
	return m.read(ctx, c)
}

// issue makes a session token.
func (m *imds) issue(c call, key string) answer {
	asked := c.Header.Values(ttlHeader)
	var ttl int
	if len(asked) == 1 {
		ttl, _ = strconv.Atoi(asked[0])
	}
	if ttl < 1 || ttl > maxTTL {
		return plainly(no(http.StatusBadRequest, ByHeader, "%s must be 1 to %d, once", strings.ToLower(ttlHeader), maxTTL))
	}
	s := session{uid: c.uid, issued: c.now, life: time.Duration(ttl) * time.Second}
	a := text(s.seal(key, m.p.Name))
	a.header = [][2]string{{ttlHeader, strconv.Itoa(ttl)}}
	return a
}

// knows reports whether the request carries a live session token of this uid.
func (m *imds) knows(c call, key string) bool {
	given := c.Header.Values(tokenHeader)
	if len(given) != 1 {
		return false
	}
	s, ok := unseal(given[0], key, m.p.Name)
	return ok && s.uid == c.uid && s.live(m.p.Session, c.now)
}

// read answers a path with or without its last slash.
func (m *imds) read(ctx context.Context, c call) answer {
	path := strings.TrimSuffix(c.URL.Path, "/")
	switch {
	case path == imdsRoles:
		return text(m.p.Name)
	case path == imdsRoles+"/"+m.p.Name:
		return m.role(ctx)
	case path == imdsZone && m.p.Region != "":
		return text(m.p.Region + "a")
	case path == imdsRegion && m.p.Region != "":
		return text(m.p.Region)
	}
	return plainly(no(http.StatusNotFound, ByNotFound, "nothing is published at this path"))
}

func (m *imds) role(ctx context.Context) answer {
	k, no, after := m.agent.keys(ctx, m.p)
	if no != nil {
		a := awsFault(no)
		a.header, a.from = after, &m.p
		return a
	}
	return answer{status: http.StatusOK, kind: jsonText, body: render.InstanceRole(k, m.agent.cfg.Now()), from: &m.p}
}

// keys gets live keys, or the refusal to say.
func (a *Agent) keys(ctx context.Context, p Publication) (render.Keys, *refusal, [][2]string) {
	k, err := p.Keys(ctx)
	if err == nil {
		err = k.Check(a.cfg.Now())
	}
	if err != nil {
		a.cfg.Log.Debug("a published credential cannot be had", "credential", p.Name, "form", string(p.Form), "err", err)
		no, after := unavailable(p.Name, err)
		return render.Keys{}, no, after
	}
	return k, nil, nil
}

// token gets a live token, or the refusal to say.
func (a *Agent) token(ctx context.Context, p Publication, get Bearer) (render.Token, *refusal, [][2]string) {
	t, err := get(ctx)
	if err == nil {
		err = t.Check(a.cfg.Now())
	}
	if err != nil {
		a.cfg.Log.Debug("a published credential cannot be had", "credential", p.Name, "form", string(p.Form), "err", err)
		no, after := unavailable(p.Name, err)
		return render.Token{}, no, after
	}
	return t, nil, nil
}
