package fresh

import (
	"fmt"
	"io"
)

// Run measures everything and writes the tables to w.
func Run(w io.Writer) error {
	for _, part := range []func(io.Writer) error{Cached, Crowd, Heal, Many} {
		if err := part(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return nil
}
