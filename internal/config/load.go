package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxSize bounds a configuration file, in bytes.
const MaxSize = 1 << 20

// Load reads the file at path. The error is the file system's, or Problems with
// everything that is wrong in the file.
func Load(path string) (*Config, error) {
	data, err := readBounded(path, MaxSize)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads data as the contents of the file at path, which is for messages
// and for the folder that relative paths start at. The error is Problems.
func Parse(path string, data []byte) (*Config, error) {
	l := &loader{file: path, dir: filepath.Dir(path), at: map[any]*yaml.Node{}}
	cfg := &Config{File: path}
	if root := l.parse(data); root != nil {
		l.lint(root)
		l.block(reflect.ValueOf(cfg).Elem(), root, "")
		l.check(cfg)
	}
	if len(l.problems) > 0 {
		return nil, l.problems.sorted()
	}
	return cfg, nil
}

// loader reads one file. It remembers where each field was read from, by the
// field's address, so that later checks can say so.
type loader struct {
	file, dir string
	at        map[any]*yaml.Node
	problems  Problems
}

func (l *loader) fail(n *yaml.Node, near, format string, args ...any) {
	l.failAt(n.Line, n.Column, near, fmt.Sprintf(format, args...))
}

func (l *loader) failAt(line, column int, near, message string) {
	l.problems = append(l.problems, Problem{l.file, max(line, 1), max(column, 1), message, near})
}

// parse returns the one document's mapping, or nil with what is wrong.
func (l *loader) parse(data []byte) *yaml.Node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if line, column, ok := validUTF8(data); !ok {
		l.failAt(line, column, "", "the file is not UTF-8")
		return nil
	}
	var doc, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && doc.Content[0].ShortTag() == "!!null" {
		l.failAt(1, 1, "", "the file is empty; 'longcase config example' prints a complete one")
		return nil
	}
	if err != nil {
		l.syntax(err, data)
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		l.fail(&second, "", "a second document: the file holds one")
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err, data)
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		l.fail(root, "", "the file holds keys and values, not %s", kindOf(root))
		return nil
	}
	return root
}

// validUTF8 returns where the first byte that is not UTF-8 stands.
func validUTF8(data []byte) (line, column int, ok bool) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			return line, column, false
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		data = data[size:]
	}
	return 0, 0, true
}

var (
	syntaxForm = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)
	secretForm = regexp.MustCompile(secretPattern)
)

// secretPattern is a reference to the environment, whole.
const secretPattern = `^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`

// syntax tells an error of the YAML parser, which knows the line at most.
func (l *loader) syntax(err error, data []byte) {
	line, message := 1, err.Error()
	if m := syntaxForm.FindStringSubmatch(message); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		message = m[2]
	}
	if strings.HasSuffix(message, "'}'") && bytes.Contains(data, []byte("${")) {
		message += "; inside { } a reference stands in quotes: \"${NAME}\""
	}
	l.failAt(line, 1, "", "not YAML: "+strings.ReplaceAll(message, "\n", " "))
}

// lint refuses what YAML has and this file does not: a text that means another
// one, or a type that is not the one it looks like.
func (l *loader) lint(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		l.fail(n, "", "aliases are not supported: write the value out")
		return
	case n.Anchor != "":
		l.fail(n, "", "anchors are not supported: write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		l.fail(n, "", "tags are not supported")
	}
	for _, c := range n.Content {
		l.lint(c)
	}
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "a text"
}
