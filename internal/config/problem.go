package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxProblems bounds how many problems of one file are told.
const maxProblems = 200

// Problem is one thing that is wrong in a file. Line and Column begin at 1.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Near    string `json:"near,omitempty"` // the nearest right spelling, if there is one
}

// Error writes the problem as editors and compilers do:
// file:line:col: message; did you mean "near"?
func (p Problem) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Near != "" {
		s += "; did you mean " + strconv.Quote(p.Near) + "?"
	}
	return s
}

// Problems is everything that is wrong in a file, in the order of its lines.
type Problems []Problem

// Error writes one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, 0, len(ps))
	for _, p := range ps {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// sorted orders by position, drops repetitions, and is bounded.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	ps = slices.Compact(ps)
	if more := len(ps) - maxProblems; more > 0 {
		last := ps[maxProblems]
		last.Message, last.Near = fmt.Sprintf("%d more problems from here on", more), ""
		ps = append(ps[:maxProblems], last)
	}
	return ps
}

// quote writes a text of the file in a message, bounded and on one line.
func quote(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
