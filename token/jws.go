package token

import (
	"encoding/base64"
	"strings"
)

// MaxSize is how many bytes a token may have.
const MaxSize = 16384

// JWS is a token in its compact serialization (RFC 7515 section 7.1), taken
// apart. Nothing in it is to be believed before Verify has returned nil.
type JWS struct {
	message []byte // what was signed: "header.payload", still encoded
	header  string
	payload string
	body    []byte // the payload once more, for Claims.Raw
	sig     []byte
	alg     Algorithm
	kid     string
	typ     string
}

// Parse takes a compact JWS apart and reads its header. It accepts exactly one
// spelling: base64url without padding, line feeds or unused bits set, a header
// without duplicate members or white space around it. "crit", "b64" and "zip" are refused, for nothing
// here would honour them; "jku", "jwk", "x5u" and "x5c" are ignored. The error
// is an *Error with TooLarge, Malformed or BadAlgorithm.
func Parse(raw string) (JWS, error) {
	if len(raw) > MaxSize {
		return JWS{}, Refuse(TooLarge, "token has %d bytes, %d are the most", len(raw), MaxSize)
	}
	head, payload, sig, err := split(raw)
	if err != nil {
		return JWS{}, err
	}
	var j JWS
	if err := j.decode(raw, len(head), len(payload)); err != nil {
		return JWS{}, err
	}
	if err := j.readHeader(); err != nil {
		return JWS{}, err
	}
	if len(sig) == 0 {
		return JWS{}, Refuse(Malformed, "token has no signature")
	}
	return j, nil
}

// Algorithm is the header's "alg": what the token claims, not what a key allows.
// Of "Ed25519" it is EdDSA.
func (j JWS) Algorithm() Algorithm { return j.alg }

// KeyID is the header's "kid", which may be empty.
func (j JWS) KeyID() string { return j.kid }

// Type is the header's "typ" in lower case, empty if absent.
func (j JWS) Type() string { return j.typ }

// Header is the decoded header: one JSON object.
func (j JWS) Header() []byte { return []byte(j.header) }

// strict is base64url without padding whose unused bits must be zero. Read only.
var strict = base64.RawURLEncoding.Strict()

func split(raw string) (head, payload, sig string, err error) {
	switch dots := strings.Count(raw, "."); dots {
	case 2:
	case 4:
		return "", "", "", Refuse(Malformed, "token has five parts: encrypted tokens (JWE) are not accepted")
	default:
		return "", "", "", Refuse(Malformed, "token has %d parts, a compact JWS has three", dots+1)
	}
	head, rest, _ := strings.Cut(raw, ".")
	payload, sig, _ = strings.Cut(rest, ".")
	return head, payload, sig, nil
}

// decode undoes the base64url of the three parts, whose first two have the
// lengths head and payload. A copy of what was signed and the parts lie in one
// piece of memory; header and payload are kept as a string too, which all strings read
// from them share.
func (j *JWS) decode(raw string, head, payload int) error {
	// The standard decoder skips line feeds; a token must not hold any.
	if strings.IndexByte(raw, '\n') >= 0 || strings.IndexByte(raw, '\r') >= 0 {
		return Refuse(Malformed, "token holds a line feed")
	}
	signed := head + 1 + payload
	all := make([]byte, signed+strict.DecodedLen(len(raw)))
	message, buf := all[:copy(all, raw[:signed]):signed], all[signed:]
	h, err := strict.Decode(buf, message[:head])
	if err != nil {
		return notBase64("header")
	}
	p, err := strict.Decode(buf[h:], message[head+1:])
	if err != nil {
		return notBase64("payload")
	}
	n, err := strict.Decode(buf[h+p:], []byte(raw[signed+1:])) // is not copied
	if err != nil {
		return notBase64("signature")
	}
	plain := string(buf[:h+p])
	j.header, j.payload = plain[:h], plain[h:]
	j.message, j.body, j.sig = message, buf[h:h+p:h+p], buf[h+p:h+p+n]
	return nil
}

func notBase64(part string) error {
	return Refuse(Malformed, "%s is not base64url without padding, unused bits zero", part)
}

// headerNames are the header parameters of RFC 7515, 7516 and 7797. Read only.
var headerNames = []string{"alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c", "x5t"}

func (j *JWS) readHeader() error {
	s, err := scan("header", j.header)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(j.header, "{") || !strings.HasSuffix(j.header, "}") {
		return Refuse(Malformed, "header is not a JSON object and nothing else")
	}
	if err := s.open('{'); err != nil {
		return err
	}
	var seen names
	for {
		name, ok, err := s.member(&seen)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := j.readParameter(&s, name); err != nil {
			return err
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	return j.checkAlgorithm()
}

// readParameter reads the value of one header parameter.
func (j *JWS) readParameter(s *scanner, name string) (err error) {
	switch name {
	case "alg":
		var alg string
		alg, err = s.stringOf(name)
		j.alg = Named(alg)
		if err == nil && alg == "" {
			err = Refuse(BadAlgorithm, "alg is empty")
		}
	case "kid":
		j.kid, err = s.stringOf(name)
	case "typ":
		j.typ, err = s.stringOf(name)
		j.typ = strings.ToLower(j.typ)
		if err == nil && j.typ == "" {
			err = Refuse(Malformed, "header: typ is empty; leave it out, or name the type")
		}
	case "crit", "b64", "zip", "enc":
		return Refuse(Malformed, "header: %q is not understood", name)
	default:
		if shadows(name, headerNames) {
			return Refuse(Malformed, "header: member %.40q differs from a registered one only by case", name)
		}
		return s.skip()
	}
	return err
}

func (j *JWS) checkAlgorithm() error {
	switch j.alg {
	case ES256, ES384, RS256, PS256, EdDSA, HS256:
		return nil
	case "":
		return Refuse(Malformed, "header lacks alg")
	default:
		return Refuse(BadAlgorithm, "alg %.40q is not accepted", string(j.alg))
	}
}

// stringOf reads the value of member name, which must be a string.
func (s *scanner) stringOf(name string) (string, error) {
	if s.peek() != '"' {
		return "", Refuse(Malformed, "%s: %q is not a string", s.part, name)
	}
	return s.text()
}
