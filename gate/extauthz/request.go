package extauthz

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/longcase/longcase/gate"
)

// requestOf is the request that in describes. The error says what is missing;
// what is there is returned beside it.
func requestOf(in *auth.CheckRequest) (gate.Request, error) {
	source, h := in.GetAttributes().GetSource(), in.GetAttributes().GetRequest().GetHttp()
	r := gate.Request{
		Edge: gate.EdgeExtAuthz, Method: h.GetMethod(), Target: h.GetPath(), Scheme: h.GetScheme(), Host: h.GetHost(),
		Header: headersOf(h), Peer: source.GetAddress().GetSocketAddress().GetAddress(),
	}
	if r.Method == "" || r.Target == "" {
		return r, errors.New("the proxy must send the request's method and path")
	}
	var err error
	r.Certificate, err = certificate(source.GetCertificate())
	return r, err
}

// headersOf are the headers of a request: as they came (header_map), else joined
// by name.
func headersOf(h *auth.AttributeContext_HttpRequest) http.Header {
	out := make(http.Header, len(h.GetHeaders())+len(h.GetHeaderMap().GetHeaders()))
	if raw := h.GetHeaderMap(); raw != nil {
		for _, line := range raw.GetHeaders() {
			addHeader(out, line.GetKey(), valueOf(line))
		}
		return out
	}
	for name, value := range h.GetHeaders() {
		addHeader(out, name, value)
	}
	return out
}

func valueOf(h *core.HeaderValue) string {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return h.GetValue()
}

// addHeader adds a header, in as many lines as it came in: Envoy joins those of
// Authorization with commas even where it sends the others as they came.
func addHeader(to http.Header, name, value string) {
	if strings.HasPrefix(name, ":") {
		return
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch name {
	case "Authorization":
		to[name] = append(to[name], apart(value)...)
	case "Dpop":
		to[name] = append(to[name], strings.Split(value, ",")...)
	default:
		to[name] = append(to[name], value)
	}
}

// apart takes joined Authorization headers apart: a new one begins with a
// scheme and a space, where a parameter of the one before (RFC 9110 section 11.4)
// would have a name and an equals sign.
func apart(value string) []string {
	var out []string
	for i, part := range strings.Split(value, ",") {
		scheme, _, spaced := strings.Cut(strings.TrimLeft(part, " \t"), " ")
		if i == 0 || spaced && !strings.ContainsAny(scheme, `="`) {
			out = append(out, part)
			continue
		}
		out[len(out)-1] += "," + part
	}
	return out
}

// certificate reads what Envoy sends with include_peer_certificate: PEM with its
// special characters in percent. Empty: none.
func certificate(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	text, err := url.PathUnescape(s)
	if err != nil {
		return nil, errors.New("the client's certificate that the proxy sent is not URL-encoded")
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the client's certificate that the proxy sent is not PEM")
	}
	return block.Bytes, nil
}
