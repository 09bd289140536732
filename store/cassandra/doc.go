// Package cassandra is the engine for many nodes on Apache Cassandra, 4.1.6 or
// later. The cluster is the distributed part; the engine writes none of its own.
//
//	e, err := cassandra.Open(ctx, cassandra.Config{Hosts: []string{"10.0.0.1", "10.0.0.2"}, Keyspace: "longcase", LocalDC: "dc1"})
//
// It never deletes, keeps no secondary index, writes no null and never changes
// a row without naming its end: see "Ends".
//
// # Compare-and-set
//
// Every record that changes is changed by a lightweight transaction alone (a
// statement with IF, in Cassandra's words), one partition each:
//
//	UPDATE sessions USING TTL ? SET gen = ?, … WHERE id = ? IF gen = ? AND ended = false AND about = ?
//
// They run at SERIAL, and at LOCAL_SERIAL where the keyspace replicates to the
// local data centre and to no other. Their commits, and reads, are at QUORUM
// (LOCAL_QUORUM). A read at QUORUM sees every acknowledged change: the two
// quorums meet, and blocking read repair, which Open insists on, gives what one
// reader saw to a quorum before the next can read. So a Load costs one round
// trip, not the three of a SERIAL read.
//
// A transaction that ends in an error may have been applied, now or later: its
// proposal may lie accepted at one replica. It is never repeated. Each carries
// a random number, its proposal, which the row keeps; a read at SERIAL, which
// finishes what lies accepted, then tells: the number is there, or another one
// made that generation, or neither. The last is store.ErrUnknown.
//
// The writers of one key in this process follow one another, so that a hundred
// requests for one session are one writer to the cluster and not a crowd whose
// ballots overtake each other. Generations only grow: whoever waited behind the
// winner is told from what the winner saw.
//
// # Ends
//
// Every row of a session, document, mark or revocation is written with a TTL of
// its end less now plus 600 seconds (a mark's and a revocation's end is that of
// its bucket) and every change writes every column with the TTL of the same
// end, so no column outlives another by more than clocks differ. Nothing is
// written after the end: the TTL would be under 600, and 0 means for ever. Ends
// are judged by Config.Now, and TTLs are relative, so the servers' clocks have
// no say in them.
//
// Retire therefore drops nothing and returns 0. It raises a watermark in this
// process, below which nothing is read or written any more.
//
// # The feed
//
// A revocation lies in a partition named by its class and when it was added, by
// the clock of the cluster. A cursor is that clock too, and Since goes back 30
// seconds behind it: an Add that took longer than 10 is written once more.
//
// # Making a store
//
// Open makes the keyspace and the tables, at one node, the first by its id: two
// nodes that make one table at the same time make two of it. It makes nothing
// while the nodes that answer have different schemas, and no keyspace before the
// ring has been the same for 3 seconds and has as many nodes as Hosts names: a
// keyspace keeps the copies it was made with. What is there and differs is
// store.ErrSchema; nothing is ever changed.
//
// # Lists
//
// Cassandra keeps partitions in the order of a hash. Sessions.List reads the
// whole table and keeps the lowest ids of the page, so every page costs the
// table: ask for large pages. Export goes in the order of the hash, each page
// once.
package cassandra
