package fhirpath

import "strconv"

// Stage says when an expression failed.
type Stage uint8

// The stages of an expression.
const (
	Syntax    Stage = iota // it cannot be read
	Semantic               // what it asks for cannot be, by the definitions
	Execution              // it met values it cannot work on
	Exhausted              // it asked for more work than it was allowed
)

// Error is what Compile, Check and evaluations fail with: a sentence for a
// person in both languages. At is the byte of the expression, -1 where it is
// not known.
type Error struct {
	Stage  Stage
	At     int
	ZH, EN string

	foreign bool // the path begins with another type than the focus has
}

// Error is the sentence in English with the place.
func (e *Error) Error() string {
	if e.At < 0 {
		return "fhirpath: " + e.EN
	}
	return "fhirpath: at character " + strconv.Itoa(e.At+1) + ": " + e.EN
}

func syntax(at int, zh, en string) *Error {
	place := strconv.Itoa(at + 1)
	return &Error{Stage: Syntax, At: at, ZH: "表达式第 " + place + " 个字符处：" + zh, EN: en}
}

func semantic(at int, zh, en string) *Error {
	return &Error{Stage: Semantic, At: at, ZH: zh, EN: en}
}

func execution(zh, en string) *Error { return &Error{Stage: Execution, At: -1, ZH: zh, EN: en} }

// clip shortens what a message quotes.
func clip(s string) string {
	const most = 40
	for i := range s {
		if i >= most {
			return s[:i] + "…"
		}
	}
	return s
}
