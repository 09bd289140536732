//go:build !unix

package oauth

import (
	"context"

	"github.com/longcase/longcase/fresh"
)

const noFollow = 0

// lockFile refuses: without a lock that ends with its process, two processes
// could present one refresh token.
func lockFile(context.Context, string) (func(), error) {
	return nil, fresh.Fail(fresh.Misconfigured, "a refresh token can be kept in a file on Unix systems only")
}
