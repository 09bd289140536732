package config

import (
	_ "embed"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// Example is a complete configuration with every key, commented. It is right.
//
//go:embed example.yaml
var Example string

// Schema returns the JSON Schema (draft 2020-12) that editors use. It says what
// a schema can: keys, types, spellings; what several keys mean together only
// Load says.
func Schema() ([]byte, error) {
	s := blockSchema(reflect.TypeFor[Config]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Longcase configuration"
	return json.MarshalIndent(s, "", "  ")
}

type schema = map[string]any

func blockSchema(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, f := range fieldsOf(t) {
		s := typeSchema(f.typ, f)
		s["description"] = f.doc
		if f.standard != "" {
			s["default"] = f.standard
		}
		properties[f.key] = s
		if f.needed {
			required = append(required, f.key)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func typeSchema(t reflect.Type, f field) schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		if orNone(f) {
			return schema{"type": "string", "pattern": durationPattern + "|^" + none + "$"}
		}
		return schema{"type": "string", "pattern": durationPattern}
	case reflect.TypeFor[netip.Prefix]():
		return schema{"type": "string", "pattern": `/[0-9]+$`}
	case reflect.TypeFor[Data]():
		return schema{"type": "string", "minLength": 1}
	case reflect.TypeFor[Secret]():
		return secretSchema(f)
	case reflect.TypeFor[Span]():
		return schema{"type": "string", "pattern": durationPattern + "|" + percentPattern}
	case reflect.TypeFor[Rate]():
		return schema{"type": "string", "pattern": ratePattern}
	case reflect.TypeFor[uint32]():
		return schema{"type": "integer", "minimum": 0, "maximum": maxUID}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), f)
	case reflect.Struct:
		return blockSchema(t)
	case reflect.Slice:
		return listSchema(t, f)
	case reflect.Map:
		return schema{"type": "object", "propertyNames": schema{"pattern": patterns["credential"].form.String()},
			"additionalProperties": typeSchema(t.Elem(), f)}
	case reflect.Bool:
		return schema{"type": "boolean"}
	default:
		return textSchema(f)
	}
}

func listSchema(t reflect.Type, f field) schema {
	s := schema{"type": "array", "items": typeSchema(t.Elem(), f)}
	if t.Elem().Kind() == reflect.String && f.is != "argument" {
		s["uniqueItems"] = true
	}
	return s
}

func secretSchema(f field) schema {
	file := schema{"type": "object", "properties": schema{"file": schema{"type": "string", "minLength": 1}},
		"required": []string{"file"}, "additionalProperties": false}
	text := schema{"type": "string", "pattern": secretPattern}
	if f.is == "path" {
		text = schema{"type": "string", "minLength": 1}
	}
	return schema{"oneOf": []schema{text, file}}
}

// textForms are the rules that a function checks, as far as a pattern says
// them. They are read only.
var textForms = map[string]string{
	"url":      `^https?://[^\s?#*]+$`,
	"origin":   `^https?://[^\s/?#*]+$`,
	"address":  `:[0-9]{1,5}$`,
	"audience": `^[^\s*]+$`,
	"redirect": `^[A-Za-z][A-Za-z0-9+.-]*:[^\s*#]+$`,
	"route":    `^/[^*?#%]*$`,
}

func textSchema(f field) schema {
	s := schema{"type": "string", "minLength": 1}
	if bareNumber(f.is) {
		s["type"] = []string{"string", "integer"}
	}
	switch p, ok := patterns[f.is]; {
	case len(f.of) > 0:
		return schema{"type": "string", "enum": slices.Clone(f.of)}
	case ok:
		s["pattern"] = p.form.String()
	case textForms[f.is] != "":
		s["pattern"] = textForms[f.is]
	}
	return s
}
