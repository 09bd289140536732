package token

import (
	"strconv"
	"strings"
	"time"
)

// Seconds writes d the way diagnoses do: "21 s", "0.4 s", "90 s".
func Seconds(d time.Duration) string {
	s := d.Round(100 * time.Millisecond).Seconds()
	return strconv.FormatFloat(s, 'f', -1, 64) + " s"
}

// Clip bounds what a stranger can put into a sentence or a line of log.
func Clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
