package config

import (
	"reflect"
	"strings"
)

// field is one key of a block, as its struct tag describes it.
type field struct {
	key      string
	needed   bool
	standard string // the default, as it would stand in the file
	is       string
	of       []string
	min, max string
	doc      string
	index    []int
	typ      reflect.Type
}

// fieldsOf lists the keys of a block in the order of its struct. The fields of
// an embedded struct are the block's own; the outer tag holds their defaults.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, sf := range reflect.VisibleFields(t) {
		key := sf.Tag.Get("key")
		if key == "" {
			continue
		}
		f := field{
			key: key, needed: sf.Tag.Get("need") == "yes", standard: sf.Tag.Get("default"),
			is: sf.Tag.Get("is"), min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
			doc: sf.Tag.Get("doc"), index: sf.Index, typ: sf.Type,
		}
		if of := sf.Tag.Get("of"); of != "" {
			f.of = strings.Split(of, "|")
		}
		if len(sf.Index) > 1 {
			f.standard = t.Field(sf.Index[0]).Tag.Get(key)
		}
		fields = append(fields, f)
	}
	return fields
}

func keysOf(fields []field) []string {
	keys := make([]string, 0, len(fields))
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return keys
}

// placeOf finds the one block where key would be right, "" if there is none or
// more than one.
func placeOf(key string) string {
	places := places(reflect.TypeFor[Config](), "", key)
	if len(places) != 1 {
		return ""
	}
	return places[0]
}

func places(t reflect.Type, path, key string) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return places(t.Elem(), path, key)
	case reflect.Struct:
	default:
		return nil
	}
	var found []string
	for _, f := range fieldsOf(t) {
		if f.key == key && path != "" {
			found = append(found, path)
		}
		found = append(found, places(f.typ, join(path, f.key), key)...)
	}
	return found
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
