// Package fresh keeps credentials fresh: chains of them, each got with the help
// of the one before, each with its own end.
//
// A Layer holds one lease and renews it before its end, once, however many
// callers ask. Layers stand on layers: From makes a layer whose renewals take a
// lease of its parent.
//
//	session := fresh.New(aws.SessionToken(aws.IMDS{}), fresh.Policy{Name: "imds"})
//	role := fresh.From(session, aws.InstanceRole(aws.IMDS{}), fresh.Policy{Name: "role"})
//	lease, err := role.Get(ctx)
//
// No caller is ever handed a lease that is over: the wall clock and the monotonic
// clock are both judged, so that neither a clock that is set nor a machine that
// slept keeps a lease alive, and an issuer's Date corrects a host whose clock is
// wrong. While renewals fail, the lease in hand serves until its end; the failure
// is shared by all callers, and says when the next attempt is.
//
// When a fetch fails because of what it was given, it says so with Blame: exactly
// the layer to blame is renewed, once, and the fetch is repeated, once, if that
// brought another value. When a service refuses a lease before its end,
// Invalidate makes the next Get renew it; a lease that was replaced already is
// nobody's loss, and a storm of refusals is met with pauses.
//
// Two clocks cannot tell a wall that was set back from a machine that slept, if
// both happen between two looks at them: Get, Status and, each minute, Run look.
//
// The package knows no protocol and no socket; fresh/aws, fresh/google,
// fresh/azure, fresh/oauth and the others do.
package fresh
