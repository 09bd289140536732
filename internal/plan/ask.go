package plan

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/longcase/longcase/internal/config"
)

// Ask is what is said of a token service beside its configuration. What is zero
// (Logins, Revoked: below zero) has a usual value.
type Ask struct {
	Rate    float64       // new sessions a second
	Every   time.Duration // between two refreshes of a session; default lifetimes.access
	Used    time.Duration // how long a session is refreshed; default lifetimes.session_absolute
	Logins  float64       // logins for one session; default 1, where a client uses authorization codes
	Revoked float64       // share of the sessions that end early; default 0.01
	Once    float64       // single uses a second beside the assertions of these sessions
	Subject int           // bytes of a user's name; default that of the file's users, or 24
}

const (
	usualRevoked = 0.01
	usualSubject = 24
	usualShared  = 60
	maxRate      = 1e6 // beyond it nothing here was thought through
)

// The reasons why a configuration keeps no sessions.
var (
	ErrNoIssuer = errors.New("names no issuer: nothing issues tokens here, so no session is stored; plan the file of the token service")
	ErrNoEnd    = errors.New("issuer.lifetimes.session_absolute is not set, so no session can be refreshed and none is stored; set it to how long a session may last, like 12h")
)

// Load is what the token service of cfg is asked for.
func (a Ask) Load(cfg *config.Config) (Load, error) {
	is := cfg.Issuer
	switch {
	case is == nil:
		return Load{}, ErrNoIssuer
	case is.Lifetimes.SessionAbsolute <= 0:
		return Load{}, ErrNoEnd
	}
	times := is.Lifetimes
	l := Load{
		Sessions: a.Rate, Life: times.SessionAbsolute, Idle: times.SessionIdle, Used: a.Used, Every: a.Every, Access: times.MaxAccess,
		Logins: a.Logins, Revoked: a.Revoked, Proofs: a.Once, Subject: a.Subject,
	}
	l.clients(is)
	if l.Used <= 0 || l.Used > l.Life {
		l.Used = l.Life
	}
	if l.Idle <= 0 {
		l.Idle = l.Life
	}
	if l.Every <= 0 && times.Access <= l.Idle { // else a session is over when its access token is
		l.Every = times.Access
	}
	if l.Logins < 0 {
		l.Logins = map[bool]float64{true: 1}[l.Codes]
	}
	if l.Revoked < 0 {
		l.Revoked = usualRevoked
	}
	if l.Every > l.Idle {
		return l, fmt.Errorf("refreshed every %s, a session would be over before, idle for %s (issuer.lifetimes.session_idle)", say(l.Every), say(l.Idle))
	}
	return l, nil
}

// clients reads off the file's clients how sessions begin, how their clients
// prove who they are and how long their texts are.
func (l *Load) clients(is *config.Issuer) {
	refreshing, keyed := 0, 0
	for _, c := range is.Clients {
		if !slices.Contains(c.Grants, "refresh_token") {
			continue
		}
		refreshing++
		l.Codes = l.Codes || slices.Contains(c.Grants, "authorization_code")
		if c.Authenticate == "private_key_jwt" {
			keyed++
		}
		l.Shared = max(l.Shared, shared(c))
	}
	if refreshing == 0 { // the clients are added at run time
		l.Codes, l.Shared = true, usualShared
	} else {
		l.Assertions = float64(keyed) / float64(refreshing)
	}
	if l.Subject <= 0 {
		l.Subject = subject(is.Users)
	}
}

// shared is how many bytes the sessions of a client have in common.
func shared(c config.Client) int {
	n, longest := len(c.ID), 0
	for _, a := range c.Audiences {
		longest = max(longest, len(a))
	}
	for _, s := range c.Scopes {
		n += len(s) + len(`"",`)
	}
	return n + longest
}

func subject(users []config.User) int {
	if len(users) == 0 {
		return usualSubject
	}
	sum := 0
	for _, u := range users {
		sum += len(u.Name)
	}
	return (sum + len(users) - 1) / len(users)
}

var rateForm = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,3})?)/(s|m|h|d)$`)

// ParseRate reads a rate like 10/s, 600/m, 5000/h or 864000/d, up to 1,000,000 a
// second.
func ParseRate(s string) (float64, error) {
	m := rateForm.FindStringSubmatch(s)
	if m == nil {
		if n, err := strconv.ParseFloat(s, 64); err == nil && n > 0 && n <= maxRate {
			return 0, fmt.Errorf("%.40q is not a rate like 10/s, 600/m, 5000/h or 864000/d; did you mean %q?", s, s+"/s")
		}
		return 0, fmt.Errorf("%.40q is not a rate like 10/s, 600/m, 5000/h or 864000/d", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	n /= map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[m[2]]
	switch {
	case err != nil || n > maxRate:
		return 0, fmt.Errorf("%.40q is more than 1,000,000 a second", s)
	case n <= 0 || math.IsNaN(n):
		return 0, fmt.Errorf("%.40q is no rate: nothing would happen", s)
	}
	return n, nil
}
