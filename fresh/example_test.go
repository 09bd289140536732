package fresh_test

import (
	"context"
	"fmt"
	"time"

	"github.com/longcase/longcase/fresh"
)

// A role's keys are got with a session token. The session is killed long before
// its end: the layer to blame is renewed, and the caller sees nothing of it.
func Example() {
	sessions, killed := 0, ""
	session := fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		sessions++
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: fmt.Sprint("session-", sessions)}, Life: 6 * time.Hour}, nil
	}, fresh.Policy{Name: "session"})

	role := fresh.From(session, func(_ context.Context, from fresh.Lease[fresh.Token], _ time.Time) (fresh.Credential[string], error) {
		if from.Value.Value == killed {
			return fresh.Credential[string]{}, fresh.Blame(from, fresh.Fail(fresh.Refused, "the metadata service answered 401"))
		}
		return fresh.Credential[string]{Value: "keys by " + from.Value.Value, Life: time.Hour}, nil
	}, fresh.Policy{Name: "role"})

	ctx := context.Background()
	lease, err := role.Get(ctx)
	fmt.Println(lease.Value, lease.Generation, err)

	killed = "session-1"
	role.Invalidate(lease) // some service refused the keys
	lease, err = role.Get(ctx)
	fmt.Println(lease.Value, lease.Generation, err)
	fmt.Println(session.Status().Last)
	// Output:
	// keys by session-1 1 <nil>
	// keys by session-2 2 <nil>
	// healed
}
