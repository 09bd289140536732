package token

// Ending says what an early end names, as it stands in the feed of revocations.
type Ending string

// The endings.
const (
	EndsToken   Ending = "token"   // a jti
	EndsSession Ending = "session" // a sid
	EndsClient  Ending = "client"  // a client_id; tokens issued before an instant
	EndsSubject Ending = "subject" // a sub; tokens issued before an instant
	EndsKey     Ending = "kid"     // a kid
)
