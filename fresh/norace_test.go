//go:build !race

package fresh_test

const slow = 1
