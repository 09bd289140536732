package issuer

import "fmt"

// The error codes of RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750 section 3.1,
// RFC 8707 section 2 and OpenID Connect Core section 3.1.2.6.
const (
	invalidRequest          = "invalid_request"
	invalidClient           = "invalid_client"
	invalidGrant            = "invalid_grant"
	unauthorizedClient      = "unauthorized_client"
	unsupportedGrantType    = "unsupported_grant_type"
	unsupportedResponseType = "unsupported_response_type"
	invalidScope            = "invalid_scope"
	invalidTarget           = "invalid_target"
	invalidToken            = "invalid_token"
	insufficientScope       = "insufficient_scope"
	accessDenied            = "access_denied"
	loginRequired           = "login_required"
	consentRequired         = "consent_required"
	requestNotSupported     = "request_not_supported"
	requestURINotSupported  = "request_uri_not_supported"
	temporarilyUnavailable  = "temporarily_unavailable"
)

// status is the table of HTTP statuses; what is not on it is 400.
func status(code string) int {
	switch code {
	case invalidClient, invalidToken:
		return 401
	case insufficientScope, accessDenied:
		return 403
	case temporarilyUnavailable:
		return 503
	default:
		return 400
	}
}

// refusal is the one error of this package: what the caller is told, and what
// only the log is. Detail and why never hold a secret or a token.
type refusal struct {
	code   string // "error"
	detail string // "error_description": what to do
	why    string // for the log where the caller must not know; else empty
	err    error  // the cause, for the log
	called string // what the log calls it; empty: refused
	basic  bool   // the caller used HTTP Basic: say so in WWW-Authenticate
}

// refuse returns a refusal whose detail is formatted from format and args.
func refuse(code, format string, args ...any) *refusal {
	return &refusal{code: code, detail: fmt.Sprintf(format, args...)}
}

// because adds why to what only the log says.
func (r *refusal) because(format string, args ...any) *refusal {
	r.why = fmt.Sprintf(format, args...)
	return r
}

// caused adds the cause, for the log.
func (r *refusal) caused(err error) *refusal {
	r.err = err
	return r
}

// unavailable says that the store or the key ring failed: nothing was decided.
func unavailable(doing string, err error) *refusal {
	return &refusal{code: temporarilyUnavailable, detail: "the token service cannot reach its store: try again shortly", why: doing, err: err}
}

func (r *refusal) Error() string {
	s := r.code + ": " + r.detail
	if r.why != "" {
		s += " (" + r.why + ")"
	}
	if r.err != nil {
		s += ": " + r.err.Error()
	}
	return s
}

func (r *refusal) Unwrap() error { return r.err }
