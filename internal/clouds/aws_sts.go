package clouds

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
)

var (
	awsRoleARN     = regexp.MustCompile(`^arn:aws:iam::(\d{12}):role/(?:[\x21-\x7e]*/)?([\w+=,.@-]{1,64})$`)
	awsSessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// sts answers the Query API of the Security Token Service.
func (a *AWS) sts(r *http.Request, body []byte, now time.Time) awsAnswer {
	form, err := url.ParseQuery(string(body))
	for name, v := range r.URL.Query() {
		if !form.Has(name) {
			form[name] = v
		}
	}
	action := form.Get("Action")
	shape := func(status int, code string) awsAnswer { return awsError(awsRefuse(status, code, "told to fail")) }
	if answer, told := a.failing(action, shape); told {
		return answer
	}
	var answer awsAnswer
	var presented string
	switch {
	case err != nil || form.Get("Version") != "2011-06-15":
		answer = awsError(awsRefuse(http.StatusBadRequest, "InvalidAction", "Could not find operation "+action))
	case action == WebIdentity:
		answer, presented = a.webIdentity(form, now)
	case action == AssumeRole:
		answer, presented = a.assumeRole(r, body, form, now)
	case action == GetCallerIdentity:
		answer, presented = a.callerIdentity(r, body, now)
	default:
		answer, action = awsError(awsRefuse(http.StatusBadRequest, "InvalidAction", "Could not find operation "+action)), ""
	}
	answer.call, answer.credential = action, presented
	return answer
}

func (a *AWS) callerIdentity(r *http.Request, body []byte, now time.Time) (awsAnswer, string) {
	k, id, wrong := a.caller(r, body, now)
	if wrong != nil {
		return awsError(wrong), id
	}
	return awsXML("GetCallerIdentity", awsIdentity{Arn: k.arn, UserID: k.user, Account: a.cfg.Account}), id
}

func (a *AWS) assumeRole(r *http.Request, body []byte, form url.Values, now time.Time) (awsAnswer, string) {
	k, id, wrong := a.caller(r, body, now)
	if wrong != nil {
		return awsError(wrong), id
	}
	longest := 12 * time.Hour
	if !k.end.IsZero() {
		longest = time.Hour // a role taken by a role session
	}
	role, name, life, wrong := a.wanted(form, longest)
	switch {
	case wrong != nil:
		return awsError(wrong), id
	case form.Get("ExternalId") != a.cfg.ExternalID:
		return awsError(awsRefuse(http.StatusForbidden, "AccessDenied",
			fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", k.arn, form.Get("RoleArn")))), id
	}
	s := a.session(role, name, life, now)
	return awsXML("AssumeRole", awsTaken{Credentials: s.document(), User: awsRoleUser{Arn: s.arn, ID: s.user}}), id
}

// wanted reads what both AssumeRole calls have in common.
func (a *AWS) wanted(form url.Values, longest time.Duration) (role, name string, life time.Duration, wrong *awsRefusal) {
	m, name := awsRoleARN.FindStringSubmatch(form.Get("RoleArn")), form.Get("RoleSessionName")
	if m == nil || !awsSessionName.MatchString(name) {
		return "", "", 0, awsRefuse(http.StatusBadRequest, "ValidationError", "1 validation error detected: RoleArn or RoleSessionName failed to satisfy constraint")
	}
	if m[1] != a.cfg.Account {
		return "", "", 0, awsRefuse(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRole")
	}
	life = time.Hour
	if v := form.Get("DurationSeconds"); v != "" {
		s, err := strconv.Atoi(v)
		life = time.Duration(s) * time.Second
		switch {
		case err != nil || s < 900 || s > 43200:
			return "", "", 0, awsRefuse(http.StatusBadRequest, "ValidationError", "1 validation error detected: Value '"+v+"' at 'durationSeconds' failed to satisfy constraint")
		case life > longest:
			return "", "", 0, awsRefuse(http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
		}
	}
	if a.cfg.AssumeLife > 0 {
		life = a.cfg.AssumeLife
	}
	return m[2], name, life, nil
}

func (a *AWS) webIdentity(form url.Values, now time.Time) (awsAnswer, string) {
	claims, presented, wrong := a.verified(form.Get("WebIdentityToken"), now)
	if wrong != nil {
		return awsError(wrong), presented
	}
	role, name, life, wrong := a.wanted(form, 12*time.Hour)
	if wrong != nil {
		return awsError(wrong), presented
	}
	s := a.session(role, name, life, now)
	return awsXML("AssumeRoleWithWebIdentity", awsTaken{Credentials: s.document(), User: awsRoleUser{Arn: s.arn, ID: s.user},
		Subject: claims.Subject, Audience: a.cfg.Audience, Provider: a.cfg.Issuer}), presented
}

// verified reads a JWT as the real service does: signature, issuer, audience,
// window. presented is its "jti", or else its "sub".
func (a *AWS) verified(raw string, now time.Time) (claims token.Claims, presented string, wrong *awsRefusal) {
	invalid := func(message string) *awsRefusal {
		return awsRefuse(http.StatusBadRequest, "InvalidIdentityToken", message)
	}
	jws, err := token.Parse(raw)
	if err == nil {
		claims, err = jws.Claims()
	}
	if presented = claims.ID; presented == "" {
		presented = claims.Subject
	}
	switch {
	case err != nil:
		return claims, presented, invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	case claims.Issuer != a.cfg.Issuer:
		return claims, presented, invalid("No OpenIDConnect provider found in your account for " + claims.Issuer)
	case !slices.ContainsFunc(a.cfg.Keys.Find(jws.KeyID(), jws.Algorithm()), func(k token.Key) bool { return jws.Verify(k) == nil }):
		return claims, presented, invalid("Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
	case !slices.Contains(claims.Audience, a.cfg.Audience):
		return claims, presented, invalid("Incorrect token audience")
	case claims.Expires.IsZero():
		return claims, presented, invalid("Missing a required claim: exp")
	case !now.Before(claims.Expires) || a.denied[presented]:
		return claims, presented, awsRefuse(http.StatusBadRequest, "ExpiredTokenException",
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), claims.Expires.Unix()))
	case claims.NotBefore.After(now.Add(5 * time.Minute)):
		return claims, presented, invalid("Token is not yet valid")
	}
	return claims, presented, nil
}

const awsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

type (
	awsDocument struct {
		ID           string `xml:"AccessKeyId"`
		Secret       string `xml:"SecretAccessKey"`
		SessionToken string
		Expiration   string
	}
	awsRoleUser struct {
		ID  string `xml:"AssumedRoleId"`
		Arn string
	}
	awsTaken struct {
		Subject     string `xml:"SubjectFromWebIdentityToken,omitempty"`
		Audience    string `xml:",omitempty"`
		Provider    string `xml:",omitempty"`
		Credentials awsDocument
		User        awsRoleUser `xml:"AssumedRoleUser"`
	}
	awsIdentity struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}
	awsErrorBody struct {
		XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Type    string   `xml:"Error>Type"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
		Request string   `xml:"RequestId"`
	}
)

const awsRequestID = "c6104cbe-af31-11e0-8154-cbc7ccf896c7"

func (k awsKey) document() awsDocument {
	return awsDocument{ID: k.id, Secret: k.secret, SessionToken: k.token, Expiration: k.end.Format(time.RFC3339Nano)}
}

func awsXML(action string, result any) awsAnswer {
	var b strings.Builder
	start := func(name string) xml.StartElement { return xml.StartElement{Name: xml.Name{Local: name}} }
	outer := start(action + "Response")
	outer.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: awsNamespace}}
	e := xml.NewEncoder(&b)
	err := errors.Join(e.EncodeToken(outer), e.EncodeElement(result, start(action+"Result")),
		e.EncodeElement(struct {
			RequestID string `xml:"RequestId"`
		}{awsRequestID}, start("ResponseMetadata")), e.EncodeToken(outer.End()), e.Close())
	if err != nil {
		return awsPlain("", http.StatusInternalServerError)
	}
	return awsAnswer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml"}}, body: b.String()}
}

func awsError(wrong *awsRefusal) awsAnswer {
	kind := "Sender"
	if wrong.status >= 500 {
		kind = "Receiver"
	}
	body, err := xml.Marshal(awsErrorBody{Type: kind, Code: wrong.code, Message: wrong.message, Request: awsRequestID})
	if err != nil {
		return awsPlain("", http.StatusInternalServerError)
	}
	return awsAnswer{code: wrong.code, status: wrong.status, header: http.Header{"Content-Type": {"text/xml"}}, body: string(body)}
}
