package grpc

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longcase/longcase/fresh"
)

// used is the lease that a call was made with.
type used struct {
	atomic.Pointer[fresh.Lease[fresh.Token]]
}

type usedKey struct{}

// watch lets PerRPC note the lease of the calls made with the context.
func watch(ctx context.Context) (context.Context, *used) {
	u := &used{}
	return context.WithValue(ctx, usedKey{}, u), u
}

func note(ctx context.Context, lease fresh.Lease[fresh.Token]) {
	if u, ok := ctx.Value(usedKey{}).(*used); ok {
		u.Store(&lease)
	}
}

// refused invalidates the lease that err is about. It reports whether another
// one can be had. An error of the layer itself is about none.
func (u *used) refused(layer *fresh.Layer[fresh.Token], err error) bool {
	lease := u.Load()
	return lease != nil && status.Code(err) == codes.Unauthenticated && layer.Invalidate(*lease)
}

// Interceptor repeats a call that the server refused as Unauthenticated, once,
// with a renewed lease of layer. Calls that PerRPC gave none are left alone.
func Interceptor(layer *fresh.Layer[fresh.Token]) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		watched, u := watch(ctx)
		err := invoke(watched, method, req, reply, conn, opts...)
		if !u.refused(layer, err) {
			return err
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}

// StreamInterceptor invalidates the lease of a stream that the server refused as
// Unauthenticated, so that the next one is opened with a renewed lease.
func StreamInterceptor(layer *fresh.Layer[fresh.Token]) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		watched, u := watch(ctx)
		s, err := open(watched, desc, conn, method, opts...)
		if err != nil {
			u.refused(layer, err)
			return nil, err
		}
		return &stream{ClientStream: s, layer: layer, used: u}, nil
	}
}

// stream looks at the status that ends a stream.
type stream struct {
	grpc.ClientStream
	layer *fresh.Layer[fresh.Token]
	used  *used
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.used.refused(s.layer, err)
	}
	return err
}
