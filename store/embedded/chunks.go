package embedded

import (
	"encoding/binary"
	"hash/crc32"
)

// The format of Pebble's lists and logs (pebble/v2/record): blocks of chunks,
// each a CRC of what follows the length, a length and a type; those of a log go
// on with the number of the log and how much of it was on disk when the chunk
// was written. Then come so many bytes. No chunk crosses a block.
const (
	blockBytes = 32 << 10
	lengthAt   = 4
	typeAt     = 6
	logAt      = 7
	syncedAt   = 11

	listHeader, logHeader = 7, 19
	listType, logType     = 1, 9 // the first of four each
	chunkTypes            = 4
)

// chunks is one file as Pebble reads it.
type chunks struct {
	data   []byte
	header int
	first  byte // type
	log    uint32
}

func list(data []byte) chunks { return chunks{data: data, header: listHeader, first: listType} }

func logOf(data []byte, number uint32) chunks {
	return chunks{data: data, header: logHeader, first: logType, log: number}
}

// whole returns the size of the chunk at at, 0 if there is none that is whole.
func (c chunks) whole(at int) int {
	b := c.data[at:]
	if len(b) < c.header || b[typeAt] < c.first || b[typeAt] >= c.first+chunkTypes {
		return 0
	}
	size := c.header + int(binary.LittleEndian.Uint16(b[lengthAt:]))
	if size > len(b) || size > blockBytes-at%blockBytes || c.header == logHeader && binary.LittleEndian.Uint32(b[logAt:]) != c.log {
		return 0
	}
	if checksum(b[typeAt:size]) != binary.LittleEndian.Uint32(b) {
		return 0
	}
	return size
}

// end is where the chunks that follow one another end.
func (c chunks) end() int {
	at := 0
	for at < len(c.data) {
		if left := blockBytes - at%blockBytes; left < c.header {
			at += left
			continue
		}
		size := c.whole(at)
		if size == 0 {
			break
		}
		at += size
	}
	return min(at, len(c.data))
}

func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

// damagedList returns where a MANIFEST holds something else than was written; -1
// where it does not. A power cut may leave the beginning of the last chunk:
// nothing follows it, and neither its length nor its checksum says that it was
// whole once.
func damagedList(data []byte) int {
	c := list(data)
	at := c.end()
	if at == len(data) {
		return -1
	}
	for behind := at + 1; behind < len(data); behind++ {
		if c.whole(behind) > c.header {
			return at
		}
	}
	if tornOff(data[at:]) {
		return -1
	}
	return at
}

func tornOff(tail []byte) bool {
	if len(tail) <= listHeader {
		return true
	}
	if listHeader+int(binary.LittleEndian.Uint16(tail[lengthAt:])) == len(tail) {
		return false
	}
	for kind := byte(listType); kind < listType+chunkTypes; kind++ {
		whole := append([]byte{kind}, tail[listHeader:]...)
		if checksum(whole) == binary.LittleEndian.Uint32(tail) {
			return false
		}
	}
	return true
}

// damagedLog returns where a log does not hold what was on disk once, as a later
// chunk says; -1 where it does. What follows the last chunk is whatever the file
// held when it was another log.
func damagedLog(data []byte, number uint32) int {
	c := logOf(data, number)
	at := c.end()
	for behind := at + 1; behind < len(data); behind++ {
		if c.whole(behind) > 0 && binary.LittleEndian.Uint64(data[behind+syncedAt:]) > uint64(at) {
			return at
		}
	}
	return -1
}
