// Package remote measures goal V6: what a storm of tokens costs whose keys
// nobody knows. Longcase and go-oidc verify against the same issuer on loopback;
// what is counted is how often each fetches its key set, and the processor time
// of one refusal, that of the issuer's answers included.
package remote
