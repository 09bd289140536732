package verify

import (
	"context"
	"errors"
	"time"

	"github.com/longcase/longcase/token"
)

// checkBinding asks for the proof of every key that the token is bound to (RFC
// 9449 section 7.2, RFC 8705 section 3), and of the kind that the route wants.
// As a mere bearer token a bound one must not pass.
func checkBinding(c *token.Claims, need Need, now time.Time) error {
	bound := c.Confirm
	switch {
	case need.Binding == DPoP && bound.JKT == "":
		return token.Refuse(token.BindingMissing, "this route takes tokens that are bound to a DPoP key; cnf has no jkt")
	case need.Binding == MTLS && bound.X5T == "":
		return token.Refuse(token.BindingMissing, "this route takes tokens that are bound to a client certificate; cnf has no x5t#S256")
	case bound == token.Confirmation{}:
		return nil
	case bound.Other != "":
		return token.Refuse(token.BindingMissing, "cnf asks for the proof of %.40q, which is not understood here; jkt and x5t#S256 are", bound.Other)
	case need.Shown == nil:
		return token.Refuse(token.BindingMissing, "cnf binds the token to a key; it came without proof of that key")
	}
	shown, err := need.Shown(now)
	if err != nil {
		return asRefusal(err, token.BindingMissing)
	}
	if err := matches("jkt", "a DPoP proof", bound.JKT, shown.JKT); err != nil {
		return err
	}
	return matches("x5t#S256", "a client certificate", bound.X5T, shown.X5T)
}

// matches compares what one member of cnf demands with what was shown.
func matches(member, proof, bound, shown string) error {
	switch {
	case bound == "" || bound == shown:
		return nil
	case shown == "":
		return token.Refuse(token.BindingMissing, "cnf.%s binds the token to a key; it came without %s", member, proof)
	}
	return token.Refuse(token.BindingMismatch, "cnf.%s is %q; %s of %q came with it", member, token.Clip(bound), proof, token.Clip(shown))
}

// maxTokenID is how many bytes the "jti" of a token may have that is to be
// remembered.
const maxTokenID = 512

// checkOnce uses the token up. It comes last, so that a token that is refused
// for another reason is not.
func (v *Verifier) checkOnce(ctx context.Context, c *token.Claims, need Need) error {
	if !need.Once {
		return nil
	}
	if n := len(c.ID); n > maxTokenID {
		return token.Refuse(token.TooLarge, "jti has %d bytes; %d are the most that a single use is remembered by", n, maxTokenID)
	}
	if v.first == nil {
		return token.Refuse(token.RevocationsStale, "single uses are asked for, and nothing here remembers them")
	}
	switch first, refused := v.first.Use(ctx, "jti", c.Issuer+"\x00"+c.ID, c.Expires.Add(MaxLeeway)); {
	case refused != nil:
		return refused
	case !first:
		return token.Refuse(token.Replayed, "jti %q was used before; this route takes each token once", token.Clip(c.ID))
	}
	return nil
}

// A First remembers single uses: true for the first use of key. End follows from
// signed content and constants alone; until then a use is remembered.
type First func(ctx context.Context, kind, key string, end time.Time) (bool, error)

// Use reports whether this is the first use of key. Where nobody can say, the
// refusal is not nil: nothing is used twice for want of memory.
func (f First) Use(ctx context.Context, kind, key string, end time.Time) (bool, *token.Error) {
	first, err := f(ctx, kind, key, end)
	if err != nil {
		return false, &token.Error{Reason: token.RevocationsStale, Detail: "the memory of single uses cannot be asked", Err: err}
	}
	return first, nil
}

// asRefusal is err if that is a refusal, else one for reason.
func asRefusal(err error, reason token.Reason) error {
	var e *token.Error
	if errors.As(err, &e) {
		return e
	}
	return &token.Error{Reason: reason, Err: err}
}
