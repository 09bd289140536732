// Package e2e tests the built longcase binary from outside, through the
// contract of its commands, files and endpoints, with programs that nobody here
// wrote: OAuth clients and JWT verifiers of other languages, nginx, curl and the
// SDKs of three clouds. The clouds themselves are doubles (internal/clouds).
//
// It holds tests only. A program that cannot start fails the test that needs
// it; setup installs them all.
package e2e
