package doctor

import "slices"

// ours reports whether these are Longcase's own tables.
func ours(tables []string) bool {
	for _, t := range []string{"sessions", "marks", "registry"} {
		if !slices.Contains(tables, t) {
			return false
		}
	}
	return true
}

// ends reports whether rows of a table of ours have an end.
func ends(table string) bool {
	switch table {
	case "sessions", "documents", "marks", "revocations":
		return true
	}
	return false
}

// lasts reports whether rows of a table of ours must not end.
func lasts(table string) bool { return table == "registry" || table == "state" }

// appended reports whether rows of a table of ours are written once.
func appended(table string) bool { return table == "marks" || table == "revocations" }
