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
// "token" is the codec with the least a caller must judge, which is what the
// libraries do too; "verify" is Longcase's whole judgement, verdict included.
package verify
