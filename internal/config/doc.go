// Package config is the file: one strict reading of it, its defaults and its
// schema. It reads the file it is given and nothing else: whether the files and
// addresses named in it exist is for the program that uses them to find out.
//
//	cfg, err := config.Load("longcase.yaml")
//
// Whatever is wrong is refused, all of it at once, each with file, line, column
// and the nearest right spelling:
//
//	longcase.yaml:4:5: unknown key "acces"; did you mean "access"?
//
// The tags of the model's structs are the one description that drives the
// decoder, the JSON Schema and the spellings.
package config
