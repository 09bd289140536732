// Package survey reads, and only reads, what a Cassandra keyspace is like: its
// tables, their settings and what they hold. It works on any keyspace, ours and
// Apigee's kms alike.
package survey
