package survey

import "encoding/json"

// Times are written in seconds, as everywhere in what the commands print.

// MarshalJSON adds the hint window.
func (k Keyspace) MarshalJSON() ([]byte, error) {
	type plain Keyspace
	return json.Marshal(struct {
		plain
		HintWindow float64 `json:"max_hint_window_seconds,omitempty"`
	}{plain(k), k.HintWindow.Seconds()})
}

// MarshalJSON adds the clock, unless the node was not reached.
func (n Node) MarshalJSON() ([]byte, error) {
	type plain Node
	v := struct {
		plain
		Ahead  *float64 `json:"clock_ahead_seconds,omitempty"`
		Within *float64 `json:"clock_within_seconds,omitempty"`
	}{plain: plain(n)}
	if n.Reached {
		ahead, within := n.Ahead.Seconds(), n.Within.Seconds()
		v.Ahead, v.Within = &ahead, &within
	}
	return json.Marshal(v)
}

// MarshalJSON adds the two settings that are times.
func (t Table) MarshalJSON() ([]byte, error) {
	type plain Table
	return json.Marshal(struct {
		plain
		GCGrace    float64 `json:"gc_grace_seconds"`
		DefaultTTL float64 `json:"default_time_to_live"`
	}{plain(t), t.GCGrace.Seconds(), t.DefaultTTL.Seconds()})
}

// MarshalJSON adds the longest life.
func (s Sample) MarshalJSON() ([]byte, error) {
	type plain Sample
	return json.Marshal(struct {
		plain
		Longest float64 `json:"longest_life_seconds"`
	}{plain(s), s.Longest.Seconds()})
}
