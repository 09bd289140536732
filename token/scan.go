package token

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how many levels of objects and arrays a JSON text may have.
const maxDepth = 32

// CheckObject reports whether data is one JSON object (RFC 8259) that can be
// read in one way only: no member twice at any depth, names compared after
// unescaping; valid UTF-8, no lone surrogate; at most 32 levels; nothing after
// it. The error is an *Error with Malformed or TooLarge.
func CheckObject(data []byte) error {
	s, err := scan("object", string(data))
	if err != nil {
		return err
	}
	if err := s.skipObject(); err != nil {
		return err
	}
	return s.end()
}

// A scanner reads one JSON text once, front to back, and refuses what two
// readers could understand differently. The zero depth is outside every object.
type scanner struct {
	part  string // what is read, for errors: "header", "payload"
	src   string
	at    int
	depth int
}

// scan returns a scanner at the beginning of src, which must be valid UTF-8.
func scan(part, src string) (scanner, error) {
	if !utf8.ValidString(src) {
		return scanner{}, Refuse(Malformed, "%s is not valid UTF-8", part)
	}
	return scanner{part: part, src: src}, nil
}

// syntax refuses the text at the current place.
func (s *scanner) syntax(want string) error {
	return Refuse(Malformed, "%s: byte %d: want %s", s.part, s.at, want)
}

// peek skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.src); s.at++ {
		switch c := s.src[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// end refuses anything after the text.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.src) {
		return s.syntax("the end")
	}
	return nil
}

// open enters the object or array that begins with c.
func (s *scanner) open(c byte) error {
	if s.peek() != c {
		return s.syntax("'" + string(c) + "'")
	}
	if s.depth++; s.depth > maxDepth {
		return Refuse(TooLarge, "%s has more than %d levels", s.part, maxDepth)
	}
	s.at++
	return nil
}

// more reports whether another element follows; if not, it leaves the object or
// array that ends with c.
func (s *scanner) more(c byte, first bool) (bool, error) {
	switch next := s.peek(); {
	case next == c:
		s.at++
		s.depth--
		return false, nil
	case first:
		return true, nil
	case next == ',':
		s.at++
		return true, nil
	default:
		return false, s.syntax("',' or '" + string(c) + "'")
	}
}

// member reads the next name of an object and its colon; ok is false at the end
// of the object. The caller reads the value.
func (s *scanner) member(seen *names) (name string, ok bool, err error) {
	ok, err = s.more('}', seen.n == 0)
	if !ok || err != nil {
		return "", false, err
	}
	if name, err = s.text(); err != nil {
		return "", false, err
	}
	if s.peek() != ':' {
		return "", false, s.syntax("':'")
	}
	s.at++
	if !seen.add(name) {
		return "", false, Refuse(Malformed, "%s: member %.40q appears twice", s.part, name)
	}
	return name, true, nil
}

// skip reads a value of any kind.
func (s *scanner) skip() error {
	switch c := s.peek(); c {
	case '{':
		return s.skipObject()
	case '[':
		return s.skipArray()
	case '"':
		return s.skipText()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		_, err := s.number()
		return err
	}
}

func (s *scanner) skipObject() error {
	if err := s.open('{'); err != nil {
		return err
	}
	var seen names
	for {
		_, ok, err := s.member(&seen)
		if !ok || err != nil {
			return err
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
}

func (s *scanner) skipArray() error {
	if err := s.open('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		ok, err := s.more(']', first)
		if !ok || err != nil {
			return err
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
}

func (s *scanner) skipText() error {
	_, err := s.text()
	return err
}

func (s *scanner) word(w string) error {
	if !strings.HasPrefix(s.src[s.at:], w) {
		return s.syntax("a value")
	}
	s.at += len(w)
	return nil
}

// number reads a number and returns it as it is written. One that is beyond a
// float64 is refused, for most readers would fail on it (RFC 7493 section 2.2).
func (s *scanner) number() (string, error) {
	s.peek()
	begin := s.at
	if err := s.skipNumber(); err != nil {
		return "", err
	}
	literal := s.src[begin:s.at]
	if len(literal) > 300 || strings.ContainsAny(literal, "eE") {
		if _, err := strconv.ParseFloat(literal, 64); err != nil {
			return "", Refuse(Malformed, "%s: byte %d: the number is too large", s.part, begin)
		}
	}
	return literal, nil
}

func (s *scanner) skipNumber() error {
	s.accept('-')
	if !s.accept('0') && s.digits() == 0 {
		return s.syntax("a value")
	}
	if s.accept('.') && s.digits() == 0 {
		return s.syntax("a digit")
	}
	if s.accept('e') || s.accept('E') {
		_ = s.accept('+') || s.accept('-')
		if s.digits() == 0 {
			return s.syntax("a digit")
		}
	}
	return nil
}

func (s *scanner) accept(c byte) bool {
	if s.at < len(s.src) && s.src[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) digits() int {
	begin := s.at
	for s.at < len(s.src) && s.src[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at - begin
}

// text reads a string and returns it unescaped. Without an escape the result
// shares the memory of the source.
func (s *scanner) text() (string, error) {
	if s.peek() != '"' {
		return "", s.syntax("a string")
	}
	s.at++
	begin := s.at
	for ; s.at < len(s.src); s.at++ {
		switch c := s.src[s.at]; {
		case c == '"':
			s.at++
			return s.src[begin : s.at-1], nil
		case c == '\\':
			return s.unescape(begin)
		case c < 0x20:
			return "", s.syntax("an escape instead of a control character")
		}
	}
	return "", s.syntax("the end of the string")
}

// unescape reads the rest of a string that began at begin and whose first
// escape is at hand.
func (s *scanner) unescape(begin int) (string, error) {
	out := append(make([]byte, 0, 64), s.src[begin:s.at]...)
	for s.at < len(s.src) {
		c := s.src[s.at]
		s.at++
		switch {
		case c == '"':
			return string(out), nil
		case c < 0x20:
			return "", s.syntax("an escape instead of a control character")
		case c != '\\':
			out = append(out, c)
			continue
		}
		r, ok := s.escape()
		if !ok {
			return "", s.syntax("an escape of RFC 8259, surrogates in pairs")
		}
		out = utf8.AppendRune(out, r)
	}
	return "", s.syntax("the end of the string")
}

// escape reads what follows a backslash.
func (s *scanner) escape() (rune, bool) {
	if s.at >= len(s.src) {
		return 0, false
	}
	c := s.src[s.at]
	s.at++
	if c == 'u' {
		return s.codePoint()
	}
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), true
	}
	return 0, false
}

// codePoint reads the digits of a \u escape, and those of the low surrogate
// that must follow a high one.
func (s *scanner) codePoint() (rune, bool) {
	high, ok := s.hex4()
	switch {
	case !ok || high >= 0xDC00 && high <= 0xDFFF:
		return 0, false
	case high < 0xD800 || high > 0xDFFF:
		return high, true
	case !s.accept('\\') || !s.accept('u'):
		return 0, false
	}
	low, ok := s.hex4()
	if !ok || low < 0xDC00 || low > 0xDFFF {
		return 0, false
	}
	return 0x10000 + (high-0xD800)<<10 + (low - 0xDC00), true
}

func (s *scanner) hex4() (rune, bool) {
	if s.at+4 > len(s.src) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.src[s.at : s.at+4]) {
		i := strings.IndexByte("0123456789abcdef", c|0x20)
		if i < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(i)
	}
	s.at += 4
	return r, true
}

// names are the members of one object seen so far: few are compared one by one,
// many are kept in a map, so that a hostile object costs no more than its size.
type names struct {
	n    int
	few  [16]string
	many map[string]struct{}
}

// add reports whether name is new.
func (m *names) add(name string) bool {
	if m.n < len(m.few) {
		if slices.Contains(m.few[:m.n], name) {
			return false
		}
		m.few[m.n] = name
		m.n++
		return true
	}
	if m.many == nil {
		m.many = make(map[string]struct{}, 4*len(m.few))
		for _, f := range m.few {
			m.many[f] = struct{}{}
		}
	}
	_, twice := m.many[name]
	m.many[name] = struct{}{}
	m.n++
	return !twice
}

// shadows reports whether name differs only by case (Unicode simple folding)
// from one of registered: a lenient reader would take it for that one.
func shadows(name string, registered []string) bool {
	if lower(name) {
		return false
	}
	for _, r := range registered {
		if name != r && strings.EqualFold(name, r) {
			return true
		}
	}
	return false
}

func lower(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}
