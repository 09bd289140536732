package embedded

import (
	"encoding/binary"
	"fmt"

	"github.com/longcase/longcase/store"
)

// kind is the first byte of a key.
type kind byte

// The kinds. Keys of a kind that ends go on with an id; registry and meta keys
// with their text.
const (
	kindDocument   kind = 'd'
	kindMark       kind = 'm'
	kindRevocation kind = 'r'
	kindSession    kind = 's'
	kindRegistry   kind = 'g'
	kindMeta       kind = 'x'
)

// ending lists the kinds that Retire drops.
func ending() []kind { return []kind{kindDocument, kindMark, kindRevocation, kindSession} }

func (k kind) String() string {
	switch k {
	case kindDocument:
		return "document"
	case kindMark:
		return "mark"
	case kindRevocation:
		return "revocation"
	case kindSession:
		return "session"
	case kindRegistry:
		return "entry"
	default:
		return "meta"
	}
}

const (
	endBytes      = 5 // as in store.ID
	idBytes       = len(store.ID{})
	sequenceBytes = 8
)

func idKey(k kind, id store.ID) []byte {
	return append([]byte{byte(k)}, id[:]...)
}

// documentKey ends with the document's kind: one id may name one of each.
func documentKey(k store.DocumentKind, id store.ID) []byte {
	return append(idKey(kindDocument, id), k...)
}

func registryKey(key string) []byte { return append([]byte{byte(kindRegistry)}, key...) }

func metaKey(name string) []byte { return append([]byte{byte(kindMeta)}, name...) }

// bucketKey is where the records of k whose bucket ends at end or later begin.
func bucketKey(k kind, end int64) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(max(end, 0)))
	key[8-endBytes-1] = byte(k)
	return key[8-endBytes-1:]
}

// bucketOf is the end of the bucket that a key lies in.
func bucketOf(key []byte) int64 {
	var b [8]byte
	copy(b[8-endBytes:], key[1:])
	return int64(binary.BigEndian.Uint64(b[:]))
}

// revocationKey orders a bucket by when its revocations were added.
func revocationKey(bucket int64, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(bucketKey(kindRevocation, bucket), sequence)
}

func sequenceOf(key []byte) uint64 {
	if len(key) != 1+endBytes+sequenceBytes {
		return 0
	}
	return binary.BigEndian.Uint64(key[1+endBytes:])
}

// keyName says what a key is, for errors.
func keyName(key []byte) string {
	if len(key) == 0 {
		return "an empty key"
	}
	k, rest := kind(key[0]), key[1:]
	switch {
	case k == kindRegistry || k == kindMeta:
		return fmt.Sprintf("%s %q", k, rest)
	case len(rest) < idBytes:
		return fmt.Sprintf("%s %x", k, rest)
	default:
		return fmt.Sprintf("%s %s %s", k, store.ID(rest[:idBytes]), rest[idBytes:])
	}
}

// after is the first key behind all that begin with prefix; nil if there is none.
func after(prefix []byte) []byte {
	end := append([]byte{}, prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
