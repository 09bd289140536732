package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestEveryMisspeltKeyIsNamedWhereItStands changes each key of the example, one
// at a time, in three ways people do.
func TestEveryMisspeltKeyIsNamedWhereItStands(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(Example), &doc); err != nil {
		t.Fatal(err)
	}
	keys := keyNodes(doc.Content[0])
	if len(keys) < 80 {
		t.Fatalf("the example has only %d keys", len(keys))
	}
	for _, key := range keys {
		for _, wrong := range []string{key.Value + key.Value[len(key.Value)-1:], key.Value[:1] + "x" + key.Value[1:], strings.ToUpper(key.Value)} {
			text := replaceAt(Example, key, wrong)
			_, err := Parse("f", []byte(text))
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%s for %s in line %d is taken: %v", wrong, key.Value, key.Line, err)
			}
			want := Problem{"f", key.Line, key.Column, "unknown key " + quote(wrong), key.Value}
			if !slices.Contains(problems, want) {
				t.Errorf("%v does not say %v", problems, want)
			}
		}
	}
}

// TestEveryWrongUnitIsNamedWhereItStands writes each duration of the example
// without its unit.
func TestEveryWrongUnitIsNamedWhereItStands(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(Example), &doc); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, n := range allNodes(&doc) {
		if _, ok := parseDuration(n.Value); !ok {
			continue
		}
		found++
		_, err := Parse("f", []byte(replaceAt(Example, n, "90")))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Line != n.Line || problems[0].Column != n.Column || problems[0].Near != "90s" {
			t.Errorf("90 for %s in line %d: %v", n.Value, n.Line, err)
		}
	}
	if found < 12 {
		t.Errorf("the example has only %d durations", found)
	}
}

func replaceAt(text string, n *yaml.Node, value string) string {
	lines := strings.SplitAfter(text, "\n")
	line := []rune(lines[n.Line-1])
	before, after := line[:n.Column-1], line[n.Column-1+len([]rune(n.Value)):]
	lines[n.Line-1] = string(before) + value + string(after)
	return strings.Join(lines, "")
}

func allNodes(n *yaml.Node) []*yaml.Node {
	nodes := []*yaml.Node{n}
	for _, c := range n.Content {
		nodes = append(nodes, allNodes(c)...)
	}
	return nodes
}

// keyNodes are the keys of n and of what is below it that the model knows:
// names that users choose are none.
func keyNodes(n *yaml.Node) []*yaml.Node {
	known := allKeys(reflect.TypeFor[Config]())
	var keys []*yaml.Node
	for _, m := range allNodes(n) {
		for i := 0; m.Kind == yaml.MappingNode && i < len(m.Content); i += 2 {
			if slices.Contains(known, m.Content[i].Value) || m.Content[i].Value == "file" {
				keys = append(keys, m.Content[i])
			}
		}
	}
	return keys
}

// TestAKeyBesideFileIsNamedWhereItStands holds what a secret may come from.
func TestAKeyBesideFileIsNamedWhereItStands(t *testing.T) {
	for secret, want := range map[string]Problem{
		"{file: s, fil: t}":  {"f", 2, 15, `unknown key "fil"`, "file"},
		"{fil: t, file: s}":  {"f", 2, 6, `unknown key "fil"`, "file"},
		"{file: s, file: t}": {"f", 2, 15, `duplicate key "file"`, ""},
		"{file: s, hash: t}": {"f", 2, 15, `unknown key "hash"; known here: file`, ""},
	} {
		_, err := Parse("f", []byte("keys: {encrypt_with:\n    "+secret+"}"))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.HasPrefix(problems[0].Message, want.Message) {
			t.Errorf("%s: %v, want %v", secret, err, want)
			continue
		}
		want.Message = problems[0].Message
		if problems[0] != want {
			t.Errorf("%s: %v, want %v", secret, problems[0], want)
		}
	}
}
