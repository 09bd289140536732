// Package steady runs a token service's load against each engine until what the
// engine stores is steady, measures the blocks it takes of the disk, and holds
// that against what `longcase plan` foresaw (goals S3 and S4).
//
// Lives are compressed: every engine runs in a time that the benchmark moves.
// Cassandra ends rows by its server's clock, so there the server's clock is moved
// (MovedClock).
package steady
