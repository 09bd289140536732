package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	stillPending  = "authorization_pending"
	slowDown      = "slow_down"
	deviceGrant   = "urn:ietf:params:oauth:grant-type:device_code"
	usualInterval = 5 * time.Second // RFC 8628 section 3.2
	slower        = 5 * time.Second // section 3.5
	afterDenial   = 5 * time.Minute
	maxURI        = 2048
)

// DeviceCode is what a person is to enter, and where.
type DeviceCode struct {
	UserCode string
	URI      string    // verification_uri
	Complete string    // verification_uri_complete: the same with the code in it; may be empty
	Expires  time.Time // nobody can enter it from then on
}

// pending is a device code that nobody has entered yet.
type pending struct {
	Code     string        `json:"code"`
	User     DeviceCode    `json:"user"`
	Interval time.Duration `json:"interval"`
	Next     time.Time     `json:"next"` // not to be asked for before
}

// Device returns a provider of tokens for a person who signs in with another
// device (RFC 8628). prompt shows the code; it must not block. A code outlives
// the fetch that got it: while nobody has entered it, each further fetch goes on
// waiting for the same one. With a refresh token in the answer nobody is asked
// again before that is over. Without a state file it is kept in memory.
func Device(cfg Config, state State, prompt func(DeviceCode)) fresh.Root[fresh.Token] {
	state.Seed = nil
	d := &device{refresher: newRefresher(cfg, state), prompt: prompt}
	if d.wrong == nil && (cfg.Client == "" || prompt == nil || cfg.TokenEndpoint != "" && cfg.DeviceEndpoint == "") {
		d.wrong = fresh.Fail(fresh.Misconfigured, "a device code needs a client, a prompt and, beside a token endpoint, a device endpoint")
	}
	return d.counted(d.fetch)
}

type device struct {
	*refresher
	prompt func(DeviceCode)
	shown  string // the code that was prompted for, hashed; guarded by the vault's lock
}

func (d *device) fetch(ctx context.Context, _ time.Time) (fresh.Credential[fresh.Token], error) {
	none := fresh.Credential[fresh.Token]{}
	if d.wrong != nil {
		return none, d.wrong
	}
	release, err := d.vault.lock(ctx)
	if err != nil {
		return none, err
	}
	defer release()
	rec, err := d.open()
	if err != nil {
		return none, err
	}
	if c, ok := d.shared(rec); ok {
		return c, nil
	}
	c, err := d.renew(ctx, rec)
	if !errors.Is(err, ErrSignIn) {
		return c, err
	}
	return d.signIn(ctx, record{Of: rec.Of, Device: rec.Device})
}

// signIn has a person sign in: with the code that waits, or with a new one.
func (d *device) signIn(ctx context.Context, rec record) (fresh.Credential[fresh.Token], error) {
	none := fresh.Credential[fresh.Token]{}
	if rec.Device == nil || !d.cfg.Now().Before(rec.Device.User.Expires) {
		p, err := d.begin(ctx)
		if err != nil {
			return none, err
		}
		rec.Device = &p
		if err := d.vault.save(rec); err != nil {
			return none, err
		}
	}
	if name := hash(rec.Device.Code); d.shown != name {
		d.shown = name
		d.prompt(rec.Device.User)
	}
	for {
		c, again, err := d.poll(ctx, rec)
		if !again {
			return c, err
		}
	}
}

// begin asks for a code.
func (d *device) begin(ctx context.Context) (pending, error) {
	form := d.cfg.form("")
	form.Del("grant_type")
	now := d.cfg.Now()
	q, err := d.prepare(ctx, deviceOf, form, now)
	if err != nil {
		return pending{}, err
	}
	a, err := d.send(ctx, q)
	if err != nil {
		return pending{}, err
	}
	return readDevice(a, now)
}

// poll waits for its turn and asks once whether the person is done.
func (d *device) poll(ctx context.Context, rec record) (c fresh.Credential[fresh.Token], again bool, err error) {
	p := rec.Device
	if err := sleep(ctx, min(p.Next.Sub(d.cfg.Now()), p.Interval)); err != nil { // no longer, wherever the clock went
		waits := fmt.Sprintf("nobody has entered the code %s at %s yet", p.User.UserCode, p.User.URI)
		return c, false, d.put(rec, fresh.Fail(fresh.Unavailable, "%s", waits))
	}
	form := url.Values{"grant_type": {deviceGrant}, "device_code": {p.Code}}
	now := d.cfg.Now()
	p.Next = now.Add(p.Interval)
	q, err := d.prepare(ctx, tokenOf, form, now)
	if err != nil {
		return c, false, err
	}
	got, err := d.granted(context.WithoutCancel(ctx), q) // as for a refresh
	if err == nil {
		c, err = d.keep(rec, got, now)
		return c, false, err
	}
	again, err = d.judge(rec, err)
	return c, again, err
}

// judge reads a poll's refusal (RFC 8628 section 3.5). A refusal of another kind,
// of the client or for the moment, leaves the code to the person who has it.
func (d *device) judge(rec record, err error) (again bool, _ error) {
	var no *Error
	if !errors.As(err, &no) {
		return false, d.put(rec, err)
	}
	var e *fresh.Error
	switch no.Code {
	case stillPending:
		return true, nil
	case slowDown:
		rec.Device.Interval += slower
		rec.Device.Next = rec.Device.Next.Add(slower)
		return true, nil
	case "access_denied":
		if errors.As(err, &e) {
			e.RetryAfter = max(e.RetryAfter, afterDenial)
		}
		rec.Device = nil
	case "expired_token", "invalid_grant", "incorrect_device_code": // the last is GitHub's
		rec.Device = nil
	}
	return false, d.put(rec, err)
}

// readDevice reads a device authorization answer (RFC 8628 section 3.2).
func readDevice(a ask.Answer, now time.Time) (pending, error) {
	var body struct {
		DeviceCode string          `json:"device_code"`
		UserCode   string          `json:"user_code"`
		URI        string          `json:"verification_uri"`
		Early      string          `json:"verification_url"` // of services that came before the RFC
		Complete   string          `json:"verification_uri_complete"`
		ExpiresIn  json.RawMessage `json:"expires_in"`
		Interval   json.RawMessage `json:"interval"`
	}
	if err := a.JSON(theService, &body); err != nil {
		return pending{}, err
	}
	body.URI = firstOf(body.URI, body.Early)
	life, said, err := seconds(body.ExpiresIn)
	if err != nil {
		return pending{}, err
	}
	if !said {
		life = unstated
	}
	interval, said, err := seconds(body.Interval)
	switch {
	case err != nil:
		return pending{}, err
	case !said:
		interval = usualInterval
	}
	switch {
	case !printableToken(body.DeviceCode), body.UserCode == "", printable(body.UserCode, 100) != body.UserCode, !shows(body.URI):
		return pending{}, fresh.Fail(fresh.Malformed, "%s answered no usable device code", theService)
	case life <= 0:
		return pending{}, fresh.Fail(fresh.Ended, "%s answered a device code that is over", theService)
	case !shows(body.Complete):
		body.Complete = ""
	}
	interval = min(max(interval, time.Second), time.Minute)
	return pending{
		Code: body.DeviceCode, Interval: interval, Next: now.Add(interval),
		User: DeviceCode{UserCode: body.UserCode, URI: body.URI, Complete: body.Complete, Expires: now.Add(life).Round(0).UTC()},
	}, nil
}

// shows reports whether a person can be sent to uri.
func shows(uri string) bool { return len(uri) <= maxURI && ask.CheckURL(uri) == nil }
