package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/longcase/longcase/store"
)

// sessionData is the Data of a session: what was granted at its beginning and
// when it was used last. What it grants never widens.
type sessionData struct {
	MAC      string   `json:"mac"`   // id of the key its refresh tokens are authenticated with
	Begun    int64    `json:"begun"` // Unix seconds
	Used     int64    `json:"used"`  // beginning or last rotation, Unix milliseconds
	Grant    string   `json:"grant"` // the grant that made it
	Audience string   `json:"aud"`
	Scopes   []string `json:"scopes,omitempty"`
	AuthTime int64    `json:"auth_time,omitempty"` // Unix seconds
}

func (d sessionData) begun() time.Time { return time.Unix(d.Begun, 0) }
func (d sessionData) used() time.Time  { return time.UnixMilli(d.Used) }

// over is the end of a session that is used no more: the idle or the absolute
// end, whichever comes first.
func (l Lifetimes) over(s store.Session, d sessionData) time.Time {
	idle := d.used().Add(l.SessionIdle)
	if idle.Before(s.End) {
		return idle
	}
	return s.End
}

// standing is what a generation is to its session.
type standing int

const (
	current  standing = iota // the newest generation: rotate
	repeated                 // its predecessor in grace, while the newest is unused: the same successor
	reused                   // any other older generation: the session must end
	ahead                    // a generation that was never given out
	ended                    // the session was ended early
	over                     // its idle or absolute end has passed
)

// judge is the rule of rotation. The stored generation is the newest one given
// out and counts up with each rotation, so a predecessor whose successor was
// used is two behind.
func (l Lifetimes) judge(s store.Session, d sessionData, g store.Generation, now time.Time) standing {
	switch {
	case s.Ended:
		return ended
	case !now.Before(l.over(s, d)):
		return over
	case g > s.Generation:
		return ahead
	case g == s.Generation:
		return current
	case g+1 == s.Generation && l.Grace > 0 && now.Before(d.used().Add(l.Grace)):
		return repeated
	default:
		return reused
	}
}

// begin records a new session for what a code stands for.
func (is *Issuer) begin(ctx context.Context, d codeData, now time.Time) (store.Session, sessionData, error) {
	data := sessionData{
		MAC: is.cfg.Keys.CurrentMAC(now), Begun: now.Unix(), Used: now.UnixMilli(),
		Grant: GrantAuthorizationCode, Audience: d.Audience, Scopes: d.Scopes, AuthTime: d.AuthTime,
	}
	end := now.Add(is.cfg.Lifetimes.SessionAbsolute).Truncate(time.Second).UTC()
	s := store.Session{ID: store.NewID(now, end), End: end, Generation: 1, Client: d.Client, Subject: d.Subject}
	var err error
	if s.Data, err = json.Marshal(data); err != nil {
		return s, data, err
	}
	err = is.cfg.Engine.Sessions().Create(ctx, s)
	if errors.Is(err, store.ErrUnknown) {
		_, err = is.cfg.Engine.Sessions().Load(ctx, s.ID)
	}
	return s, data, err
}

// errNoSession says that there is no such session, or the token does not
// belong to it.
var errNoSession = errors.New("issuer: no such session")

// load returns the session that h is a genuine refresh token of. The error is
// errNoSession with a reason for the log, or the store's.
func (is *Issuer) load(ctx context.Context, h handle) (store.Session, sessionData, error) {
	s, err := is.cfg.Engine.Sessions().Load(ctx, h.id)
	if errors.Is(err, store.ErrNotFound) {
		return s, sessionData{}, fmt.Errorf("%w: %s is not stored", errNoSession, h.id)
	}
	if err != nil {
		return s, sessionData{}, err
	}
	var d sessionData
	if err := json.Unmarshal(s.Data, &d); err != nil {
		return s, d, fmt.Errorf("issuer: session %s: %w", s.ID, err)
	}
	switch ok, err := is.genuine(d.MAC, h); {
	case err != nil:
		return s, d, fmt.Errorf("issuer: session %s: %w", s.ID, err)
	case !ok:
		return s, d, fmt.Errorf("%w: bad MAC for %s", errNoSession, h.id)
	}
	return s, d, nil
}

// endTimeout bounds how long ending a session may take: it goes on when the
// caller has left.
const endTimeout = 10 * time.Second

// end ends a session: first in the feed, so that a session marked as ended is
// always in it, then in the store. It reports whether this call did it; a
// session that has ended already is left alone. Calls at once are one.
func (is *Issuer) end(ctx context.Context, id store.ID, now time.Time) (bool, error) {
	did := false
	_, err, _ := is.ending.Do(id.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		var err error
		did, err = is.endNow(ctx, id, now)
		return nil, err
	})
	return did && err == nil, err
}

func (is *Issuer) endNow(ctx context.Context, id store.ID, now time.Time) (bool, error) {
	sessions := is.cfg.Engine.Sessions()
	s, err := sessions.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && s.Ended {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last := now.Add(is.cfg.Lifetimes.MaxAccess)
	if s.End.Before(last) {
		last = s.End
	}
	if err := is.add(ctx, store.Revocation{Kind: store.RevokedSession, Value: id.String(), End: accepted(last)}); err != nil {
		return false, err
	}
	if err := sessions.Revoke(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	return true, nil
}

// maxLeeway is the most a gate may allow clocks to disagree.
const maxLeeway = time.Minute

// accepted is the end of a revocation of what ends at end: the last instant any
// gate may accept it, and 10 minutes.
func accepted(end time.Time) time.Time {
	return end.Add(maxLeeway + store.RetireDelay).Truncate(time.Second).UTC()
}
