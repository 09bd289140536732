package extauthz

import (
	"net/http"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	kind "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/longcase/longcase/gate"
)

// allowed passes the request on with who it is, and without whatever else the
// client said of that.
func allowed(a gate.Answer, h *auth.AttributeContext_HttpRequest) *auth.CheckResponse {
	ok := &auth.OkHttpResponse{}
	said := make(map[string]bool, len(a.Header))
	for name, values := range a.Header {
		name = strings.ToLower(name)
		if values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" }); len(values) > 0 {
			said[name] = true
			ok.Headers = append(ok.Headers, option(name, values[0]))
			continue
		}
		ok.HeadersToRemove = append(ok.HeadersToRemove, name)
	}
	ok.HeadersToRemove = append(ok.HeadersToRemove, claimed(h, func(name string) bool { return said[name] || slices.Contains(ok.HeadersToRemove, name) })...)
	if a.Nonce != "" {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, option("dpop-nonce", a.Nonce))
	}
	out := &auth.CheckResponse{
		Status:       &status.Status{Code: int32(codes.OK)},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok},
	}
	if c := a.Claims; c != nil {
		out.DynamicMetadata = metadata([2]string{"issuer", c.Issuer}, [2]string{"subject", c.Subject}, [2]string{"client", c.ClientID}, [2]string{"token_id", c.ID})
	}
	return out
}

// claimed are the headers of h by which a client says who it is, as they are
// spelt, but for those that are known.
func claimed(h *auth.AttributeContext_HttpRequest, known func(name string) bool) (names []string) {
	add := func(name string) {
		if gate.Reserved(name) && !known(strings.ToLower(name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for name := range h.GetHeaders() {
		add(name)
	}
	for _, header := range h.GetHeaderMap().GetHeaders() {
		add(header.GetKey())
	}
	return names
}

// denied says a refusal: status, headers and body as every other edge does.
func denied(a gate.Answer) *auth.CheckResponse {
	no := &auth.DeniedHttpResponse{Status: &kind.HttpStatus{Code: kind.StatusCode(a.Status)}, Body: string(a.Body)} //nolint:gosec // a status has three digits
	for name, values := range a.Header {
		for _, value := range values {
			no.Headers = append(no.Headers, option(strings.ToLower(name), value))
		}
	}
	return &auth.CheckResponse{
		Status:          &status.Status{Code: int32(codeOf(a.Status)), Message: a.Reason},
		HttpResponse:    &auth.CheckResponse_DeniedResponse{DeniedResponse: no},
		DynamicMetadata: metadata([2]string{"reason", a.Reason}),
	}
}

// codeOf is never OK, which would let the request pass.
func codeOf(status int) codes.Code {
	if status == http.StatusUnauthorized {
		return codes.Unauthenticated
	}
	return codes.PermissionDenied
}

// option replaces a header, or adds it.
func option(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: name, Value: value},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// metadata is for Envoy's own log and filters, under
// envoy.filters.http.ext_authz; what is empty is left out.
func metadata(pairs ...[2]string) *structpb.Struct {
	fields := make(map[string]*structpb.Value, len(pairs))
	for _, p := range pairs {
		if p[1] != "" {
			fields[p[0]] = structpb.NewStringValue(strings.ToValidUTF8(p[1], "�"))
		}
	}
	return &structpb.Struct{Fields: fields}
}
