//go:build !linux

package clock

import (
	"errors"

	"github.com/longcase/longcase/verify/skew"
)

// kernel is asked on Linux only.
func kernel() (*skew.Host, error) { return nil, errors.New("clock: only Linux is asked") }
