// Package file reads a token from a file that someone else keeps up to date: a
// Kubernetes projected token, the federated token of a cloud's workload
// identity, what a CI system wrote.
//
//	pod := fresh.New(file.JWT(file.JWTConfig{Path: "/var/run/secrets/tokens/aws"}), fresh.Policy{Name: "pod"})
//
// The file is read again every few seconds while someone asks, by its path: a
// rename, a swapped symbolic link (Kubernetes' "..data") and an overwritten file
// are all seen, on every file system. A file that is half written is Malformed,
// and the token in hand goes on serving while it lives.
//
// The end is the JWT's own "exp", read but not verified: the token is evidence
// for somebody else, and its algorithm need not be one of Longcase's.
package file
