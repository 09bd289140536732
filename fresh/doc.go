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
// No caller is ever handed a lease that is over. When a fetch fails because of
// what it was given, it says so with Blame: exactly the layer to blame is
// renewed, once, and the fetch is repeated, once. When a service refuses a lease
// before its end, Invalidate makes the next Get renew it.
//
// The package knows no protocol and no socket; fresh/aws, fresh/google,
// fresh/azure, fresh/oauth and the others do.
package fresh
