package postgres

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/longcase/longcase/store"
)

const (
	bucketBytes = 5 // of an id
	nameBytes   = 16
)

// parts takes an id apart as the tables keep it: its bucket and the 128 bits
// behind it.
func parts(id store.ID) (bucket int64, name pgtype.UUID) {
	name.Valid = true
	copy(name.Bytes[:], id[bucketBytes:])
	return id.Bucket().Unix(), name
}

// join puts an id together again.
func join(bucket int64, name pgtype.UUID) (id store.ID) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(bucket))
	copy(id[:bucketBytes], b[8-bucketBytes:])
	copy(id[bucketBytes:], name.Bytes[:nameBytes])
	return id
}

// stored is data as a column keeps it: empty, not null.
func stored(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

func at(s int64) time.Time { return time.Unix(s, 0).UTC() }
