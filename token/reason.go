package token

import "fmt"

// A Reason is a stable slug for why a token was refused. It is itself an error,
// so callers write errors.Is(err, token.Expired). Slugs are never reused.
type Reason string

// The reasons, in the order of the table in the documentation.
const (
	NoToken           Reason = "no_token"
	Malformed         Reason = "malformed"
	TooLarge          Reason = "too_large"
	BadAlgorithm      Reason = "bad_algorithm"
	UnknownKey        Reason = "unknown_key"
	BadSignature      Reason = "bad_signature"
	WrongType         Reason = "wrong_type"
	WrongIssuer       Reason = "wrong_issuer"
	WrongAudience     Reason = "wrong_audience"
	MissingClaim      Reason = "missing_claim"
	NotYetValid       Reason = "not_yet_valid"
	IssuedInFuture    Reason = "issued_in_future"
	Expired           Reason = "expired"
	LifetimeTooLong   Reason = "lifetime_too_long"
	InsufficientScope Reason = "insufficient_scope"
	ClientNotAllowed  Reason = "client_not_allowed"
	Replayed          Reason = "replayed"
	BindingMissing    Reason = "binding_missing"
	BindingMismatch   Reason = "binding_mismatch"
	Revoked           Reason = "revoked"
	KeyRevoked        Reason = "key_revoked"
	KeysUnavailable   Reason = "keys_unavailable"
	RevocationsStale  Reason = "revocations_stale"
	NotAllowed        Reason = "not_allowed"
	RateLimited       Reason = "rate_limited"
)

// Error returns the slug.
func (r Reason) Error() string { return string(r) }

// Error is a refusal. Detail may be shown to the caller; Err is for the
// operator's log and never crosses the wire.
type Error struct {
	Reason Reason
	Detail string
	Err    error
}

// Refuse returns an *Error whose Detail is formatted from format and args,
// which must not hold a secret or a whole token.
func Refuse(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	s := string(e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap makes errors.Is find both the Reason and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// Meaning is one row of the table of reasons: how a refusal is said.
type Meaning struct {
	OAuth  string // "error" of RFC 6750 section 3.1; empty where the request held no token
	Status int    // HTTP status code
	Title  string // one sentence without numbers
	Remedy string // what to do next, and whose turn it is
}

// Meaning returns the row of r. An unknown reason is said as Malformed is.
func (r Reason) Meaning() Meaning {
	if m, ok := meanings[r]; ok {
		return m
	}
	return meanings[Malformed]
}

// Reasons returns every reason, in the order of the table in the documentation.
func Reasons() []Reason {
	return []Reason{
		NoToken, Malformed, TooLarge, BadAlgorithm, UnknownKey, BadSignature, WrongType, WrongIssuer,
		WrongAudience, MissingClaim, NotYetValid, IssuedInFuture, Expired, LifetimeTooLong, InsufficientScope,
		ClientNotAllowed, Replayed, BindingMissing, BindingMismatch, Revoked, KeyRevoked, KeysUnavailable,
		RevocationsStale, NotAllowed, RateLimited,
	}
}

const (
	invalidToken = "invalid_token"
	denied       = 403
	unauthorized = 401
	unavailable  = 503
)

// meanings is read only.
var meanings = map[Reason]Meaning{
	NoToken:           {"", unauthorized, "the request carries no token", "send Authorization: Bearer TOKEN"},
	Malformed:         {invalidToken, unauthorized, "token is not well formed", "send exactly one token, as the issuer returned it"},
	TooLarge:          {invalidToken, unauthorized, "token is too large", "ask the issuer for fewer claims; 16384 bytes and 32 levels are the most"},
	BadAlgorithm:      {invalidToken, unauthorized, "token is signed with an algorithm that is not accepted", "sign with an algorithm this service lists for the issuer"},
	UnknownKey:        {invalidToken, unauthorized, "token is signed with a key its issuer does not publish", "check that the issuer's key set holds this kid; a new key must be published before it signs"},
	BadSignature:      {invalidToken, unauthorized, "token signature does not match the issuer's key", "compare the key's fingerprint on both sides"},
	WrongType:         {invalidToken, unauthorized, "token is of another type", "send an access token, not an ID token or another JWT"},
	WrongIssuer:       {invalidToken, unauthorized, "token comes from an issuer that is not accepted", "get a token from an issuer this service accepts"},
	WrongAudience:     {invalidToken, unauthorized, "token is meant for another audience", "ask the issuer for a token with this service as audience"},
	MissingClaim:      {invalidToken, unauthorized, "token lacks a claim that is required", "have the issuer add the claim"},
	NotYetValid:       {invalidToken, unauthorized, "token is not valid yet", "check NTP on the issuer and on this host"},
	IssuedInFuture:    {invalidToken, unauthorized, "token was issued in the future", "check NTP on the issuer and on this host"},
	Expired:           {invalidToken, unauthorized, "token is over", "get a new token"},
	LifetimeTooLong:   {invalidToken, unauthorized, "token lives longer than this service accepts", "issue tokens with a shorter life"},
	InsufficientScope: {"insufficient_scope", denied, "token lacks a scope", "ask the issuer for the scope named in WWW-Authenticate"},
	ClientNotAllowed:  {"insufficient_scope", denied, "client is not on this route's list", "use a client the route names"},
	Replayed:          {invalidToken, unauthorized, "token was used before", "get a new token for each call"},
	BindingMissing:    {invalidToken, unauthorized, "token is not bound to a key, or its proof is missing", "send the DPoP proof or client certificate the token is bound to"},
	BindingMismatch:   {invalidToken, unauthorized, "token is bound to another key", "send the proof of the key the token is bound to"},
	Revoked:           {invalidToken, unauthorized, "token was ended early", "sign in or ask for a new token"},
	KeyRevoked:        {invalidToken, unauthorized, "token is signed with a key that was withdrawn", "get a new token"},
	KeysUnavailable:   {"", unavailable, "the issuer's keys cannot be had", "check the way from this service to the issuer's key set"},
	RevocationsStale:  {"", unavailable, "the list of ended tokens is out of date", "check the way from this service to the issuer's revocation feed"},
	NotAllowed:        {"", denied, "request is not allowed here", "use a path and method that a route lists"},
	RateLimited:       {"", 429, "too many requests", "wait as long as Retry-After says"},
}
