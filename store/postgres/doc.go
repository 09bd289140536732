// Package postgres is the engine for many nodes on one PostgreSQL, version 14 or
// newer. Nodes hold nothing that matters beside the database.
//
//	e, err := postgres.Open(ctx, postgres.Config{URL: "postgres://longcase@db.internal/longcase"})
//
// # Tables
//
// Sessions, documents, marks and revocations are tables partitioned by the
// bucket their ids begin with (see store.ID). A node knows the partitions and
// names the one it means in each statement, for three reasons: the statement is
// planned once and for all, it locks that partition and nothing else, and a
// partition that is made or dropped meanwhile makes nobody wait. The parents
// serve lists, copies and operators.
//
// Partitions are made ahead, as far as Config.Longest and half an hour, by Open and
// by each Retire. There is no default partition: a write for which none is there
// makes it and logs a warning, unless its bucket was retired. How wide they are
// follows from the longest life, see width: a 32nd of it, so that what is over
// but not dropped stays a small part, and there are about 32 of a kind whatever
// the lives. Partitions of different widths live side by side, so a changed
// configuration needs nothing done.
//
// What is over is dropped, a partition at a time. No row is ever deleted. That a
// partition can still be locked by somebody (a backup reads every table) is no
// error: it is dropped by a later Retire.
//
// # Compare-and-set
//
// A rotation is one UPDATE of one row that names the generation it replaces. It
// changes no indexed column and finds room in its page (fillfactor 90), so the
// row is rewritten in place and a session costs the same however often it
// rotates.
//
// # Outcomes
//
// A statement that was sent is waited for even if its caller has gone, but no
// longer than a second, so most outcomes are known. One that is not, because the
// connection or the server was lost or the wait was over, is store.ErrUnknown for
// a write (and the context's error too, if that is why) and store.ErrUnavailable
// for a read. What PostgreSQL refused or was never sent was not written: it is
// store.ErrUnavailable where another try may help.
//
// # Rights
//
// The role must own the schema (and nothing else): partitions come and go, and
// only an owner may make and drop them.
//
//	CREATE ROLE longcase LOGIN PASSWORD '…';
//	CREATE DATABASE longcase OWNER longcase;
//
// or, in a database of somebody else,
//
//	CREATE SCHEMA longcase AUTHORIZATION longcase;
//
// The schema is named longcase, or what search_path in the URL says.
package postgres
