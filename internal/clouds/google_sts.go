package clouds

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

const (
	googleTokenTypes = "urn:ietf:params:oauth:token-type:"
	signedAWS        = "urn:ietf:params:aws:token-type:aws4_request"
	targetResource   = "x-goog-cloud-target-resource"
	awsRequestAge    = 15 * time.Minute
)

// serveSTS answers POST /v1/token (RFC 8693 section 2).
func (g *Google) serveSTS(w http.ResponseWriter, r *http.Request) {
	provider, err := g.exchange(w, r)
	if err != nil {
		g.refuseOAuth(w, err)
		return
	}
	value, end := g.issue("ya29.d.", provider.Audience, r.PostForm.Get("scope"), 0)
	g.write(w, http.StatusOK, map[string]any{
		"access_token": value, "issued_token_type": googleTokenTypes + "access_token", "token_type": "Bearer",
		"expires_in": int(end.Sub(g.cfg.Now()) / time.Second),
	})
}

// exchange judges the request and returns the provider whose evidence it is.
func (g *Google) exchange(w http.ResponseWriter, r *http.Request) (GoogleProvider, error) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return GoogleProvider{}, no("invalid_request", "The form cannot be read.")
	}
	form := r.PostForm
	switch {
	case form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange":
		return GoogleProvider{}, no("unsupported_grant_type", "Invalid grant_type.")
	case form.Get("requested_token_type") != googleTokenTypes+"access_token":
		return GoogleProvider{}, no("invalid_request", "Invalid requested_token_type.")
	case form.Get("scope") == "":
		return GoogleProvider{}, no("invalid_scope", "The scope is missing.")
	}
	i := slices.IndexFunc(g.cfg.Providers, func(p GoogleProvider) bool { return p.Audience == form.Get("audience") })
	if i < 0 {
		return GoogleProvider{}, no("invalid_target", "The target service indicated by the \"audience\" parameters is invalid.")
	}
	return g.cfg.Providers[i], g.judge(g.cfg.Providers[i], form.Get("subject_token"), form.Get("subject_token_type"))
}

// judge verifies a subject token.
func (g *Google) judge(p GoogleProvider, subject, kind string) error {
	switch {
	case kind == signedAWS && p.AWS != nil:
		return g.judgeAWS(p, subject)
	case (kind == googleTokenTypes+"jwt" || kind == googleTokenTypes+"id_token") && p.Issuer != "":
		return g.judgeJWT(p, subject)
	}
	return no("invalid_request", "Invalid subject_token_type for this provider.")
}

// judgeJWT wants a JWT of the provider's issuer, for this provider, that lives.
func (g *Google) judgeJWT(p GoogleProvider, raw string) error {
	jws, err := token.Parse(raw)
	if err != nil {
		return no("invalid_request", "Unable to parse the ID Token.")
	}
	claims, err := jws.Claims()
	if err != nil {
		return no("invalid_request", "Unable to parse the ID Token.")
	}
	if !signedByAny(jws, p.Keys.Find(jws.KeyID(), jws.Algorithm())) {
		return no("invalid_grant", "Error verifying the signature of the ID Token.")
	}
	accepted := p.Audiences
	if len(accepted) == 0 {
		accepted = []string{p.Audience, "https:" + p.Audience}
	}
	switch {
	case claims.Issuer != p.Issuer:
		return no("invalid_grant", "The issuer in ID Token %s does not match the expected ones.", claims.Issuer)
	case !slices.ContainsFunc(claims.Audience, func(a string) bool { return slices.Contains(accepted, a) }):
		return no("invalid_grant", "The audience in ID Token %v does not match the expected audience.", claims.Audience)
	case claims.Window().Check(g.cfg.Now(), 0) != nil:
		return no("invalid_grant", "ID Token issued at %d is stale to sign-in.", claims.IssuedAt.Unix())
	}
	return nil
}

func signedByAny(jws token.JWS, keys []token.Key) bool {
	return slices.ContainsFunc(keys, func(k token.Key) bool { return jws.Verify(k) == nil })
}

// judgeAWS wants a request to GetCallerIdentity that is bound to the provider,
// is not old, and that AWS takes.
func (g *Google) judgeAWS(p GoogleProvider, subject string) error {
	req, err := readCallerIdentity(subject)
	if err != nil {
		return err
	}
	target := strings.TrimPrefix(req.Header.Get(targetResource), "https:")
	if target != p.Audience { // to sign it is only recommended: Google's library for Node.js does not
		return no("invalid_grant", "The header %s does not name the audience.", targetResource)
	}
	at, err := time.Parse("20060102T150405Z", req.Header.Get("X-Amz-Date"))
	if err != nil || g.cfg.Now().Sub(at).Abs() > awsRequestAge {
		return no("invalid_grant", "The AWS request is too old, or from the future.")
	}
	if err := p.AWS(req); err != nil {
		return no("invalid_grant", "Received invalid AWS response of type %s", strings.Replace(err.Error(), ": ", " with error message: ", 1))
	}
	return nil
}

// readCallerIdentity reads a subject token of type aws4_request.
func readCallerIdentity(subject string) (*http.Request, error) {
	text, err := url.QueryUnescape(subject)
	var wire struct {
		URL     string `json:"url"`
		Method  string `json:"method"`
		Headers []struct{ Key, Value string }
	}
	if err != nil || json.Unmarshal([]byte(text), &wire) != nil {
		return nil, no("invalid_request", "Unable to parse the AWS request.")
	}
	req, err := http.NewRequest(wire.Method, wire.URL, http.NoBody)
	switch {
	case err != nil:
		return nil, no("invalid_request", "Unable to parse the AWS request.")
	case req.Method != http.MethodPost || req.URL.Query().Get("Action") != "GetCallerIdentity" || !stsHost(req.URL):
		return nil, no("invalid_request", "Not a POST of GetCallerIdentity to an AWS STS.")
	}
	for _, h := range wire.Headers {
		req.Header.Add(h.Key, h.Value)
	}
	if host := req.Header.Get("Host"); host != req.URL.Host {
		return nil, no("invalid_request", "The header host is not that of the URL.")
	}
	req.Header.Del("Host")
	req.RequestURI = req.URL.RequestURI()
	return req, nil
}

// stsHost reports whether u is an AWS STS; one on loopback is another double.
func stsHost(u *url.URL) bool {
	if token.Loopback(u.Hostname()) {
		return true
	}
	return u.Scheme == "https" && strings.HasPrefix(u.Host, "sts.") && strings.HasSuffix(u.Host, ".amazonaws.com")
}

// Signed judges a GetCallerIdentity request without a body that somebody hands
// on, with its parameters in the URL. The error is the code and the message of
// the refusal. It counts as a call.
func (a *AWS) Signed(r *http.Request) error {
	now := a.cfg.Now().UTC()
	a.mu.Lock()
	defer a.mu.Unlock()
	told := func(status int, code string) awsAnswer { return awsError(awsRefuse(status, code, "told to fail")) }
	answer, failing := a.failing(GetCallerIdentity, told)
	var who string
	if !failing {
		answer, who = a.callerIdentity(r, nil, now)
	}
	answer.call, answer.credential = GetCallerIdentity, who
	a.count(answer, now)
	if answer.status == http.StatusOK {
		return nil
	}
	var said awsErrorBody
	if err := xml.Unmarshal([]byte(answer.body), &said); err != nil {
		return err
	}
	return awsRefuse(answer.status, said.Code, said.Message)
}
