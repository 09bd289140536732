package longcase_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
)

// TestReasonsAreDocumented holds docs/reasons.md against the one table of
// reasons: each row as the program says it.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range token.Reasons() {
		m := r.Meaning()
		row := fmt.Sprintf("| `%s` | %d | %s | %s | %s |", r, m.Status, code(m.OAuth), m.Title, m.Remedy)
		if !strings.Contains(string(page), row+"\n") {
			t.Errorf("docs/reasons.md lacks the row\n%s", row)
		}
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
