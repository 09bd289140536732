package verify

// table finds entries by their hash: open addressing, the next slot where one is
// taken. A slot says where an entry's token is, so that the token and the entry
// come from memory at once and not one after the other. The zero table is empty.
type table struct {
	slots []slot // a power of two, three quarters taken at most
	taken int
}

type slot struct {
	hash uint64
	raw  string
	e    *entry // nil: free
}

const leastSlots = 8

// find returns the slot of a hash, or a free one. No two entries have the same.
func (t *table) find(hash uint64) slot {
	if t.taken == 0 {
		return slot{}
	}
	return t.slots[t.place(hash)]
}

// place is where a hash is, or would be.
func (t *table) place(hash uint64) uint64 {
	last := uint64(len(t.slots) - 1)
	i := hash & last
	for t.slots[i].e != nil && t.slots[i].hash != hash {
		i = (i + 1) & last
	}
	return i
}

// add takes an entry whose hash is not there.
func (t *table) add(s slot) {
	if 4*(t.taken+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]slot, max(2*len(old), leastSlots))
		for _, s := range old {
			if s.e != nil {
				t.slots[t.place(s.hash)] = s
			}
		}
	}
	t.slots[t.place(s.hash)] = s
	t.taken++
}

// remove frees the slot of a hash that is there, and moves those back that would
// not be found any more.
func (t *table) remove(hash uint64) {
	last := uint64(len(t.slots) - 1)
	free := t.place(hash)
	for i := (free + 1) & last; t.slots[i].e != nil; i = (i + 1) & last {
		if home := t.slots[i].hash; (i-home)&last >= (i-free)&last {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = slot{}
	t.taken--
}
