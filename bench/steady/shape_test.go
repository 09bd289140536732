package steady

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRecordsAreTheIssuers holds what is written here against what the issuer
// writes: the members of its records, as their declarations say.
func TestRecordsAreTheIssuers(t *testing.T) {
	l, now := Usual(1), start()
	for _, tt := range []struct {
		file, name string
		data       []byte
	}{
		{"session.go", "sessionData", l.session(now).Data},
		{"code.go", "codeData", used(l.code(now, "alice"), l.session(now).ID).Data},
		{"login_session.go", "loginData", l.login(now, "alice").Data},
	} {
		source, err := os.ReadFile(filepath.Join("..", "..", "issuer", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		_, block, _ := strings.Cut(string(source), "type "+tt.name+" struct {")
		block, _, _ = strings.Cut(block, "\n}")
		want := map[string]bool{}
		for _, m := range regexp.MustCompile(`json:"([a-z_]+)`).FindAllStringSubmatch(block, -1) {
			want[m[1]] = true
		}
		delete(want, "nonce") // of OpenID Connect alone
		delete(want, "ended") // of a login that was ended
		var has map[string]any
		if err := json.Unmarshal(tt.data, &has); err != nil {
			t.Fatalf("%s: %v: %s", tt.name, err, tt.data)
		}
		if got, want := slices.Sorted(maps.Keys(has)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			t.Errorf("%s is written with %v, the issuer's has %v", tt.name, got, want)
		}
	}
}

func TestSlopeIsPerLifetimeAndOfTheMean(t *testing.T) {
	r := Result{Run: Run{Load: Usual(1), Warm: 24 * time.Hour}}
	for h := 12.0; h <= 60; h += 6 { // 100 MB at 36 h after the warm-up's end on average, 6 MB more every 12 h
		r.Samples = append(r.Samples, Sample{At: time.Duration(h * float64(time.Hour)), Disk: 100e6 + 6e6*(h-45)/12})
	}
	if got := r.Slope(); math.Abs(got-0.06) > 1e-9 {
		t.Errorf("Slope = %v, want 0.06", got)
	}
	if got := r.Disk(); math.Abs(got-100e6) > 1 {
		t.Errorf("Disk = %v, want the mean after the warm-up, 100 MB", got)
	}
}

func TestTheGraphIsXML(t *testing.T) {
	var b strings.Builder
	lines := []Line{{Name: "a", Color: "#000", Points: [][2]float64{{0, 0}, {14, 13.9}}}, {Name: "b", Color: "#111", Points: [][2]float64{{1, 1}, {14, 1.2}}}}
	if err := Graph(&b, "Disk over what is live", lines); err != nil {
		t.Fatal(err)
	}
	points := 0
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "polyline" {
			points++
		}
	}
	if points != len(lines) {
		t.Errorf("%d lines drawn, want %d", points, len(lines))
	}
}
