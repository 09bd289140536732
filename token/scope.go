package token

import "strings"

// scopes are what a token says it allows. Its "scope" is a string that spaces
// divide (RFC 8693 section 4.2) or, as some issuers write it, an array with one
// scope in each item. Where there is none, "scp" counts, which others write in
// its place, as a string or as an array.
type scopes struct {
	scope, scp string
	given      bool // there is a "scope"
}

// read reads the value of "scope" or "scp". An "scp" of any other form means
// something else, and is no scope.
func (sc *scopes) read(s *scanner, name string) error {
	list, ok, err := s.scopes()
	switch {
	case err != nil:
		return err
	case name == "scp":
		sc.scp = list
	case !ok:
		return Refuse(Malformed, "payload: scope is neither a string nor an array with one scope in each item")
	default:
		sc.scope, sc.given = list, true
	}
	return nil
}

func (sc *scopes) list() string {
	if sc.given {
		return sc.scope
	}
	return sc.scp
}

// scopes reads a list of scopes; of a value that is none, ok is false.
func (s *scanner) scopes() (list string, ok bool, err error) {
	switch s.peek() {
	case '"':
		list, err = s.text()
		return list, true, err
	case '[':
		return s.scopeArray()
	}
	return "", false, s.skip()
}

// scopeArray reads an array of scopes, which a space would make two.
func (s *scanner) scopeArray() (list string, ok bool, err error) {
	if err := s.open('['); err != nil {
		return "", false, err
	}
	var all []byte
	ok = true
	for first := true; ; first = false {
		more, err := s.more(']', first)
		if err != nil {
			return "", false, err
		}
		if !more {
			break
		}
		one, isScope, err := s.scopeItem()
		if err != nil {
			return "", false, err
		}
		if ok = ok && isScope; !first {
			all = append(all, ' ')
		}
		all = append(all, one...)
	}
	if !ok {
		return "", false, nil
	}
	return string(all), true, nil
}

// scopeItem reads one item; ok is false if it is no scope-token (RFC 6749 section
// 3.3).
func (s *scanner) scopeItem() (one string, ok bool, err error) {
	if s.peek() != '"' {
		return "", false, s.skip()
	}
	one, err = s.text()
	other := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }
	return one, one != "" && strings.IndexFunc(one, other) < 0, err
}
