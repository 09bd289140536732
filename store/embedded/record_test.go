package embedded

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
)

// FuzzDecode feeds every decoder. A record that is taken is spelt in the one way
// its encoder spells it.
func FuzzDecode(f *testing.F) {
	end := time.Unix(1_772_000_000, 0).UTC()
	id := store.NewID(end.Add(-time.Hour), end)
	f.Add(encodeSession(store.Session{End: end, Generation: 300, Ended: true, Client: "c", Subject: "s", Data: []byte("d")}))
	f.Add(encodeDocument(store.Document{End: end, Version: 1, Data: []byte("d")}))
	f.Add(encodeRevocation(store.Revocation{Kind: store.RevokedSubject, Value: "v", Before: end.Add(time.Millisecond), End: end}))
	f.Add(encodeRevocation(store.Revocation{Kind: store.RevokedToken, Value: "v", End: end}))
	f.Add(encodeEntry(store.Entry{Version: 7}))
	f.Add(encodeEntry(store.Entry{Version: 7, Value: []byte{}}))
	f.Add([]byte{recordVersion, 0x80, 0x00})
	f.Add([]byte{2})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := decodeSession(idKey(kindSession, id), value)
		oneSpelling(t, "session", value, encodeSession(s), err)
		d, err := decodeDocument(documentKey(store.Code, id), value)
		oneSpelling(t, "document", value, encodeDocument(d), err)
		r, err := decodeRevocation(revocationKey(1, 2), value)
		oneSpelling(t, "revocation", value, encodeRevocation(r), err)
		e, err := decodeEntry(registryKey("k"), value)
		oneSpelling(t, "entry", value, encodeEntry(e), err)
	})
}

func oneSpelling(t *testing.T, what string, value, again []byte, err error) {
	t.Helper()
	switch {
	case err != nil && !errors.Is(err, ErrCorrupt):
		t.Errorf("%s: %v, want ErrCorrupt", what, err)
	case err == nil && !bytes.Equal(value, again):
		t.Errorf("%s: took %x, which is spelt %x", what, value, again)
	}
}

func TestKeysSortByTheirEnd(t *testing.T) {
	now := time.Unix(1_772_000_000, 0)
	early := idKey(kindSession, store.NewID(now, now.Add(time.Hour)))
	late := idKey(kindSession, store.NewID(now, now.Add(2*time.Hour)))
	bucket := bucketOf(early)
	order := [][]byte{bucketKey(kindSession, bucket), early, bucketKey(kindSession, bucket+1), late}
	if !slices.IsSortedFunc(order, bytes.Compare) {
		t.Errorf("%x: want a bucket's beginning, a key in it, its end, a key behind it", order)
	}
	if !bytes.Equal(bucketKey(kindSession, -5), bucketKey(kindSession, 0)) {
		t.Error("a time before 1970 is not the beginning")
	}
	if got := after([]byte{'g', 0xff, 0xff}); !bytes.Equal(got, []byte{'h'}) {
		t.Errorf("after = %x, want h", got)
	}
}
