package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

// ErrSignIn says that no refresh token is left that could work: a person must
// sign in again.
var ErrSignIn = errors.New("a person must sign in again")

// Refresh returns a provider of tokens for whoever signed in once (RFC 6749
// section 6). The refresh token may rotate: each answer replaces it in the state
// file before the access token is handed out, and processes that share the file
// take turns and share the access token.
//
// Before a refresh token is sent, the file says so. If no answer was kept, because
// the process died or the answer was lost, the same token is sent once more only
// while the service's grace lasts; then, since it may have been used up, it is
// never sent again, and a person must sign in (ErrSignIn). A service without a
// grace takes each such repeat for theft and ends the session: there, what dies
// between sending and keeping costs a sign-in, whatever a client does.
func Refresh(cfg Config, state State) fresh.Root[fresh.Token] {
	r := newRefresher(cfg, state)
	if r.wrong == nil && (state.File == "" || cfg.Client == "") {
		r.wrong = fresh.Fail(fresh.Misconfigured, "a refresh token needs a client and a state file")
	}
	return r.counted(r.fetch)
}

// refresher keeps one refresh token.
type refresher struct {
	*service
	state State
	vault *vault
	of    string // record.Of
	want  string // access.Want

	// Guarded by the vault's lock.
	last  string        // the access token handed out last, hashed
	began token.Instant // when this process sent what has no answer
	owed  *owed         // an answer that could not be written
}

// owed is a record that is not in the file yet, and what the file held.
type owed struct{ before, record record }

func newRefresher(cfg Config, state State) *refresher {
	if state.Grace == 0 {
		state.Grace = usualGrace
	}
	form := cfg.form("")
	return &refresher{
		service: newService(cfg), state: state, vault: newVault(state.File),
		of: hash(cfg.Issuer, cfg.TokenEndpoint, cfg.Client), want: hash(form.Encode()),
	}
}

// counted is fetch, whose credentials end by cfg.Now, as package fresh counts: from
// the beginning. A wait for the lock, or for a person, may be longer than a life
// and is no part of it.
func (r *refresher) counted(fetch fresh.Root[fresh.Token]) fresh.Root[fresh.Token] {
	return func(ctx context.Context, now time.Time) (fresh.Credential[fresh.Token], error) {
		began := r.cfg.Now()
		c, err := fetch(ctx, now)
		if err != nil {
			return fresh.Credential[fresh.Token]{}, err
		}
		return fresh.Credential[fresh.Token]{Value: c.Value, Life: cmp.Or(c.Expires.Sub(began), -1)}, nil
	}
}

func (r *refresher) fetch(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
	if r.wrong != nil {
		return fresh.Credential[fresh.Token]{}, r.wrong
	}
	release, err := r.vault.lock(ctx)
	if err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	defer release()
	rec, err := r.open()
	if err != nil {
		return fresh.Credential[fresh.Token]{}, err
	}
	if c, ok := r.shared(rec); ok {
		return c, nil
	}
	return r.renew(ctx, rec)
}

// open reads the state and begins it anew where the seed is a new one. A seed
// that was ever used before is an old token.
func (r *refresher) open() (record, error) {
	rec, err := r.vault.load()
	if err != nil {
		return rec, err
	}
	if rec.Of != "" && rec.Of != r.of {
		return rec, fresh.Fail(fresh.Misconfigured, "state file %s belongs to another client or service: give each its own", r.vault.file)
	}
	rec.Of = r.of
	if rec, err = r.repay(rec); err != nil {
		return rec, err
	}
	if r.state.Seed == nil {
		return rec, nil
	}
	seed, err := r.state.Seed()
	if err != nil || seed == "" {
		if len(rec.Seeds) > 0 {
			return rec, nil
		}
		return rec, &fresh.Error{Reason: fresh.Misconfigured, Detail: "the first refresh token cannot be read", Err: err}
	}
	if name := hash(seed); !slices.Contains(rec.Seeds, name) {
		seeds := append(rec.Seeds, name)
		rec = record{Of: r.of, Seeds: seeds[max(0, len(seeds)-maxSeeds):], Refresh: seed}
	}
	return rec, nil
}

// repay writes the answer that could not be written before, where nobody
// wrote another one meanwhile.
func (r *refresher) repay(rec record) (record, error) {
	if r.owed == nil {
		return rec, nil
	}
	if was := r.owed.before; was.Refresh != rec.Refresh || !was.Tried.Equal(rec.Tried) || was.code() != rec.code() {
		r.owed = nil
		return rec, nil
	}
	if err := r.vault.save(r.owed.record); err != nil {
		return rec, err
	}
	rec, r.owed = r.owed.record, nil
	return rec, nil
}

// shared is the access token that another process got meanwhile, if it is new to
// this one and has most of its life before it.
func (r *refresher) shared(rec record) (fresh.Credential[fresh.Token], bool) {
	a := rec.Access
	if a == nil || a.Want != r.want || r.last == hash(a.Value) || a.left(r.cfg.Now()) <= a.Life/2 {
		return fresh.Credential[fresh.Token]{}, false
	}
	r.last = hash(a.Value)
	return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: a.Value, Type: a.Type, Scope: a.Scope}, Expires: a.Expires}, true
}

// renew sends the refresh token.
func (r *refresher) renew(ctx context.Context, rec record) (fresh.Credential[fresh.Token], error) {
	none := fresh.Credential[fresh.Token]{}
	if rec.Refresh == "" {
		return none, signIn("%s", firstOf(rec.Refused, "there is no refresh token yet"))
	}
	form := r.cfg.form("refresh_token")
	form.Set("refresh_token", rec.Refresh)
	q, err := r.prepare(ctx, tokenOf, form, r.cfg.Now())
	if err != nil {
		return none, err
	}
	if err := r.settle(ctx, rec); err != nil { // last: what comes before may take long
		return none, err
	}
	before, sent := rec, r.cfg.Now()
	if rec.Again = sent.Round(0); rec.Tried.IsZero() {
		rec.Tried = rec.Again
		r.began = token.Instant{Wall: rec.Tried, Mono: fresh.Now().Mono}
	}
	if err := r.vault.save(rec); err != nil {
		return none, err
	}
	got, err := r.granted(context.WithoutCancel(ctx), q) // an answer that nobody waits for is a token lost
	if err != nil {
		return none, r.failed(before, rec, q, err)
	}
	return r.keep(rec, got, sent)
}

// settle judges whether a token whose last use has no answer may be sent again,
// and first lets a request that is still under way, from a process that died,
// arrive. What is too late once is so for ever, whatever the clock says then.
func (r *refresher) settle(ctx context.Context, rec record) error {
	if rec.Tried.IsZero() || rec.Kept || r.state.Grace < 0 {
		return nil
	}
	now := r.cfg.Now()
	if since := r.since(rec, now); !rec.Over && since >= 0 && since <= r.state.Grace*3/4 {
		return sleep(ctx, rec.Again.Add(r.state.Grace/60).Sub(now))
	}
	late := signIn("the refresh begun at %s has no answer, the service may have used the refresh token up, and its grace of %s is over",
		rec.Tried.UTC().Format(time.RFC3339), r.state.Grace)
	if rec.Over {
		return late
	}
	rec.Over = true
	return r.put(rec, late)
}

// since is how long ago rec's token was sent first, by the clock that says more:
// the wall's may have been set back, the other one stands while the machine is
// suspended, and is known to this process only.
func (r *refresher) since(rec record, now time.Time) time.Duration {
	since := now.Round(0).Sub(rec.Tried)
	if since >= 0 && r.began.Wall.Equal(rec.Tried) {
		since = max(since, fresh.Now().Mono-r.began.Mono)
	}
	return since
}

// failed keeps what is known after a refresh without a token.
func (r *refresher) failed(before, tried record, q *request, err error) error {
	var no *Error
	switch {
	case errors.As(err, &no) && no.ends():
		why := "the service no longer takes the refresh token (" + no.Error() + ")"
		if !before.Tried.IsZero() {
			why += "; the answer to an earlier refresh was lost"
		}
		return r.put(record{Of: tried.Of, Seeds: tried.Seeds, Refused: why}, signIn("%s", why))
	case q.unsent() || unused(err, q.status):
		return r.put(before, err)
	}
	return err
}

// put saves rec after a failure. Where that fails too, both are told.
func (r *refresher) put(rec record, err error) error {
	if wrong := r.vault.save(rec); wrong != nil {
		return errors.Join(err, wrong)
	}
	return err
}

// unused reports whether a service that answered so has not used the refresh
// token: it refused for another reason, had no time, or was not asked at all.
func unused(err error, status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return errors.Is(err, fresh.Refused) || errors.Is(err, fresh.Malformed) && status != http.StatusOK
}

// keep writes what was answered, before anyone gets it.
func (r *refresher) keep(rec record, got granted, sent time.Time) (fresh.Credential[fresh.Token], error) {
	before := rec
	rec.Kept = got.refresh == "" || got.refresh == rec.Refresh
	rec.Refresh = firstOf(got.refresh, rec.Refresh)
	rec.Tried, rec.Again, rec.Over, rec.Refused, rec.Device = time.Time{}, time.Time{}, false, "", nil
	rec.Access = nil
	life := lifeOf(got.Credential, sent, r.cfg.Now())
	if life > 0 {
		rec.Access = &access{Want: r.want, Value: got.Value.Value, Type: got.Value.Type, Scope: got.Value.Scope, Life: life, Expires: sent.Add(life)}
	}
	if err := r.vault.save(rec); err != nil {
		r.owed = &owed{before, rec}
		return fresh.Credential[fresh.Token]{}, err
	}
	r.last = hash(got.Value.Value)
	return fresh.Credential[fresh.Token]{Value: got.Value, Expires: sent.Add(life)}, nil
}

// lifeOf is c's life from sent on: the first of its ends.
func lifeOf(c fresh.Credential[fresh.Token], sent, received time.Time) time.Duration {
	if c.Expires.IsZero() {
		return c.Life
	}
	life := c.Expires.Sub(sent)
	if disagrees(c.Date, sent, received) {
		life = c.Expires.Sub(c.Date) - dateUnit
	}
	if c.Life != 0 {
		life = min(life, c.Life)
	}
	return life
}

const (
	dateUnit = time.Second    // the resolution of Date
	maxFast  = 26 * time.Hour // a Date further behind is not believed, as in package fresh
)

// disagrees reports whether the service's clock, by its Date, is another than
// ours: the exchange alone does not explain it.
func disagrees(date, sent, received time.Time) bool {
	ahead, behind := date.Sub(received), sent.Sub(date)
	return !date.IsZero() && (ahead > 0 || behind > dateUnit && behind <= maxFast)
}

func signIn(format string, args ...any) error {
	return &fresh.Error{Reason: fresh.Refused, Detail: fmt.Sprintf(format, args...), Err: ErrSignIn}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
