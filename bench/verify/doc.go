// Package verify measures what the check of one token costs beyond its bare
// cryptographic operation (goal V1), beside the libraries people use.
//
// Every contender does the same work on the same token of 700 bytes: take it
// apart, check the signature, read the claims, judge issuer, audience and
// window. The bare operation is the hash and the signature check of the same
// bytes, nothing else. Cost is processor time of the whole process (getrusage),
// so that the garbage collector's threads count. Contenders take turns in short
// rounds, and the ratio to bare is the median over the rounds, so that a noisy
// neighbour hits all of them alike.
//
// Then it measures what a token costs that was verified before (goal V2), among
// so many that the processor's own caches do not hold them, with the clock that
// every verdict needs, beside a map that honours nothing but a token's end. Each
// token is copied before, as a server reads it from a request; what that costs is
// measured by itself and taken off. And it measures how much memory a bounded
// cache has after many more tokens than it holds.
//
// "token" is the codec with the least a caller must judge, which is what the
// libraries do too; "verify" is Longcase's whole judgement, verdict included.
package verify
