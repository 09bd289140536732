package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestTheDocsShowTheExampleAndTheTables holds docs/configuration.md against what
// the program takes.
func TestTheDocsShowTheExampleAndTheTables(t *testing.T) {
	data, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	if !strings.Contains(page, "```yaml\n"+Example+"```\n") {
		t.Error("docs/configuration.md does not show 'longcase config example' as it is")
	}
	for _, name := range Kinds() {
		k := kinds[name]
		row := fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", name, code(k.needs), code(k.takes), words(materials(k.from)), k.gives)
		if !strings.Contains(page, row) {
			t.Errorf("docs/configuration.md lacks the row\n%s", row)
		}
	}
	for name, f := range forms {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, code(f.needs), code(f.takes), materials(f.of))
		if !strings.Contains(page, row) {
			t.Errorf("docs/configuration.md lacks the row\n%s", row)
		}
	}
}

// code writes a list of keys as the page does.
func code(keys string) string {
	if keys == "" {
		return "-"
	}
	list := strings.Fields(keys)
	slices.Sort(list)
	return "`" + strings.Join(list, "` `") + "`"
}

func words(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
