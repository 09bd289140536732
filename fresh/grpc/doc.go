// Package grpc attaches a fresh token to gRPC calls and renews it when a server
// says Unauthenticated.
//
//	conn, err := grpc.NewClient("service-b.example.com:443",
//		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
//		grpc.WithPerRPCCredentials(freshgrpc.PerRPC(layer, "service-b.example.com")),
//		grpc.WithUnaryInterceptor(freshgrpc.Interceptor(layer)),
//		grpc.WithStreamInterceptor(freshgrpc.StreamInterceptor(layer)))
//
// The token goes to the hosts that are named and to no other, over TLS; without
// TLS only if every host that is named is loopback, and the connection ends on
// this machine.
//
// Interceptor repeats a refused unary call once, with a renewed token. A stream
// cannot be repeated: StreamInterceptor lets the next one have a renewed token.
package grpc
