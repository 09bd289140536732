// Package bench is where the peers live: the libraries and programs Longcase is
// measured against, and those that tell it when it is wrong. It is a module of
// its own so that the product depends on none of them.
package bench
