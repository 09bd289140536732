// Package oracle holds what tells Longcase that it is wrong: other people's
// readers of the same tokens, other people's vectors, and a set of attacks. It
// is tests only.
package oracle
