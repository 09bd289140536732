package config

import "strings"

// nearest returns the candidate that s most likely meant, or "" if none is near:
// at most a third of it differs, counting swapped neighbours as one.
func nearest(s string, candidates []string) string {
	const longest = 64
	if len(s) > longest {
		return ""
	}
	best, limit := "", max(1, len(s)/3)
	for _, c := range candidates {
		if d := distance(fold(s), fold(c)); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// fold makes spellings equal that people mix up.
func fold(s string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(s))
}

// distance is the optimal string alignment distance of a and b in bytes.
func distance(a, b string) int {
	var before, prev, row []int
	prev = make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row = make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(prev[j+1]+1, row[j]+1, prev[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
