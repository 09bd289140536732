package plan

import (
	"time"

	"github.com/longcase/longcase/store"
)

// What the issuer and the gates decide, whatever the configuration says.
const (
	CodeLife = time.Hour // how long an authorization code is remembered (issuer/code.go)

	markLife   = 2 * time.Minute   // of an assertion of a minute, and the issuer's margin (issuer/assertion.go)
	proofLife  = 90 * time.Second  // of a DPoP proof (verify/dpop)
	earlyMore  = 11 * time.Minute  // how much longer than the token its early end is kept (issuer/session.go)
	paxosLeast = 3 * time.Hour     // how long Cassandra keeps the state of a lightweight transaction, at least
	retireLag  = store.RetireDelay // how late what is over is dropped,
	tickLag    = 30 * time.Second  // and on average half a minute more, until the timer comes round (internal/app/retire.go)
	day        = float64(24 * time.Hour)
	second     = float64(time.Second)
)

// Load is what a token service is asked for, at a constant rate. Rates are per
// second.
type Load struct {
	Sessions float64       // new ones
	Life     time.Duration // session_absolute
	Idle     time.Duration // session_idle
	Used     time.Duration // how long a session is refreshed, Life at most
	Every    time.Duration // between two refreshes; 0: a session is never refreshed
	Access   time.Duration // max_access: how long an early end is of interest

	Codes      bool    // sessions begin with an authorization code
	Logins     float64 // logins for one session: 1 where everybody signs in anew
	Revoked    float64 // share of the sessions that end early
	Assertions float64 // share of the token requests with a client assertion
	Proofs     float64 // uses at gates that are good once: DPoP proofs, tokens

	Subject int // bytes of a user's name, each another
	Shared  int // bytes of what the sessions of a client have in common: its id, audience, scopes
}

// Refreshes is how often one session is refreshed.
func (l Load) Refreshes() float64 {
	if l.Every <= 0 {
		return 0
	}
	return float64((min(l.Used, l.Life) - 1) / l.Every)
}

// Tokens is how many token requests there are.
func (l Load) Tokens() float64 { return l.Sessions * (1 + l.Refreshes()) }

// Live is how many sessions can be refreshed at one time.
func (l Load) Live() float64 {
	return l.Sessions * min(l.Used+l.Idle, l.Life).Seconds()
}

// Kind names a kind of record.
type Kind string

// The kinds of records.
const (
	Sessions    Kind = "sessions"
	Codes       Kind = "codes"
	Logins      Kind = "logins"
	Marks       Kind = "marks"
	Revocations Kind = "revocations"
)

// Flow is one kind of record under a load.
type Flow struct {
	Kind   Kind
	Rate   float64       // new ones a second
	Life   time.Duration // from its beginning to its end
	Writes float64       // of one record, the first included
	Shift  time.Duration // from its first write to its last

	Subject, Shared int // bytes of text
}

// Flows lists what a load makes the store keep; none has a rate of zero.
func (l Load) Flows() []Flow {
	used := min(l.Used, l.Life)
	end := min(l.Access, l.Life) + earlyMore
	all := []Flow{
		{Sessions, l.Sessions, l.Life, 1 + l.Refreshes() + l.Revoked, used, l.Subject, l.Shared},
		{Codes, l.Sessions, CodeLife, 2, 0, l.Subject, l.Shared},
		{Logins, l.Sessions * l.Logins, l.Life, 1, 0, l.Subject, 0},
		{Marks, l.Tokens() * l.Assertions, markLife, 1, 0, 0, 0},
		{Marks, l.Proofs, proofLife, 1, 0, 0, 0},
		{Revocations, l.Sessions * l.Revoked, end, 1, 0, 0, 0},
	}
	if !l.Codes {
		all[1].Rate = 0
	}
	flows := all[:0]
	for _, f := range all {
		if f.Rate > 0 {
			flows = append(flows, f)
		}
	}
	return flows
}
