package config

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// block reads the keys of a mapping into a struct and fills in its defaults.
func (l *loader) block(v reflect.Value, n *yaml.Node, path string) {
	l.at[v.Addr().Interface()] = n
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		l.wrongKind(n, path, keysOf(fields))
		return
	}
	if l.laterKind(n, path) {
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if f := l.key(key, fields, seen, path); f != nil {
			l.value(v.FieldByIndex(f.index), value, *f, join(path, f.key))
		} else if f := l.meant(key.Value, fields); f != nil {
			l.at[v.FieldByIndex(f.index).Addr().Interface()] = key // one problem is enough
		}
	}
	for _, f := range fields {
		switch {
		case l.at[v.FieldByIndex(f.index).Addr().Interface()] != nil:
		case f.needed:
			l.fail(n, "", "%s is missing: %s", join(path, f.key), sentence(f.doc))
		default:
			l.defaults(v.FieldByIndex(f.index), f)
		}
	}
}

// key finds the field of a key, or says what is wrong with the key.
func (l *loader) key(n *yaml.Node, fields []field, seen map[string]bool, path string) *field {
	name := n.Value
	i := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
	switch {
	case n.Kind != yaml.ScalarNode:
		l.fail(n, "", "a key is a text, not %s", kindOf(n))
	case later[join(path, name)]:
		l.fail(n, "", "%s %s", join(path, name), notInThisVersion)
	case seen[name]:
		l.fail(n, "", "duplicate key %s", quote(name))
	case i < 0:
		l.unknown(n, keysOf(fields), path)
	default:
		seen[name] = true
		return &fields[i]
	}
	return nil
}

// meant is the field that a misspelt key was for, nil if none is near.
func (l *loader) meant(name string, fields []field) *field {
	if len(l.problems) > maxProblems {
		return nil
	}
	near := nearest(name, keysOf(fields))
	i := slices.IndexFunc(fields, func(f field) bool { return f.key == near })
	if i < 0 {
		return nil
	}
	return &fields[i]
}

func (l *loader) unknown(n *yaml.Node, keys []string, path string) {
	if len(l.problems) > maxProblems { // nobody will read more than their number
		l.fail(n, "", "unknown key")
	} else if near := nearest(n.Value, keys); near != "" {
		l.fail(n, near, "unknown key %s", quote(n.Value))
	} else if place := placeOf(n.Value); place != "" {
		l.fail(n, "", "unknown key %s; it belongs under %s", quote(n.Value), place)
	} else {
		l.fail(n, "", "unknown key %s; known here: %s", quote(n.Value), strings.Join(keys, ", "))
	}
}

// laterKind reports, in one line, a credential of a kind that is not in this
// version: its other keys are not worth a line each.
func (l *loader) laterKind(n *yaml.Node, path string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "kind" && later[join(path, "kind="+value.Value)] {
			l.fail(value, "", "%s %s %s", join(path, "kind"), quote(value.Value), notInThisVersion)
			return true
		}
	}
	return false
}

// value reads one value into its field, whatever its type.
func (l *loader) value(v reflect.Value, n *yaml.Node, f field, path string) {
	l.at[v.Addr().Interface()] = n
	if n.Kind == yaml.AliasNode { // refused already
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		l.duration(p, n, f, path)
		return
	case *Secret:
		l.secret(p, n, f, path)
		return
	case *Data:
		l.data(p, n, f, path)
		return
	case *netip.Prefix:
		l.prefix(p, n, path)
		return
	case *Span:
		l.span(p, n, path)
		return
	case *Rate:
		l.rate(p, n, path)
		return
	case *uint32:
		l.uid(p, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		l.block(v.Elem(), n, path)
	case reflect.Struct:
		l.block(v, n, path)
	case reflect.Slice:
		l.list(v, n, f, path)
	case reflect.Map:
		l.names(v, n, path)
	case reflect.Bool:
		l.boolean(v, n, path)
	default:
		l.text(v, n, f, path)
	}
}

// defaults fills in what the file leaves out: a field's default, and those of
// the block it is.
func (l *loader) defaults(v reflect.Value, f field) {
	switch {
	case f.is == "data":
		v.Set(reflect.ValueOf(Data{Engine: Embedded, Dir: l.resolve(f.standard)}))
	case f.standard == "" && v.Kind() == reflect.Struct:
		for _, inner := range fieldsOf(v.Type()) {
			l.defaults(v.FieldByIndex(inner.index), inner)
		}
	case f.standard == "":
	case v.Type() == reflect.TypeFor[time.Duration]():
		d, _ := parseDuration(f.standard)
		v.SetInt(int64(d))
	default:
		v.SetString(f.standard)
	}
}

func (l *loader) list(v reflect.Value, n *yaml.Node, f field, path string) {
	if n.Kind != yaml.SequenceNode {
		near := ""
		if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String && n.Value != "" {
			near = "[" + n.Value + "]"
		}
		l.fail(n, near, "%s is a list, not %s", path, kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	seen := map[string]bool{}
	for i, item := range n.Content {
		l.value(v.Index(i), item, f, path)
		if item.Kind == yaml.ScalarNode && seen[item.Value] && f.is != "argument" {
			l.fail(item, "", "%s names %s twice", path, quote(item.Value))
		}
		seen[item.Value] = true
	}
}

// names reads a mapping whose keys the user chooses.
func (l *loader) names(v reflect.Value, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		l.wrongKind(n, path, []string{"names"})
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := reflect.ValueOf(key.Value)
		if v.MapIndex(name).IsValid() {
			l.fail(key, "", "duplicate key %s", quote(key.Value))
			continue
		}
		if fault := checkName(key.Value); fault != nil {
			l.fail(key, fault.near, "%s %s", path, fault.message)
		}
		elem := reflect.New(v.Type().Elem().Elem())
		l.block(elem.Elem(), value, path)
		v.SetMapIndex(name, elem)
	}
}

func (l *loader) wrongKind(n *yaml.Node, path string, keys []string) {
	l.fail(n, "", "%s holds keys (%s), not %s", path, strings.Join(keys, ", "), kindOf(n))
}

func (l *loader) boolean(v reflect.Value, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && (n.Value == "true" || n.Value == "false") {
		v.SetBool(n.Value == "true")
		return
	}
	near := ""
	switch strings.ToLower(n.Value) {
	case "yes", "on", "true", "y", "1":
		near = "true"
	case "no", "off", "false", "n", "0":
		near = "false"
	}
	l.fail(n, near, "%s is true or false", path)
}

// text reads a text, which is one of a few or follows a rule.
func (l *loader) text(v reflect.Value, n *yaml.Node, f field, path string) {
	s, ok := l.scalar(n, f, path)
	if !ok {
		return
	}
	if len(f.of) > 0 {
		l.choice(n, s, f, path)
	} else if fault := checkText(f.is, s); fault != nil {
		l.fail(n, fault.near, "%s %s", path, fault.message)
	}
	v.SetString(l.settle(f.is, s))
}

// settle is what a text becomes: paths start at the file's folder, names that
// may be short are long.
func (l *loader) settle(is, s string) string {
	path, socket := strings.CutPrefix(s, "unix:")
	switch {
	case is == "path":
		return l.resolve(s)
	case is == "local" && socket:
		return "unix:" + filepath.Clean(l.resolve(path))
	case is == "local": // one listener, however its publishers spell it
		return oneSpelling(s)
	case is == "token-type":
		return tokenType(s)
	}
	return s
}

// resolve makes a path start at the file's folder.
func (l *loader) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// scalar returns a text that is not empty and holds no reference.
func (l *loader) scalar(n *yaml.Node, f field, path string) (string, bool) {
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode && isFileReference(n):
		l.fail(n, "", "%s cannot come from a file: {file: …} works only where a secret is asked for", path)
	case n.Kind != yaml.ScalarNode:
		l.fail(n, "", "%s is a text, not %s", path, kindOf(n))
	case tag == "!!null" || n.Value == "":
		l.fail(n, "", "%s is empty", path)
	case tag != "!!str" && f.is == "address":
		l.fail(n, "127.0.0.1:"+n.Value, "%s is a host and a port", path)
	case tag == "!!int" && bareNumber(f.is):
		return n.Value, true
	case tag != "!!str":
		l.fail(n, "", "%s is a text, not %s: put it in quotes", path, kindOf(n))
	case strings.ContainsFunc(n.Value, unicode.IsControl):
		l.fail(n, "", "%s holds a control character", path)
	case strings.Contains(n.Value, "${") && f.is != "data":
		l.fail(n, "", "%s cannot come from the environment: ${…} works only where a secret is asked for", path)
	default:
		return n.Value, true
	}
	return "", false
}

// bareNumber reports whether a text may stand without quotes though it is all
// digits: 0600.
func bareNumber(is string) bool { return is == "mode" || is == "number" }

func (l *loader) choice(n *yaml.Node, s string, f field, path string) {
	switch {
	case slices.Contains(f.of, s):
	case later[path+"="+s]:
		l.fail(n, "", "%s %s %s", path, quote(s), notInThisVersion)
	default:
		near := nearest(s, f.of)
		if near == "" {
			l.fail(n, "", "%s is one of %s, not %s", path, strings.Join(f.of, ", "), quote(s))
			return
		}
		l.fail(n, near, "unknown %s %s", path, quote(s))
	}
}

func (l *loader) duration(p *time.Duration, n *yaml.Node, f field, path string) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		l.fail(n, "", "%s is a duration like 90s, 15m, 12h or 30d, not %s", path, kindOf(n))
		return
	}
	if orNone(f) && n.Value == none {
		*p = -1
		return
	}
	d, ok := parseDuration(n.Value)
	if !ok {
		l.fail(n, nearDuration(n.Value), "%s: %s is not a duration like 90s, 15m, 12h or 30d", path, quote(n.Value))
		return
	}
	*p = d
	if least, _ := parseDuration(f.min); d < least {
		l.fail(n, "", "%s is %s: %s is the least%s", path, n.Value, f.min, map[bool]string{true: ", or " + none}[orNone(f)])
	}
	if most, ok := parseDuration(f.max); ok && d > most {
		l.fail(n, "", "%s is %s: %s is the most", path, n.Value, f.max)
	}
}

func (l *loader) prefix(p *netip.Prefix, n *yaml.Node, path string) {
	prefix, err := netip.ParsePrefix(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode:
		l.fail(n, "", "%s is a network like 127.0.0.1/32, not %s", path, kindOf(n))
	case err != nil:
		near := ""
		if a, err := netip.ParseAddr(n.Value); err == nil && a.Zone() == "" {
			near = netip.PrefixFrom(a, a.BitLen()).String()
		}
		l.fail(n, near, "%s: %s is not a network like 127.0.0.1/32", path, quote(n.Value))
	case prefix != prefix.Masked():
		l.fail(n, prefix.Masked().String(), "%s: %s has bits beyond its length", path, quote(n.Value))
	case prefix.Bits() == 0:
		l.fail(n, "", "%s: %s would believe everyone", path, n.Value)
	default:
		*p = prefix
	}
}

// secret reads where a secret is. What stands there instead is never repeated:
// it may be the secret.
func (l *loader) secret(p *Secret, n *yaml.Node, f field, path string) {
	switch {
	case n.Kind == yaml.ScalarNode && secretForm.MatchString(n.Value):
		p.Env = n.Value[2 : len(n.Value)-1]
	case isFileReference(n):
		file := n.Content[1]
		if name, ok := l.scalar(file, field{}, join(path, "file")); ok {
			p.File = l.resolve(name)
		}
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		l.notOnlyFile(n, path)
	case f.is == "path": // what it holds is no secret, so that no one wrote it here
		if name, ok := l.scalar(n, f, path); ok {
			p.File = l.resolve(name)
		}
	default:
		l.fail(n, "", "%s is not written here: it comes from {file: PATH} or ${NAME}", path)
	}
}

// notOnlyFile names each key beside file where it stands.
func (l *loader) notOnlyFile(n *yaml.Node, path string) {
	seen := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i]; {
		case key.Value != "file":
			l.unknown(key, []string{"file"}, path)
		case seen:
			l.fail(key, "", "duplicate key %s", quote(key.Value))
		default:
			seen = true
		}
	}
}

func isFileReference(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "file"
}

// sentence makes a doc comment continue a message.
func sentence(doc string) string {
	doc = strings.TrimSuffix(doc, ".")
	if doc[1:2] != strings.ToLower(doc[1:2]) { // PEM
		return doc
	}
	return strings.ToLower(doc[:1]) + doc[1:]
}
