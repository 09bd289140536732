package aws

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const (
	hidden  = "[aws keys]"
	recheck = 5 * time.Minute // a user's keys, which have no end, are asked for again
	unsaid  = 5 * time.Minute // the life of temporary keys whose end nobody says
)

// Keys sign requests to AWS. They never print.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty: the long-lived keys of a user
}

// Format implements fmt.Formatter: keys do not print, whatever the verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText implements encoding.TextMarshaler, for logs and JSON: keys do not
// print there either.
func (Keys) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// temporary reports whether the keys end, whether or not anyone says when.
func (k Keys) temporary() bool { return k.SessionToken != "" }

// sdk are the keys as the SDK's signer takes them.
func (k Keys) sdk() sdk.Credentials {
	return sdk.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken, Source: "longcase"}
}

// document is how metadata services, containers and programs write keys. Token
// is the name of the first two, SessionToken that of programs.
type document struct {
	Version         int
	Code, Message   string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	SessionToken    string
	Expiration      string // RFC 3339
}

func parseDocument(what string, body []byte) (document, error) {
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fresh.Fail(fresh.Malformed, "%s answered what is not the JSON it should be", what)
	}
	return d, nil
}

// credential is what the document says, at the service's time date. Where it
// says no end, temporary keys live 5 min, and a user's are to be asked for again.
func (d document) credential(what string, date time.Time) (fresh.Credential[Keys], error) {
	c := fresh.Credential[Keys]{Date: date, Value: Keys{d.AccessKeyID, d.SecretAccessKey, cmp.Or(d.Token, d.SessionToken)}}
	if err := c.Value.check(what); err != nil {
		return fresh.Credential[Keys]{}, err
	}
	switch {
	case d.Expiration == "" && c.Value.temporary():
		c.Life = unsaid
		return c, nil
	case d.Expiration == "":
		c.Recheck = recheck
		return c, nil
	}
	end, err := time.Parse(time.RFC3339, d.Expiration)
	if err != nil {
		return fresh.Credential[Keys]{}, fresh.Fail(fresh.Malformed, "%s gave an Expiration that is not RFC 3339: %.40q", what, d.Expiration)
	}
	c.Expires = end.UTC()
	return c, checkEnd(what, end)
}

// checkEnd refuses the times that stand for none, before they are taken for it.
func checkEnd(what string, end time.Time) error {
	if end.Unix() <= 0 {
		return fresh.Fail(fresh.Ended, "%s gave keys that ended in %d", what, end.Year())
	}
	return nil
}

// check wants what can stand in a header.
func (k Keys) check(what string) error {
	switch {
	case k.AccessKeyID == "":
		return fresh.Fail(fresh.Malformed, "%s gave no AccessKeyId", what)
	case k.SecretAccessKey == "":
		return fresh.Fail(fresh.Malformed, "%s gave no SecretAccessKey", what)
	case !visible(k.AccessKeyID + k.SecretAccessKey + k.SessionToken):
		return fresh.Fail(fresh.Malformed, "%s gave keys that are not printable ASCII", what)
	}
	return nil
}

// visible reports whether s is printable ASCII without spaces.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// refusal is a service's answer other than 200 as an error, with a word of ours.
func refusal(a ask.Answer, what, said, hint string, secrets ...string) error {
	err := a.OK(what, said, secrets...)
	var e *fresh.Error
	if errors.As(err, &e) && hint != "" {
		e.Detail += " (" + hint + ")"
	}
	return err
}
