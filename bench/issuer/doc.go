// Package issuer measures goals I1 and I3: how many client_credentials tokens a
// second `longcase serve` gives out beside a bare net/http handler that signs
// one ES256 token per request, how fast it is ready after a cold start, and
// what it holds in memory at rest.
//
// Both servers are processes of their own on loopback. One loader with eight
// connections drives them in turn, round by round, so that whatever else the
// machine does falls on both; a figure is the median over the rounds. Cost is
// the server's processor time, kernel included, over the requests it answered.
package issuer
