package store

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/internal/servertest"
)

// The benchmarks run as in earnest, with little to do: no figure is judged.
func TestBenchmarksRun(t *testing.T) {
	rotation := Rotation{Live: 300, Rounds: 2, Interval: 30 * time.Millisecond}
	retirement := Retirement{Sessions: 2000, Live: 300, Window: 200 * time.Millisecond}
	s := servertest.StartPostgres(t, "")
	server := Postgres{URL: s.URL("postgres"), Dir: filepath.Join(s.Dir, "data")}
	for _, tt := range []struct {
		name string
		run  func(io.Writer) error
		want string
	}{
		{"rotations embedded", func(w io.Writer) error { return rotation.Embedded(t.Context(), w, t.TempDir()) }, "bare disk, longcase embedded, bbolt, goal S1"},
		{"retiring embedded", func(w io.Writer) error { return retirement.Embedded(t.Context(), w, t.TempDir()) }, "longcase embedded, delete by delete, at most 100ms"},
		{"rotations on PostgreSQL", func(w io.Writer) error { return rotation.Postgres(t.Context(), w, server) }, "bare UPDATE, Replace, Load and Replace"},
		{"retiring on PostgreSQL", func(w io.Writer) error { return retirement.Postgres(t.Context(), w, server) }, "longcase on PostgreSQL, DELETE, DROP TABLE, at most 250ms"},
		{"rotations on Cassandra", func(w io.Writer) error {
			return rotation.Cassandra(t.Context(), w, servertest.StartCassandra(t, 1).Hosts[0])
		}, "bare UPDATE IF, Replace, Load and Replace"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := tt.run(&out); err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + out.String())
			for _, want := range strings.Split(tt.want, ", ") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the table lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// One lucky round on either side does not move the figure, only the brackets.
func TestRatiosAreOfMedians(t *testing.T) {
	got := over([]float64{50, 110, 90}, []float64{100, 100, 120})
	if want := (ratio{0.9, 0.5, 1.1}); got != want {
		t.Errorf("over = %+v, want %+v", got, want)
	}
}
