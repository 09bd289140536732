package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// ID names a stored record. It begins with the end of the record's bucket in
// Unix seconds (40 bits, big-endian), so that every engine finds its place
// without an index and drops a bucket as one range; 128 random bits follow.
type ID [21]byte

const endBytes = 5

// ErrBadID says that a text is not an ID.
var ErrBadID = errors.New("store: not an id")

// Class is the width of a bucket. It follows from the kind of record and how
// long such a record may live, never from configuration.
type Class time.Duration

// The three classes.
const (
	Short  Class = Class(3 * time.Minute) // lives up to 1 h
	Medium Class = Class(time.Hour)       // lives up to 2 days
	Long   Class = Class(24 * time.Hour)  // longer lives
)

// ClassOf returns the class of records that live for life.
func ClassOf(life time.Duration) Class {
	switch {
	case life <= time.Hour:
		return Short
	case life <= 48*time.Hour:
		return Medium
	default:
		return Long
	}
}

// Bucket is end rounded up to the width of c.
func (c Class) Bucket(end time.Time) time.Time {
	width := int64(time.Duration(c) / time.Second)
	s := end.Unix()
	if end.Nanosecond() > 0 {
		s++
	}
	return time.Unix((s+width-1)/width*width, 0).UTC()
}

// NewID returns a fresh id in the bucket of end, for a record that begins at
// now. It uses crypto/rand.
func NewID(now, end time.Time) ID {
	var id ID
	if _, err := io.ReadFull(rand.Reader, id[endBytes:]); err != nil {
		panic(err) // crypto/rand does not fail
	}
	id.setBucket(ClassOf(end.Sub(now)).Bucket(end))
	return id
}

// ID is where the mark lies: its bucket from End, the rest from a hash of what
// it names.
func (m Mark) ID() ID {
	h := sha256.New()
	for _, s := range []string{m.Kind, m.Scope, m.Value} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var id ID
	copy(id[endBytes:], h.Sum(nil))
	id.setBucket(Short.Bucket(m.End))
	return id
}

// ParseID reads what String wrote, and nothing else.
func ParseID(s string) (ID, error) {
	if len(s) != base64.RawURLEncoding.EncodedLen(len(ID{})) {
		return ID{}, ErrBadID
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(ID{}) { // a line feed inside is skipped by the decoder
		return ID{}, ErrBadID
	}
	return ID(b), nil
}

// String writes the id as 28 characters of base64url.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Bucket is the end of the id's bucket: nothing under this id lives longer.
func (id ID) Bucket() time.Time {
	var b [8]byte
	copy(b[8-endBytes:], id[:endBytes])
	return time.Unix(int64(binary.BigEndian.Uint64(b[:])), 0).UTC()
}

func (id *ID) setBucket(end time.Time) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(end.Unix()))
	copy(id[:endBytes], b[8-endBytes:])
}
