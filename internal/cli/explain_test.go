package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// FuzzExplain: whatever the text, the explanation is printed without moving the
// cursor, and a token the strict parser takes is explained as a JWT.
func FuzzExplain(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4IiwiZXhwIjoxZTMwMCwiaWF0IjotMX0.AAAA")
	f.Add("eyJhbGciOiJub25lIn0.eyJhdWQiOlsiYSIsIioiXSwiZXhwIjoyNTM0MDIzMDA3OTksImlhdCI6MH0.")
	f.Add("lc_rt_AGkkjxAAAQIDBAUGBwgJCgsMDQ4PAAAAAAAAAAMAAAAAAAAAAAAAAAAAAAAA")
	f.Add("lc_cs_x")
	f.Add("a.b.c.d.e")
	now := time.Unix(1764000000, 0)
	f.Fuzz(func(t *testing.T, raw string) {
		x := explain(raw, now)
		var out bytes.Buffer
		if err := x.print(&out, now); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
			t.Errorf("%q is explained with a control character: %q", raw, out.String())
		}
		if err := printJSON(&out, x); err != nil {
			t.Fatal(err)
		}
		j, err := token.Parse(raw)
		if err != nil {
			return
		}
		if _, err := j.Claims(); x.Kind != "jwt" && (x.Kind != "jws" || err == nil) {
			t.Errorf("%q is explained as %s", raw, x.Kind)
		}
	})
}

func TestSpan(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {999 * time.Millisecond, "0s"}, {59 * time.Second, "59s"}, {-90 * time.Second, "1m 30s"},
		{time.Hour + time.Second, "1h"}, {26 * time.Hour, "1d 2h"}, {400 * day, "1y 35d"}, {1<<63 - 1, "292y 171d"},
	}
	for _, tt := range tests {
		if got := span(tt.d); got != tt.want {
			t.Errorf("span(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestBar(t *testing.T) {
	begin := time.Unix(1000, 0)
	end := begin.Add(40 * time.Second)
	tests := []struct {
		name string
		at   time.Duration
		want string
	}{
		{"before", -time.Second, "> [" + strings.Repeat("-", 40) + "]"},
		{"at the beginning", 0, "[>" + strings.Repeat("-", 39) + "]"},
		{"in the middle", 20 * time.Second, "[" + strings.Repeat("=", 20) + ">" + strings.Repeat("-", 19) + "]"},
		{"at the last instant", 40*time.Second - 1, "[" + strings.Repeat("=", 39) + ">]"},
		{"the end is exclusive", 40 * time.Second, "[" + strings.Repeat("=", 40) + "] >"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := bar(begin, end, begin.Add(tt.at)); got != tt.want {
				t.Errorf("bar = %q, want %q", got, tt.want)
			}
		})
	}
}
