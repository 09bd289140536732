package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/longcase/longcase/gate"
	gategrpc "github.com/longcase/longcase/gate/grpc"
)

// statuses is how a refusal's code of gRPC reads in HTTP. It is read only.
var statuses = map[codes.Code]int{
	codes.Unauthenticated: http.StatusUnauthorized, codes.PermissionDenied: http.StatusForbidden,
	codes.ResourceExhausted: http.StatusTooManyRequests, codes.Unavailable: http.StatusServiceUnavailable,
	codes.Unimplemented: http.StatusNotFound, codes.InvalidArgument: http.StatusBadRequest,
}

// grpc adds the interceptors, before a server that serves every method.
func (f *fleet) grpc() {
	f.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	guard, err := gategrpc.New(gategrpc.Config{Gate: f.inProcess(url)})
	if err != nil {
		f.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(whoCalls), grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	go func() { _ = server.Serve(l) }()
	f.t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	f.edges = append(f.edges, &edge{name: "grpc", URL: url, ask: func(t *testing.T, p probe) answer { return invoke(t, conn, p) }})
}

// whoCalls answers a call with the subject that the gate accepted.
func whoCalls(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	c, _ := gate.FromContext(stream.Context())
	return stream.SendMsg(wrapperspb.String(c.Subject))
}

// invoke makes the call of p and says its outcome in HTTP, so that it can be
// compared: what gRPC has no place for (type, content type) is left out.
func invoke(t *testing.T, conn *grpc.ClientConn, p probe) answer {
	t.Helper()
	p = p.filled()
	md := metadata.MD{}
	for name, values := range p.header {
		md[strings.ToLower(name)] = values
	}
	if p.token != "" {
		md.Set("authorization", p.scheme+" "+p.token)
	}
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(context.Background(), md), patience)
	defer cancel()
	var trailer metadata.MD
	var who wrapperspb.StringValue
	err := conn.Invoke(ctx, p.path, &emptypb.Empty{}, &who, grpc.Trailer(&trailer))
	a := answer{status: http.StatusOK, header: http.Header{}, body: who.GetValue()}
	for name, values := range trailer {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	if err != nil {
		a.refusedBy(t, grpcstatus.Convert(err))
	}
	return a
}

// refusedBy reads a refusal as the gate's interceptors say it.
func (a *answer) refusedBy(t *testing.T, s *grpcstatus.Status) {
	t.Helper()
	a.status = statuses[s.Code()]
	a.json = map[string]any{"status": float64(a.status)}
	title, detail, _ := strings.Cut(s.Message(), ": ")
	a.json["title"], a.json["detail"] = title, detail
	for _, d := range s.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		a.json["reason"] = info.GetReason()
		if skew, err := strconv.ParseFloat(info.GetMetadata()["skew_seconds"], 64); err == nil {
			a.json["skew_seconds"] = skew
		}
	}
	body, err := json.Marshal(a.json)
	if err != nil {
		t.Fatal(err)
	}
	a.body = string(body)
}
