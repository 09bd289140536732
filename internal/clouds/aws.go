package clouds

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/longcase/longcase/jwks"
)

const (
	awsMaxBody = 64 << 10
	awsMaxLog  = 10_000
)

// The calls that an AWS knows, as its log and Fail name them.
const (
	PutToken          = "PutToken"  // PUT /latest/api/token
	ListRoles         = "ListRoles" // GET /latest/meta-data/iam/security-credentials/
	RoleKeys          = "RoleKeys"  // GET …/{role}
	ContainerKeys     = "ContainerKeys"
	GetCallerIdentity = "GetCallerIdentity"
	AssumeRole        = "AssumeRole"
	WebIdentity       = "AssumeRoleWithWebIdentity"
)

// AWSConfig is how an AWS is set up. Only Now is required.
type AWSConfig struct {
	Now     func() time.Time // the cloud's clock
	Account string           // default "123456789012"
	Role    string           // of the instance and the container; default "app"
	Region  string           // default "us-east-1"

	SessionLife time.Duration // the longest life of an IMDSv2 session token, whole seconds; default what is asked for
	RoleLife    time.Duration // of the keys of instance and container; default 6 h
	RoleAhead   time.Duration // how long before the end of those the next are handed out; default 5 min, at most half of RoleLife
	AssumeLife  time.Duration // of role sessions, whatever DurationSeconds says; default that, or 1 h

	Issuer         string   // of JWTs
	Audience       string   // of JWTs; default "sts.amazonaws.com"
	Keys           jwks.Set // that verify JWTs
	ExternalID     string   // that AssumeRole demands; empty: none
	ContainerToken string   // that Authorization must be at /container; empty: none
	V1             bool     // IMDSv1 too: no session token needed
}

// Call is one request that a double answered.
type Call struct {
	At         time.Time // by the cloud's clock
	Name       string
	Credential string // what was presented, by a name that is no secret: an access key id, the "jti" (else "sub") of a JWT, the number of a session token
	Status     int
	Code       string // the error's code; empty: none
}

// Failure is how the next calls fail.
type Failure struct {
	Call       string // which; empty: any
	Times      int
	Status     int
	RetryAfter time.Duration // whole seconds
	Code       string        // of an error in the cloud's own shape
	Body       string        // instead of that shape
}

// AWS is a double of the parts of Amazon Web Services that give credentials:
// IMDSv2 below /latest, the endpoint of a container at /container, and the Query
// API of STS at /. Its methods may be called concurrently.
type AWS struct {
	cfg AWSConfig

	mu       sync.Mutex
	made     int
	sessions map[string]awsToken // IMDSv2, by token
	keys     map[string]awsKey   // by access key id
	instance string              // the id of the keys in hand; empty: none
	stale    bool
	denied   map[string]bool // JWTs, by jti
	failures []Failure
	counts   map[string]int
	log      []Call
}

type awsToken struct {
	name string
	end  time.Time
}

// awsKey is a pair of keys, of a user (without token and end) or a role session.
type awsKey struct {
	id, secret, token, arn, user string
	end                          time.Time
	revoked                      bool
}

// NewAWS returns a cloud that has given nothing yet.
func NewAWS(cfg AWSConfig) *AWS {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&cfg.Account, "123456789012")
	set(&cfg.Role, "app")
	set(&cfg.Region, "us-east-1")
	set(&cfg.Audience, "sts.amazonaws.com")
	if cfg.RoleLife == 0 {
		cfg.RoleLife = 6 * time.Hour
	}
	if cfg.RoleAhead == 0 {
		cfg.RoleAhead = 5 * time.Minute
	}
	cfg.RoleAhead = min(cfg.RoleAhead, cfg.RoleLife/2)
	return &AWS{cfg: cfg, sessions: map[string]awsToken{}, keys: map[string]awsKey{}, denied: map[string]bool{}, counts: map[string]int{}}
}

// User makes the long-lived keys of a user.
func (a *AWS) User() (id, secret string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.newKey("AKIA", "user/somebody")
	k.token = ""
	a.keys[k.id] = k
	return k.id, k.secret
}

// Revoke ends keys, by their id, or a JWT, by its "jti" (else "sub"), before their time: a role
// session is told ExpiredToken from now on, a user InvalidClientTokenId, a JWT
// ExpiredTokenException. Instance and container get others at once.
func (a *AWS) Revoke(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied[id] = true
	if k, ok := a.keys[id]; ok {
		k.revoked = true
		a.keys[id] = k
	}
	if a.instance == id {
		a.instance = ""
	}
}

// RevokeSessions ends every IMDSv2 session, as a restart of the service does.
func (a *AWS) RevokeSessions() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.sessions)
}

// Stale makes instance and container hand out the keys in hand beyond their end,
// as the real services do while they cannot renew them.
func (a *AWS) Stale(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = on
}

// Fail makes the next calls fail, after those that were told to before.
func (a *AWS) Fail(f Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failures = append(a.failures, f)
}

// Count is how often a call was made, refused ones included.
func (a *AWS) Count(call string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[call]
}

// Log is the calls so far, of the last 10,000.
func (a *AWS) Log() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Call(nil), a.log...)
}

// ServeHTTP answers every service by its path.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := a.cfg.Now().UTC()
	body, err := io.ReadAll(io.LimitReader(r.Body, awsMaxBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	answer := a.answer(r, body, now) //nolint:contextcheck // nothing in here waits
	a.count(answer, now)
	a.mu.Unlock()
	h := w.Header()
	for name, v := range answer.header {
		h[name] = v
	}
	h.Set("Date", now.Format(http.TimeFormat))
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body)
}

// awsAnswer is what one call comes to.
type awsAnswer struct {
	call, credential, code string
	status                 int
	header                 http.Header
	body                   string
}

func (a *AWS) answer(r *http.Request, body []byte, now time.Time) awsAnswer {
	switch {
	case strings.HasPrefix(r.URL.Path, "/latest/"):
		return a.metadata(r, now)
	case r.URL.Path == "/container":
		return a.container(r, now)
	case r.URL.Path == "/":
		r.Body = io.NopCloser(bytes.NewReader(body))
		return a.sts(r, body, now)
	}
	return awsPlain("", http.StatusNotFound)
}

func (a *AWS) count(answer awsAnswer, now time.Time) {
	if answer.call == "" {
		return
	}
	a.counts[answer.call]++
	if len(a.log) == awsMaxLog {
		a.log = append(a.log[:0], a.log[awsMaxLog/2:]...)
	}
	a.log = append(a.log, Call{At: now, Name: answer.call, Credential: answer.credential, Status: answer.status, Code: answer.code})
}

// failing is the failure that a call is told to have, if any; shape writes it.
func (a *AWS) failing(call string, shape func(status int, code string) awsAnswer) (awsAnswer, bool) {
	for i, f := range a.failures {
		if f.Times <= 0 || f.Call != "" && f.Call != call {
			continue
		}
		a.failures[i].Times--
		answer := shape(f.Status, f.Code)
		answer.call = call
		if f.Body != "" {
			answer.body = f.Body
		}
		if f.RetryAfter > 0 {
			answer.header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
		}
		return answer, true
	}
	return awsAnswer{}, false
}

// newKey makes keys with a session token. What it makes depends only on how many
// were made before: a double has no secrets.
func (a *AWS) newKey(prefix, resource string) awsKey {
	a.made++
	id := fmt.Sprintf("%s%016d", prefix, a.made)
	service := "iam"
	if strings.HasPrefix(resource, "assumed-role/") {
		service = "sts"
	}
	return awsKey{id: id, secret: awsOpaque("secret", a.made)[:40], token: awsOpaque("session", a.made),
		arn: "arn:aws:" + service + "::" + a.cfg.Account + ":" + resource, user: "AROA" + id[4:]}
}

func awsOpaque(what string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", what, n))
	return "IQoJ" + base64.StdEncoding.EncodeToString(append(sum[:], sum[:]...))
}

// session makes the keys of a role session and forgets what ended long ago.
func (a *AWS) session(role, name string, life time.Duration, now time.Time) awsKey {
	for id, k := range a.keys {
		if !k.end.IsZero() && now.Sub(k.end) > 24*time.Hour {
			delete(a.keys, id)
		}
	}
	k := a.newKey("ASIA", "assumed-role/"+role+"/"+name)
	k.end = now.Add(life)
	if life >= time.Minute { // the real ones end on a whole second
		k.end = k.end.Truncate(time.Second)
	}
	k.user += ":" + name
	a.keys[k.id] = k
	return k
}

func awsPlain(call string, status int) awsAnswer {
	return awsAnswer{call: call, status: status, header: http.Header{"Content-Type": {"text/plain"}}, body: http.StatusText(status)}
}
