package gate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"

	"github.com/longcase/longcase/token"
)

// maxCertificate is how many bytes a header with a certificate may have.
const maxCertificate = 16384

// certificateHeader names the one header in which a proxy in front tells the
// client's certificate: as that proxy writes it, or as RFC 9440 does.
func (g *Gate) certificateHeader() string {
	switch g.cfg.Forward {
	case Nginx:
		return "X-Ssl-Client-Cert"
	case Traefik:
		return "X-Forwarded-Tls-Client-Cert"
	case Envoy:
		return "X-Forwarded-Client-Cert"
	}
	return "Client-Cert"
}

// certificate returns the "x5t#S256" of the certificate that the client of r
// showed (RFC 8705 section 3.1), empty if it showed none: from a trusted proxy
// that in the header and no other, from everybody else that of the connection. The
// certificate that a proxy shows to the gate is its own, and so is that of whoever
// asks /verify; Envoy tells which one the client showed to it.
//
// Neither names nor dates are looked at: whoever ended the TLS connection judged
// them, or chose not to, and a self-signed certificate proves its key as well
// (RFC 8705 section 2.2). What counts is that it is the very certificate; one
// that was renewed with the same key is another.
func (g *Gate) certificate(r *Request) (string, error) {
	if values := r.Header[g.certificateHeader()]; len(values) > 0 && g.trusts(r.Peer) {
		sum, err := g.readCertificate(values)
		if err != nil {
			return "", token.Refuse(token.BindingMissing, "the client certificate in %s cannot be read: %v", g.certificateHeader(), err)
		}
		return sum, nil
	}
	if r.Certificate == nil || r.Edge == edgeVerify || r.Edge != EdgeExtAuthz && g.trusts(r.Peer) {
		return "", nil
	}
	return thumbprint(r.Certificate), nil
}

func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// readCertificate reads the values of the header that fits Forward.
func (g *Gate) readCertificate(values []string) (string, error) {
	if len(values) > 1 {
		return "", errors.New("it is there more than once")
	}
	value := strings.Trim(values[0], " \t")
	switch {
	case value == "":
		return "", nil // how a proxy says that there was none
	case len(value) > maxCertificate:
		return "", errors.New("it is too large")
	}
	if g.cfg.Forward == Envoy {
		return fromEnvoy(value)
	}
	read := fromRFC9440
	switch g.cfg.Forward {
	case Nginx:
		read = fromEscapedPEM
	case Traefik:
		read = fromTraefik
	}
	der, err := read(value)
	if err != nil || len(der) == 0 {
		return "", err
	}
	return thumbprint(der), nil
}

// fromRFC9440 reads a byte sequence (RFC 8941 section 3.3.5): DER in base64
// between colons. An empty one stands for no certificate.
func fromRFC9440(value string) ([]byte, error) {
	inner, opened := strings.CutPrefix(value, ":")
	inner, closed := strings.CutSuffix(inner, ":")
	if !opened || !closed || len(value) < 2 {
		return nil, errors.New("it must be base64 between two colons (RFC 9440)")
	}
	return plainBase64(inner)
}

// fromEscapedPEM reads nginx's $ssl_client_escaped_cert: PEM, percent-encoded.
func fromEscapedPEM(value string) ([]byte, error) {
	text, err := url.PathUnescape(value)
	if err != nil {
		return nil, errors.New("it must be percent-encoded PEM")
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || !strings.HasPrefix(text, "-----BEGIN"):
		return nil, errors.New("it must be percent-encoded PEM")
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("it holds more than one certificate")
	}
	return block.Bytes, nil
}

// fromTraefik reads what passTLSClientCert writes: the chain, the client's own
// certificate first, each as PEM without its lines of dashes, with commas
// between. Caddy's tls_client_certificate_der_base64 is one of them.
func fromTraefik(value string) ([]byte, error) {
	first, _, _ := strings.Cut(value, ",")
	if first == "" {
		return nil, errors.New("its first certificate is empty")
	}
	return plainBase64(first)
}

// plainBase64 reads base64 with its padding and nothing else in it.
func plainBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("it holds a line feed")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("it must be DER in base64")
	}
	return der, nil
}

// fromEnvoy reads x-forwarded-client-cert, in which each proxy on the way adds
// an element of pairs: the last one is about the connection to the trusted proxy
// itself. Cert is the certificate, Hash the SHA-256 of its DER, which Envoy
// always writes. An element about something else has neither.
func fromEnvoy(value string) (string, error) {
	elements, err := splitQuoted(value, ',')
	if err != nil {
		return "", err
	}
	pairs, err := splitQuoted(elements[len(elements)-1], ';')
	if err != nil {
		return "", err
	}
	var hash, sum string
	for _, pair := range pairs {
		name, text, err := readPair(pair)
		if err != nil {
			return "", err
		}
		switch {
		case strings.EqualFold(name, "hash") && hash == "":
			hash, err = fromHex(text)
		case strings.EqualFold(name, "cert") && sum == "":
			var der []byte
			der, err = fromEscapedPEM(text)
			sum = thumbprint(der)
		case strings.EqualFold(name, "hash"), strings.EqualFold(name, "cert"):
			err = errors.New("Hash or Cert is there twice")
		}
		if err != nil {
			return "", err
		}
	}
	return agreed(hash, sum)
}

// agreed is the one hash that an element tells in one way or two.
func agreed(hash, sum string) (string, error) {
	switch {
	case hash == "" && sum == "":
		return "", errors.New("its last element has neither Hash nor Cert")
	case hash != "" && sum != "" && hash != sum:
		return "", errors.New("Hash is not that of Cert")
	case hash != "":
		return hash, nil
	}
	return sum, nil
}

func fromHex(s string) (string, error) {
	sum, err := hex.DecodeString(s)
	if err != nil || len(sum) != sha256.Size {
		return "", errors.New("Hash is not SHA-256 in hex")
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// readPair takes name=value apart; the value may be in double quotes.
func readPair(pair string) (name, value string, err error) {
	name, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
	if !found {
		return "", "", errors.New("it must be pairs of name=value")
	}
	inner, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		return name, value, nil
	}
	inner, closed := strings.CutSuffix(inner, `"`)
	if !closed {
		return "", "", errors.New("a quoted value has no end")
	}
	return name, strings.ReplaceAll(inner, `\"`, `"`), nil
}

// splitQuoted splits s at each separator that is not within double quotes, in
// which a backslash keeps what follows it.
func splitQuoted(s string, separator byte) ([]string, error) {
	var parts []string
	begin, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == separator && !quoted:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	if quoted {
		return nil, errors.New("a quoted value has no end")
	}
	return append(parts, s[begin:]), nil
}
