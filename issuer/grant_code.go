package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/verify/early"
)

// authorizationCode redeems a code (RFC 6749 section 4.1.3, RFC 7636 section
// 4.6). A second use ends what the first one made.
func (is *Issuer) authorizationCode(ctx context.Context, c *call) (answer, *refusal) {
	doc, d, refused := is.codeOf(ctx, c)
	if refused != nil {
		return answer{}, refused
	}
	c.event.Subject, c.event.Session, c.event.Audience = d.Subject, d.Session, d.Audience
	if d.Used {
		return answer{}, is.stopSecondUse(ctx, c, d)
	}
	if refused := is.judgeCode(c, d); refused != nil {
		return answer{}, refused
	}
	if refused := is.stillConsented(ctx, c, d); refused != nil {
		return answer{}, refused
	}
	return is.redeem(ctx, c, doc, d)
}

// badCode is the one answer to a code that does not work; the log says why.
func badCode(why string, args ...any) *refusal {
	return refuse(invalidGrant, "the code is not valid, over, used, another client's, or code_verifier or redirect_uri do not match: sign in again").because(why, args...)
}

// codeOf finds the code of the request for its own client. Strangers learn and
// change nothing.
func (is *Issuer) codeOf(ctx context.Context, c *call) (store.Document, codeData, *refusal) {
	text := c.form.get("code")
	if text == "" {
		return store.Document{}, codeData{}, refuse(invalidRequest, "send code")
	}
	h, err := parseCode(text)
	if err != nil {
		return store.Document{}, codeData{}, badCode("not a code of this issuer")
	}
	doc, d, err := is.loadCode(ctx, h.id)
	if errors.Is(err, store.ErrNotFound) {
		return doc, d, badCode("not stored")
	}
	if err != nil {
		return doc, d, unavailable("load the code", err)
	}
	switch ok, err := is.genuine(d.MAC, h); {
	case err != nil:
		return doc, d, unavailable("authenticate the code", err)
	case !ok:
		return doc, d, badCode("bad MAC")
	case d.Client != c.client.ID:
		return doc, d, badCode("belongs to client %q", d.Client)
	}
	return doc, d, nil
}

func (is *Issuer) loadCode(ctx context.Context, id store.ID) (store.Document, codeData, error) {
	var d codeData
	doc, err := is.cfg.Engine.Documents().Get(ctx, store.Code, id)
	if err == nil {
		err = json.Unmarshal(doc.Data, &d)
	}
	return doc, d, err
}

// judgeCode refuses a code that may not be redeemed by this request under
// today's policy. It changes nothing.
func (is *Issuer) judgeCode(c *call, d codeData) *refusal {
	switch {
	case !c.now.Before(time.UnixMilli(d.Expires)):
		return badCode("its end has passed")
	case c.form.get("redirect_uri") != d.RedirectURI:
		return badCode("redirect_uri differs from the authorization request's")
	case !verifies(c.form.get("code_verifier"), d.Challenge):
		return badCode("code_verifier does not match")
	case !slices.Contains(c.client.Audiences, d.Audience):
		return badCode("client %q may no longer ask for audience %q", c.client.ID, d.Audience)
	}
	return sameAudience(c.form.targets(), d.Audience)
}

// stillConsented refuses a code whose user or client was cut off after the user
// signed in or the code was made.
func (is *Issuer) stillConsented(ctx context.Context, c *call, d codeData) *refusal {
	if err := is.early.fresh(ctx, is.cfg.Engine.Revocations(), c.now); err != nil {
		return unavailable("read the early ends", err)
	}
	return is.consented(d)
}

// notMeanwhile judges once more when the session is stored, by what the store
// holds now. Who ends a client, a user or everything writes that down before
// looking for sessions, so one of the two sees the other.
func (is *Issuer) notMeanwhile(ctx context.Context, c *call, d codeData) *refusal {
	if err := is.early.sync(ctx, is.cfg.Engine.Revocations(), c.now); err != nil {
		return unavailable("read the early ends", err)
	}
	if refused := is.consented(d); refused != nil || d.Session == "" {
		return refused
	}
	switch ended, err := is.endedAll(ctx, time.Unix(d.AuthTime, 0)); {
	case err != nil:
		return unavailable("read when all sessions were ended", err)
	case ended:
		return badCode("every session was ended after its user had signed in")
	}
	return nil
}

func (is *Issuer) consented(d codeData) *refusal {
	if is.early.endedSession(store.Session{Subject: d.Subject}, time.Unix(d.AuthTime, 0)) ||
		is.early.endedSession(store.Session{Client: d.Client}, time.Unix(d.Made, 0)) {
		return badCode("its user or client was cut off after it was made")
	}
	return nil
}

// verifies checks a code_verifier by S256 (RFC 7636 section 4.6). Both must be
// there or neither.
func verifies(verifier, challenge string) bool {
	if challenge == "" || verifier == "" {
		return challenge == verifier
	}
	if len(verifier) < 43 || len(verifier) > 128 || strings.ContainsFunc(verifier, reserved) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	got := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(got), []byte(challenge)) == 1
}

// reserved reports whether r may not stand in a code_verifier (RFC 7636 section
// 4.1).
func reserved(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	default:
		return !strings.ContainsRune("-._~", r)
	}
}

// redeem records the use and issues. The session exists before the code says
// that it was used, so a second use always finds what to end; the code's
// Replace decides who is first.
func (is *Issuer) redeem(ctx context.Context, c *call, doc store.Document, d codeData) (answer, *refusal) {
	e := entitlement{
		client: d.Client, subject: d.Subject, audience: d.Audience, jti: is.newID(), signedIn: d.AuthTime, nonce: d.Nonce,
		scopes: slices.DeleteFunc(slices.Clone(d.Scopes), func(s string) bool { return !c.client.has(s) }),
	}
	d.Scopes = e.scopes
	if !c.client.may(GrantRefreshToken) || is.cfg.Lifetimes.SessionAbsolute == 0 {
		a, refused := is.issue(c, e)
		if refused == nil {
			refused = is.spend(ctx, c, doc, d.use(e, is.accessEnd(c.now, e.end)), store.ID{})
		}
		return a, refused
	}
	s, kept, err := is.begin(ctx, d, c.now)
	if err != nil {
		return answer{}, unavailable("begin the session", err)
	}
	e.session, e.end = s.ID.String(), s.End
	a, refused := is.successor(c, s, kept, e)
	if refused != nil {
		is.discard(ctx, s.ID)
		return answer{}, refused
	}
	return a, is.spend(ctx, c, doc, d.use(e, is.accessEnd(c.now, e.end)), s.ID)
}

// use is d after its use made what e entitles to.
func (d codeData) use(e entitlement, end time.Time) codeData {
	d.Used, d.Session, d.Token, d.TokenEnd = true, e.session, e.jti, end.Unix()
	return d
}

// spend marks the code as used. Whoever comes second takes back the session it
// began and ends the first one's too; so does whoever was cut off meanwhile.
func (is *Issuer) spend(ctx context.Context, c *call, doc store.Document, d codeData, began store.ID) *refusal {
	if refused := is.notMeanwhile(ctx, c, d); refused != nil {
		is.discard(ctx, began)
		return refused
	}
	var err error
	if doc.Data, err = json.Marshal(d); err != nil {
		return unavailable("mark the code as used", err)
	}
	err = is.cfg.Engine.Documents().Replace(ctx, doc, doc.Version)
	if err == nil {
		return nil
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnknown) {
		_, found, loadErr := is.loadCode(ctx, doc.ID)
		switch {
		case loadErr == nil && found.Token == d.Token:
			return nil // it was written after all
		case loadErr == nil && found.Used:
			is.discard(ctx, began)
			return is.stopSecondUse(ctx, c, found)
		}
	}
	is.discard(ctx, began)
	return unavailable("mark the code as used", err)
}

// discard ends a session that nobody was given. A failure leaves a session
// whose refresh token no one has.
func (is *Issuer) discard(ctx context.Context, id store.ID) {
	if id == (store.ID{}) {
		return
	}
	if err := is.cfg.Engine.Sessions().Revoke(context.WithoutCancel(ctx), id); err != nil {
		is.cfg.Log.LogAttrs(ctx, levelError, "a session that was never handed out stays until its end", reasonOf(err))
	}
}

// stopSecondUse ends the session and the token that the first use made.
func (is *Issuer) stopSecondUse(ctx context.Context, c *call, d codeData) *refusal {
	did, err := is.endUse(ctx, d, c.now)
	if err != nil {
		return unavailable("end what the code's first use made", err)
	}
	r := badCode("used before: what it made is ended")
	c.event.Session = d.Session
	if did {
		is.reused(c.event, r, "code reused")
	}
	return r
}

func (is *Issuer) endUse(ctx context.Context, d codeData, now time.Time) (bool, error) {
	if d.Session != "" {
		id, err := store.ParseID(d.Session)
		if err != nil {
			return false, err
		}
		return is.end(ctx, id, now)
	}
	end := time.Unix(d.TokenEnd, 0)
	if !now.Before(end) || is.early.Has(early.Token, d.Token) {
		return false, nil
	}
	return true, is.add(ctx, store.Revocation{Kind: store.RevokedToken, Value: d.Token, End: accepted(end)})
}
