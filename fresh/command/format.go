package command

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

// complain says what is wrong with an output; Config.because puts the program's
// name before it.
func complain(format string, args ...any) error { return fresh.Fail(fresh.Malformed, format, args...) }

// decode reads one JSON object; the error does not hold it.
func decode(out []byte, v any) error {
	if token.CheckObject(bytes.TrimSpace(out)) != nil || json.Unmarshal(out, v) != nil {
		return complain("printed what is not the JSON object it should be")
	}
	return nil
}

// bare reports whether s is what a header field can carry in one word.
func bare(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// readPlain reads the token alone, with or without white space around it.
func readPlain(out []byte) (fresh.Credential[fresh.Token], error) {
	text := string(bytes.TrimSpace(out))
	switch {
	case text == "":
		return fresh.Credential[fresh.Token]{}, complain("printed nothing")
	case text[0] == '{':
		return fresh.Credential[fresh.Token]{}, complain("printed JSON, not a bare token: set the format")
	case !bare(text):
		return fresh.Credential[fresh.Token]{}, complain("printed more than one word, or bytes that no token has")
	}
	return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: text, Type: "Bearer"}}, nil
}

// readGoogle reads the answer of an executable-sourced external account
// (google.aip.dev/auth/4117, "Executable-sourced credentials").
func readGoogle(out []byte) (got fresh.Credential[fresh.Token], err error) {
	var a struct {
		Version      int    `json:"version"`
		Success      *bool  `json:"success"`
		TokenType    string `json:"token_type"`
		IDToken      string `json:"id_token"`
		SAMLResponse string `json:"saml_response"`
		Expiration   *int64 `json:"expiration_time"`
		Code         string `json:"code"`
		Message      string `json:"message"`
	}
	if err := decode(out, &a); err != nil {
		return got, err
	}
	switch {
	case a.Version != 1:
		return got, complain("printed version %d; version 1 is understood", a.Version)
	case a.Success == nil:
		return got, complain("did not print whether it had success")
	case !*a.Success:
		return got, fresh.Fail(fresh.Refused, "said no: %s: %s", printable(a.Code), printable(a.Message))
	case a.Expiration != nil:
		got.Expires = time.Unix(max(*a.Expiration, 0), 0).UTC()
	}
	switch a.TokenType {
	case "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token":
		got.Value = fresh.Token{Value: a.IDToken, Type: "Bearer"}
	case "urn:ietf:params:oauth:token-type:saml2":
		got.Value = fresh.Token{Value: a.SAMLResponse}
	default:
		return got, complain("printed token_type %.80q, which is not known", a.TokenType)
	}
	if got.Value.Value == "" || got.Value.Type != "" && !bare(got.Value.Value) {
		return got, complain("printed no token of the type it names")
	}
	return got, nil
}

// readKubernetes reads an ExecCredential (kubernetes.io, "client-go credential
// plugins"). A client certificate without a token is refused.
func readKubernetes(out []byte) (got fresh.Credential[fresh.Token], err error) {
	var a struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     struct {
			Token      string    `json:"token"`
			Expiration time.Time `json:"expirationTimestamp"`
		} `json:"status"`
	}
	if err := decode(out, &a); err != nil {
		return got, err
	}
	switch {
	case a.Kind != "ExecCredential":
		return got, complain("printed kind %.80q, not ExecCredential", a.Kind)
	case a.APIVersion != "client.authentication.k8s.io/v1" && a.APIVersion != "client.authentication.k8s.io/v1beta1":
		return got, complain("printed apiVersion %.80q, not client.authentication.k8s.io/v1 or v1beta1", a.APIVersion)
	case !bare(a.Status.Token):
		return got, complain("printed no status.token")
	}
	got.Value, got.Expires = fresh.Token{Value: a.Status.Token, Type: "Bearer"}, a.Status.Expiration
	return got, nil
}

// keys is the answer of a credential_process (AWS SDKs and Tools Reference
// Guide, "Process credential provider").
type keys struct {
	Version         int
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      *time.Time
}

func readAWS(out []byte) (k keys, err error) {
	if err := decode(out, &k); err != nil {
		return keys{}, err
	}
	switch {
	case k.Version != 1:
		return keys{}, complain("printed Version %d; Version 1 is understood", k.Version)
	case !bare(k.AccessKeyID) || !bare(k.SecretAccessKey) || k.SessionToken != "" && !bare(k.SessionToken):
		return keys{}, complain("printed no AccessKeyId and SecretAccessKey that can be used")
	}
	return k, nil
}

// windowOf reads "nbf" and "exp" of a JWT, whatever its algorithm, unverified:
// it is evidence for somebody else. Zero: not a JWT, or it says nothing.
func windowOf(text string) (notBefore, expires time.Time) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || !strings.HasPrefix(text, "ey") {
		return time.Time{}, time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct{ NBF, Exp float64 }
	if err != nil || token.CheckObject(payload) != nil || json.Unmarshal(payload, &c) != nil {
		return time.Time{}, time.Time{}
	}
	return date(c.NBF), date(c.Exp)
}

// date is a NumericDate (RFC 7519 section 2) up to the year 9999.
func date(f float64) time.Time {
	if f <= 0 || f > 253402300799 {
		return time.Time{}
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
}
