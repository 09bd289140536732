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
// by name. Of those that must come once a comma is where two were joined.
func headersOf(h *auth.AttributeContext_HttpRequest) http.Header {
	if raw := h.GetHeaderMap(); raw != nil {
		return rawHeaders(raw.GetHeaders())
	}
	out := make(http.Header, len(h.GetHeaders()))
	for name, value := range h.GetHeaders() {
		if strings.HasPrefix(name, ":") {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch name {
		case "Authorization", "Dpop":
			out[name] = append(out[name], strings.Split(value, ",")...)
		default:
			out[name] = append(out[name], value)
		}
	}
	return out
}

func rawHeaders(list []*core.HeaderValue) http.Header {
	out := make(http.Header, len(list))
	for _, h := range list {
		name := h.GetKey()
		if strings.HasPrefix(name, ":") {
			continue
		}
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		out[name] = append(out[name], value)
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
