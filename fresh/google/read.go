package google

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/longcase/longcase/fresh"
)

func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, &fresh.Error{Reason: fresh.Unavailable, Detail: name + " cannot be read", Err: err}
	case len(data) > maxFile:
		return nil, fresh.Fail(fresh.Malformed, "%s has more than %d bytes", name, maxFile)
	}
	return data, nil
}

// badMember says which member of a JSON object has another type, or where the
// JSON is broken. It holds nothing of the object's values.
func badMember(err error) string {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Sprintf(": %s is a %s", wrongType.Field, wrongType.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf(": it breaks off or is wrong at byte %d", syntax.Offset)
	}
	return ""
}
