package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longcase/longcase/store"
)

// maxPage bounds one page of sessions.
const maxPage = 1000

// SessionFilter chooses sessions; empty fields choose all.
type SessionFilter struct {
	Client  string
	Subject string
	Before  time.Time // begun before it
	After   string    // the page behind this id
	Limit   int       // of sessions looked at for one page; default and most 1000
}

// SessionInfo is what an administrator sees of a session. Times are UTC.
type SessionInfo struct {
	ID         string
	Client     string
	Subject    string
	Audience   string
	Scopes     []string
	Generation uint64
	Begun      time.Time
	Used       time.Time // beginning or last refresh
	Idle       time.Time // when it ends if it is used no more
	End        time.Time // absolute end
	Ended      bool
}

// ListSessions returns one page of the live sessions that f chooses, and what
// After of the next page is: empty on the last. Those that are over by idleness
// are among them. It reads the whole range.
func (is *Issuer) ListSessions(ctx context.Context, f SessionFilter) ([]SessionInfo, string, error) {
	if f.Limit <= 0 || f.Limit > maxPage {
		f.Limit = maxPage
	}
	return is.listSessions(ctx, f)
}

func (is *Issuer) listSessions(ctx context.Context, f SessionFilter) ([]SessionInfo, string, error) {
	var after store.ID
	if f.After != "" {
		var err error
		if after, err = store.ParseID(f.After); err != nil {
			return nil, "", err
		}
	}
	page, err := is.cfg.Engine.Sessions().List(ctx, after, f.Limit)
	if err != nil {
		return nil, "", err
	}
	var found []SessionInfo
	for _, s := range page {
		if info := is.info(s); f.chooses(info) {
			found = append(found, info)
		}
	}
	next := ""
	if len(page) == f.Limit {
		next = page[len(page)-1].ID.String()
	}
	return found, next, nil
}

func (f SessionFilter) chooses(s SessionInfo) bool {
	return (f.Client == "" || f.Client == s.Client) && (f.Subject == "" || f.Subject == s.Subject) &&
		(f.Before.IsZero() || s.Begun.Before(f.Before))
}

// info shows a session. One whose data cannot be read shows as begun at the
// beginning of time, so that it can still be ended.
func (is *Issuer) info(s store.Session) SessionInfo {
	var d sessionData
	if err := json.Unmarshal(s.Data, &d); err != nil {
		d = sessionData{}
	}
	return SessionInfo{
		ID: s.ID.String(), Client: s.Client, Subject: s.Subject, Audience: d.Audience, Scopes: d.Scopes,
		Generation: uint64(s.Generation), Begun: d.begun().UTC(), Used: d.used().UTC(), Idle: is.cfg.Lifetimes.over(s, d).UTC(),
		End: s.End.UTC(), Ended: s.Ended,
	}
}

// RevokeSession ends one session and its access tokens, and reports whether it
// did: it may have ended already. The error is store.ErrBadID,
// store.ErrNotFound or the store's.
func (is *Issuer) RevokeSession(ctx context.Context, id string) (bool, error) {
	key, err := store.ParseID(id)
	if err != nil {
		return false, err
	}
	if _, err := is.cfg.Engine.Sessions().Load(ctx, key); err != nil {
		return false, err
	}
	did, err := is.end(ctx, key, is.cfg.Now())
	if did {
		is.tellEnded(ctx, Event{Session: id, Reason: "ended by administration"})
	}
	return did, err
}

// RevokeClient ends the client's sessions that began before an instant, and
// every access token issued to it before. The zero time is now. It returns how
// many sessions it ended.
func (is *Issuer) RevokeClient(ctx context.Context, client string, before time.Time) (int, error) {
	return is.revokeAll(ctx, store.RevokedClient, client, SessionFilter{Client: client, Before: before})
}

// RevokeSubject ends the sessions, sign-ins and access tokens of a user that
// began before an instant, as RevokeClient does.
func (is *Issuer) RevokeSubject(ctx context.Context, subject string, before time.Time) (int, error) {
	return is.revokeAll(ctx, store.RevokedSubject, subject, SessionFilter{Subject: subject, Before: before})
}

// RevokeAllBefore ends every session and every sign-in that began before an
// instant, those included that a restored backup brought back. The zero time is
// now. Access tokens without a session stay until their end.
func (is *Issuer) RevokeAllBefore(ctx context.Context, before time.Time) (int, error) {
	now := is.cfg.Now()
	before = instant(before, now)
	if err := is.endAllBefore(ctx, before, now); err != nil {
		return 0, fmt.Errorf("issuer: revoke all before %s: %w", before.Format(time.RFC3339), err)
	}
	n, err := is.endAll(ctx, SessionFilter{Before: before}, now)
	is.settle(ctx, before)
	return n, err
}

// allEnded is the registry's key of the latest instant that RevokeAllBefore was
// given: sign-ins, and a session that is being stored meanwhile, are held against
// it.
const allEnded = "sessions/ended-before"

func (is *Issuer) allEndedBefore(ctx context.Context) (time.Time, error) {
	e, err := is.cfg.Engine.Registry().Get(ctx, allEnded)
	if err != nil || e.Value == nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, string(e.Value))
}

// endedAll reports whether what began at begun ended with everything else. An
// instant that is still ahead was written by a clock that was wrong.
func (is *Issuer) endedAll(ctx context.Context, begun time.Time) (bool, error) {
	all, err := is.allEndedBefore(ctx)
	return begun.Before(all) && all.Sub(is.cfg.Now()) <= maxLeeway, err
}

func (is *Issuer) endAllBefore(ctx context.Context, before, now time.Time) error {
	for {
		e, err := is.cfg.Engine.Registry().Get(ctx, allEnded)
		if err != nil {
			return err
		}
		known, err := time.Parse(time.RFC3339, string(e.Value))
		if err == nil && !known.Before(before) && known.Sub(now) <= maxLeeway { // further ahead a wrong clock wrote it
			return nil
		}
		err = is.cfg.Engine.Registry().Put(ctx, allEnded, []byte(before.Format(time.RFC3339)), e.Version)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrUnknown) {
			return err
		}
	}
}

// RevokeKey puts a key that was withdrawn into the feed, so that gates refuse
// its tokens at once. The key ring must have let go of it before.
func (is *Issuer) RevokeKey(ctx context.Context, kid string) error {
	entry := store.Revocation{Kind: store.RevokedKey, Value: kid, End: accepted(is.cfg.Now().Add(longestAccess))}
	if err := is.add(ctx, entry); err != nil {
		return fmt.Errorf("issuer: revoke key %q: %w", kid, err)
	}
	is.tellEnded(ctx, Event{Reason: fmt.Sprintf("key %q was withdrawn", kid)})
	return nil
}

// longestAccess is the longest life an access token may have under any
// configuration.
const longestAccess = 24 * time.Hour

// instant is before in whole seconds: the zero time is now, the future is now,
// and now includes the tokens of this very second.
func instant(before, now time.Time) time.Time {
	next := now.Truncate(time.Second).Add(time.Second)
	if before.IsZero() || before.After(next) {
		return next.UTC()
	}
	return before.Truncate(time.Second).UTC()
}

// revokeAll puts one entry about many tokens into the feed and then ends the
// sessions themselves, which outlive the entry.
func (is *Issuer) revokeAll(ctx context.Context, kind store.RevocationKind, value string, f SessionFilter) (int, error) {
	now := is.cfg.Now()
	f.Before = instant(f.Before, now)
	entry := store.Revocation{Kind: kind, Value: value, Before: f.Before, End: accepted(now.Add(is.longestLife(kind)))}
	if err := is.add(ctx, entry); err != nil {
		return 0, fmt.Errorf("issuer: revoke %s %q: %w", kind, value, err)
	}
	is.tellEnded(ctx, Event{Client: f.Client, Subject: f.Subject, Reason: "everything before " + f.Before.Format(time.RFC3339) + " ended by administration"})
	n, err := is.endAll(ctx, f, now)
	is.settle(ctx, f.Before)
	return n, err
}

// settle waits for the rest of the second that an early end includes, so that
// what begins when the command is done is not refused.
func (is *Issuer) settle(ctx context.Context, before time.Time) {
	wait := time.NewTimer(before.Sub(is.cfg.Now()))
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
	}
}

// How many sessions are ended at once, so that they share the store's writes,
// how many are looked at for that at once (on some engines each page reads the
// whole range), and how long ending all may take: it goes on when the caller has
// left.
const (
	endAtOnce     = 64
	endPage       = 1 << 16
	endAllTimeout = 30 * time.Minute
)

// endAll ends every session that f chooses, and returns how many it ended. What
// has ended stays so: after a failure it can be called again.
func (is *Issuer) endAll(ctx context.Context, f SessionFilter, now time.Time) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endAllTimeout)
	defer cancel()
	f.Limit = endPage
	n := 0
	for {
		page, next, err := is.listSessions(ctx, f)
		if err != nil {
			return n, err
		}
		did, err := is.endPage(ctx, page, now)
		n += did
		if err != nil || next == "" {
			return n, err
		}
		f.After = next
	}
}

func (is *Issuer) endPage(ctx context.Context, page []SessionInfo, now time.Time) (int, error) {
	var ended atomic.Int64
	var all errgroup.Group
	all.SetLimit(endAtOnce)
	for _, s := range page {
		all.Go(func() error {
			did, err := is.endListed(ctx, s, now)
			if did {
				ended.Add(1)
			}
			return err
		})
	}
	err := all.Wait()
	return int(ended.Load()), err
}

func (is *Issuer) endListed(ctx context.Context, s SessionInfo, now time.Time) (bool, error) {
	id, err := store.ParseID(s.ID)
	if err != nil || s.Ended {
		return false, err
	}
	did, err := is.end(ctx, id, now)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if did {
		is.tellEnded(ctx, Event{Session: s.ID, Client: s.Client, Subject: s.Subject, Reason: "ended by administration"})
	}
	return did, err
}

func (is *Issuer) tellEnded(ctx context.Context, e Event) {
	e.Endpoint = "admin"
	is.tell(ctx, is.cfg.Hooks.Ended, "ended", e)
}
