// Package errs holds the one error type of the house. It does not know any
// protocol: doors map a Kind to their own codes.
package errs

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind says what class of failure an error is. Doors map it to their codes.
type Kind uint8

// The kinds of ARCHITECTURE.md, "Errors". Internal is the zero value: an error that
// nobody classified is our fault, not the caller's.
const (
	Internal Kind = iota
	Invalid
	Unauthenticated
	Forbidden
	NotFound
	Conflict
	TooLarge
	Rate
	Unavailable
)

var kindNames = [...]string{"internal", "invalid", "unauthenticated", "forbidden", "not-found", "conflict", "too-large", "rate", "unavailable"}

// String gives the kind's stable name, as used in problem+json and logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// Text is a sentence for a person in the two languages of the product.
type Text struct {
	ZH string `json:"zh" yaml:"zh"`
	EN string `json:"en" yaml:"en"`
}

// In returns the text in lang ("zh" or "en", a BCP 47 tag is enough to begin
// with one of them), and the other language where that one is empty.
func (t Text) In(lang string) string {
	if strings.HasPrefix(lang, "en") {
		if t.EN != "" {
			return t.EN
		}
		return t.ZH
	}
	if t.ZH != "" {
		return t.ZH
	}
	return t.EN
}

// Error is what every operation of the house fails with.
type Error struct {
	Op      string // what was being done: "write", "search", "sign-in"
	Subject string // what it was done to: "book/17", a parameter, a path
	Kind    Kind
	Say     Text   // a sentence for a person that says what to do
	Path    string // the expression that failed, e.g. Patient.name[0].family; empty when none
	Cause   error  // for the log; never shown to users
}

// Error renders the error for the log. Users read Say through a door.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		b.WriteString(" " + e.Subject)
	}
	b.WriteString(": " + e.Kind.String())
	if s := e.Say.In("en"); s != "" {
		b.WriteString(": " + s)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// E builds an error. zh and en are the sentence in both languages.
func E(kind Kind, op, subject, zh, en string) *Error {
	return &Error{Op: op, Subject: subject, Kind: kind, Say: Text{ZH: zh, EN: en}}
}

// Because returns e with its cause set; it exists to chain after E.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// At returns e with the failing expression set.
func (e *Error) At(path string) *Error {
	e.Path = path
	return e
}

// Wrap adds what was being done to an error of unknown origin. An *Error keeps
// its kind and sentence; a cancelled or expired context becomes Unavailable;
// anything else is Internal. Wrap(nil) is nil.
func Wrap(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Op == op && e.Subject == subject {
			return err
		}
		return &Error{Op: op, Subject: subject, Kind: e.Kind, Say: e.Say, Path: e.Path, Cause: err}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return E(Unavailable, op, subject, "操作在完成前被中断，请重试。", "The operation was interrupted before it finished; please try again.").Because(err)
	}
	return E(Internal, op, subject, "系统内部出错，已记入日志；请稍后重试或联系信息科。", "Something failed inside the system and was logged; try again later or call the information department.").Because(err)
}

// KindOf tells the kind of any error; Internal when it is not an *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	return Internal
}

// Is tells whether err is of the given kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Sentence is what a person may read of err in lang.
func Sentence(err error, lang string) string {
	var e *Error
	if errors.As(err, &e) {
		if s := e.Say.In(lang); s != "" {
			return s
		}
	}
	var w *Error
	if errors.As(Wrap("", "", err), &w) {
		return w.Say.In(lang)
	}
	return ""
}

// PathOf is the expression that failed, empty when none is known.
func PathOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Path
	}
	return ""
}

// NotFoundf is the answer for what does not exist and for what the caller may
// not see: the two are the same on purpose (ARCHITECTURE.md, "Permissions").
func NotFoundf(op, format string, args ...any) *Error {
	s := fmt.Sprintf(format, args...)
	return E(NotFound, op, s, "没有找到 "+s+"；请核对编号，或确认您有权查看。", s+" was not found; check the identifier, or whether you may see it.")
}
