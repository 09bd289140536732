package grpc

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/longcase/longcase/gate"
)

// domain is the ErrorInfo's.
const domain = "longcase"

// codeOf is what a status of HTTP is in gRPC.
func codeOf(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusNotFound: // what gRPC says itself of a method nobody serves
		return codes.Unimplemented
	case http.StatusBadRequest:
		return codes.InvalidArgument
	}
	return codes.PermissionDenied // a refusal, whatever it is called
}

// statusOf says a refusal in gRPC.
func statusOf(a gate.Answer) error {
	var problem struct {
		Title string   `json:"title"`
		Skew  *float64 `json:"skew_seconds"`
	}
	_ = json.Unmarshal(a.Body, &problem)
	info := &errdetails.ErrorInfo{Reason: a.Reason, Domain: domain, Metadata: map[string]string{"detail": a.Detail}}
	if problem.Skew != nil {
		info.Metadata["skew_seconds"] = strconv.FormatFloat(*problem.Skew, 'f', -1, 64)
	}
	details := []protoadapt.MessageV1{info}
	if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(wait) * time.Second)})
	}
	s := status.New(codeOf(a.Status), problem.Title+": "+a.Detail)
	if rich, err := s.WithDetails(details...); err == nil {
		s = rich
	}
	return s.Err()
}

// trailerOf is what a refusal says in headers, but for what only a body has.
func trailerOf(a gate.Answer) metadata.MD {
	md := make(metadata.MD, len(a.Header))
	for name, values := range a.Header {
		switch name {
		case "Content-Type", "Cache-Control":
		default:
			md[strings.ToLower(name)] = values
		}
	}
	return md
}
