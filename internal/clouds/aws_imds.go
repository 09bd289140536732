package clouds

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	awsTTLHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	awsTokenHeader = "X-Aws-Ec2-Metadata-Token"
	awsMaxTTL      = 21600 // seconds
	awsRolePath    = "/latest/meta-data/iam/security-credentials"
)

// metadata answers as the EC2 metadata service.
func (a *AWS) metadata(r *http.Request, now time.Time) awsAnswer {
	if r.URL.Path == "/latest/api/token" {
		return a.putToken(r, now)
	}
	call, value := a.place(r.URL.Path)
	plain := func(status int, code string) awsAnswer {
		answer := awsPlain(call, status)
		answer.code = code
		return answer
	}
	if answer, told := a.failing(call, plain); told {
		return answer
	}
	session, ok := a.sessionOf(r, now)
	var answer awsAnswer
	switch {
	case !ok:
		answer = plain(http.StatusUnauthorized, "Unauthorized")
	case r.Method != http.MethodGet:
		answer = plain(http.StatusMethodNotAllowed, "")
	case value == nil:
		answer = plain(http.StatusNotFound, "")
	default:
		answer = plain(http.StatusOK, "")
		answer.body = value(now)
	}
	answer.credential = session
	return answer
}

// place is what is served at path; nil: nothing.
func (a *AWS) place(path string) (call string, value func(now time.Time) string) {
	text := func(s string) func(time.Time) string { return func(time.Time) string { return s } }
	switch strings.TrimSuffix(path, "/") {
	case awsRolePath:
		return ListRoles, text(a.cfg.Role)
	case awsRolePath + "/" + a.cfg.Role:
		return RoleKeys, a.roleDocument
	case "/latest/meta-data/placement/availability-zone":
		return "", text(a.cfg.Region + "a")
	case "/latest/meta-data/placement/region":
		return "", text(a.cfg.Region)
	}
	return "", nil
}

// putToken opens a session. A request that came through a proxy is refused.
func (a *AWS) putToken(r *http.Request, now time.Time) awsAnswer {
	plain := func(status int, _ string) awsAnswer { return awsPlain(PutToken, status) }
	if answer, told := a.failing(PutToken, plain); told {
		return answer
	}
	ttl, err := strconv.Atoi(r.Header.Get(awsTTLHeader))
	switch {
	case r.Method != http.MethodPut:
		return plain(http.StatusMethodNotAllowed, "")
	case r.Header.Get("X-Forwarded-For") != "":
		return plain(http.StatusForbidden, "")
	case err != nil || ttl < 1 || ttl > awsMaxTTL:
		return plain(http.StatusBadRequest, "")
	}
	life := time.Duration(ttl) * time.Second
	if a.cfg.SessionLife > 0 && a.cfg.SessionLife < life {
		life = a.cfg.SessionLife
	}
	for token, s := range a.sessions {
		if !now.Before(s.end) {
			delete(a.sessions, token)
		}
	}
	a.made++
	token, name := awsOpaque("token", a.made), fmt.Sprintf("session-%d", a.made)
	a.sessions[token] = awsToken{name, now.Add(life)}
	answer := plain(http.StatusOK, "")
	answer.body, answer.credential = token, name
	answer.header.Set(awsTTLHeader, strconv.Itoa(max(1, int(life/time.Second))))
	return answer
}

// sessionOf is the name of the session that r presents, and whether it lives.
func (a *AWS) sessionOf(r *http.Request, now time.Time) (string, bool) {
	presented := r.Header.Get(awsTokenHeader)
	if presented == "" {
		return "", a.cfg.V1
	}
	s, ok := a.sessions[presented]
	return s.name, ok && now.Before(s.end)
}

// roleKey is the pair in hand, or a new one a while before the end of that.
func (a *AWS) roleKey(now time.Time) awsKey {
	k, ok := a.keys[a.instance]
	if ok && (a.stale || now.Before(k.end.Add(-a.cfg.RoleAhead))) {
		return k
	}
	k = a.session(a.cfg.Role, "i-0123456789abcdef0", a.cfg.RoleLife, now)
	a.instance = k.id
	return k
}

func (a *AWS) roleDocument(now time.Time) string {
	k := a.roleKey(now)
	return awsJSON(map[string]string{"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": now.Format(time.RFC3339),
		"AccessKeyId": k.id, "SecretAccessKey": k.secret, "Token": k.token, "Expiration": k.end.Format(time.RFC3339Nano)})
}

// container answers as the credential endpoint of a container.
func (a *AWS) container(r *http.Request, now time.Time) awsAnswer {
	shape := func(status int, code string) awsAnswer {
		return awsAnswer{call: ContainerKeys, code: code, status: status, header: http.Header{"Content-Type": {"application/json"}},
			body: awsJSON(map[string]string{"code": code, "message": http.StatusText(status)})}
	}
	if answer, told := a.failing(ContainerKeys, shape); told {
		return answer
	}
	presented := r.Header.Get("Authorization")
	switch {
	case r.Method != http.MethodGet:
		return shape(http.StatusMethodNotAllowed, "MethodNotAllowed")
	case subtle.ConstantTimeCompare([]byte(presented), []byte(a.cfg.ContainerToken)) != 1:
		return shape(http.StatusUnauthorized, "Unauthorized")
	}
	k := a.roleKey(now)
	answer := shape(http.StatusOK, "")
	answer.credential = "authorization"
	answer.body = awsJSON(map[string]string{"RoleArn": "arn:aws:iam::" + a.cfg.Account + ":role/" + a.cfg.Role,
		"AccessKeyId": k.id, "SecretAccessKey": k.secret, "Token": k.token, "Expiration": k.end.Format(time.RFC3339Nano)})
	return answer
}

func awsJSON(v map[string]string) string {
	b, _ := json.MarshalIndent(v, "", "  ")
	return string(b)
}
