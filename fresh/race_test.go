//go:build race

package fresh_test

// slow is how many times fewer random worlds the race detector looks at.
const slow = 10
