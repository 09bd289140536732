package longcase_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/longcase/longcase/"

// house is the map of DESIGN: each room and the rooms it may import. Imports
// flow down only, and a room that is not here does not exist. Tests may import
// more: they are guests.
var house = map[string][]string{
	"token":                  {},
	"jwks":                   {"token"},
	"discovery":              {"token"},
	"jwks/remote":            {"discovery", "jwks", "token"},
	"store":                  {"token"},
	"store/storetest":        {"store", "token"},
	"store/memory":           {"store", "token"},
	"store/internal/node":    {"store"},
	"store/embedded":         {"store", "store/internal/node", "token"},
	"store/postgres":         {"store", "store/internal/node", "token"},
	"store/cassandra":        {"store", "store/internal/node", "token"},
	"store/cassandra/survey": {"store/cassandra"},
	"verify":                 {"jwks", "verify/skew", "token"},
	"verify/skew":            {"token"},
	"verify/dpop":            {"jwks", "token"},
	"clientauth":             {"token"},
	"verify/early":           {"token"},
	"fresh":                  {"token"},
	"fresh/ask":              {"fresh", "token"},
	"fresh/aws":              {"fresh", "fresh/ask", "fresh/run", "token"},
	"fresh/google":           {"fresh", "fresh/ask", "fresh/run", "token"},
	"fresh/azure":            {"fresh", "fresh/ask", "token"},
	"fresh/oauth":            {"clientauth", "discovery", "fresh", "fresh/ask", "token"},
	"fresh/file":             {"fresh", "token"},
	"fresh/command":          {"fresh", "fresh/run", "token"},
	"fresh/run":              {},
	"fresh/selfsign":         {"fresh", "token"},
	"fresh/grpc":             {"fresh"},
	"gate":                   {"clientauth", "verify", "verify/dpop", "verify/early", "verify/skew", "jwks", "jwks/remote", "token"},
	"gate/grpc":              {"gate", "verify", "token"},
	"gate/extauthz":          {"gate", "token"},
	"gate/introspect":        {"clientauth", "discovery", "token"},
	"internal/clock":         {"verify/skew"},
	"internal/gatetest":      {"token"},
	"internal/servertest":    {},
	"internal/move":          {"store"},
	"internal/doctor":        {"store/cassandra/survey"},
	"issuer":                 {"issuer/pages", "issuer/password", "store", "verify", "verify/early", "jwks", "token"},
	"issuer/keys":            {"store", "jwks", "token"},
	"issuer/pages":           {},
	"issuer/password":        {},
	"internal/config":        {"issuer/password", "token"},
	"internal/admin":         {},
	"internal/telemetry":     {"issuer", "gate", "fresh", "internal/agent", "verify/skew"},
	"internal/agent":         {"internal/agent/peer", "internal/agent/render", "fresh", "token"},
	"internal/agent/peer":    {},
	"internal/agent/render":  {},
	"internal/clouds":        {"jwks", "token"},
	"internal/plan":          {"internal/config", "store", "token"},
	"internal/chains": {"internal/config", "fresh", "fresh/ask", "fresh/aws", "fresh/google", "fresh/azure", "fresh/oauth", "fresh/file",
		"fresh/command", "fresh/selfsign", "token"},
	"internal/app": {"internal/config", "internal/admin", "internal/telemetry", "internal/agent", "internal/agent/render", "internal/chains",
		"fresh", "fresh/aws", "fresh/oauth", "issuer", "issuer/keys", "issuer/password",
		"clientauth", "gate", "gate/extauthz", "gate/introspect", "internal/clock", "verify", "verify/skew", "jwks", "jwks/remote", "store", "store/embedded", "store/postgres", "store/cassandra", "store/cassandra/survey", "internal/doctor", "internal/move", "token"},
	"internal/cli": {"internal/config", "internal/doctor", "internal/move", "store", "internal/admin", "internal/app", "internal/plan", "internal/agent/render", "internal/chains", "fresh", "fresh/aws", "fresh/oauth", "issuer/password",
		"verify", "verify/skew", "jwks", "jwks/remote", "token"},
	"cmd/longcase":    {"internal/cli"},
	"examples/clouds": {"internal/clouds", "jwks", "token"},
}

// pure names the rooms that decide and do nothing else.
var pure = []string{"token", "discovery", "verify", "verify/early", "verify/skew", "verify/dpop", "fresh", "issuer/pages", "internal/agent/render", "internal/plan"}

// owners names the only rooms that may import what is heavy or has effects.
var owners = map[string][]string{
	"net/http": {"jwks/remote", "gate", "gate/grpc", "gate/extauthz", "gate/introspect", "clientauth", "issuer", "fresh/ask", "fresh/aws", "fresh/google", "fresh/azure", "fresh/oauth",
		"internal/admin", "internal/agent", "internal/clouds", "internal/telemetry", "internal/app", "internal/cli", "examples/clouds"},
	"github.com/aws":                   {"fresh/aws", "fresh/google", "internal/clouds"},
	"github.com/Azure":                 {"fresh/azure"},
	"cloud.google.com/go":              {"fresh/google"},
	"golang.org/x/oauth2":              {"fresh/oauth", "fresh/google"},
	"google.golang.org/grpc":           {"fresh/grpc", "gate/grpc", "gate/extauthz"},
	"github.com/envoyproxy":            {"gate/extauthz"},
	"github.com/beevik/ntp":            {"internal/clock"},
	"github.com/facebook/time":         {"internal/clock"},
	"github.com/cockroachdb/pebble/v2": {"store/embedded"},
	"github.com/jackc/pgx":             {"store/postgres"},
	"github.com/apache":                {"store/cassandra", "store/cassandra/survey"},
	"github.com/prometheus":            {"internal/telemetry"},
	"github.com/spf13/cobra":           {"internal/cli"},
	"go.yaml.in/yaml/v3":               {"internal/config"},
	"github.com/go-jose/go-jose":       {"jwks"},
}

func TestImportsFlowDown(t *testing.T) {
	for file, imports := range importsByFile(t) {
		room := filepath.ToSlash(filepath.Dir(file))
		allowed, known := house[room]
		if !known {
			t.Errorf("%s: room %q is not on the map", file, room)
			continue
		}
		for _, path := range imports {
			if inner, ours := strings.CutPrefix(path, module); ours && !slices.Contains(allowed, inner) {
				t.Errorf("%s: %s must not import %s", file, room, inner)
			}
			if slices.Contains(pure, room) && slices.Contains([]string{"net/http", "os", "log", "log/slog"}, path) {
				t.Errorf("%s: %s decides and does nothing else, but imports %s", file, room, path)
			}
			for heavy, rooms := range owners {
				if (path == heavy || strings.HasPrefix(path, heavy+"/")) && !slices.Contains(rooms, room) {
					t.Errorf("%s: %s must not import %s", file, room, path)
				}
			}
		}
	}
}

// importsByFile lists the imports of every source file of this module.
func importsByFile(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bench", "e2e", "testdata", "node_modules"}, d.Name())):
			return filepath.SkipDir // bench and e2e are modules of their own
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files[path] = []string{}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			files[path] = append(files[path], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
