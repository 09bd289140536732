package google

import (
	"encoding/json"
	"errors"
	"fmt"
)

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
