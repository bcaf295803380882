// Package search holds what is asked of a store and what a record is found by:
// the query, the index entries taken from a record, and how text is folded. It
// does not run queries.
package search

import (
	"math"
	"time"

	"zhiwei/kernel/record"
)

// Index is everything one version of a record is found by.
type Index struct {
	Tokens     []Token
	Texts      []Text
	Dates      []Date
	Quantities []Quantity
	Refs       []Ref
}

// Token is a code in an optional system. URIs are tokens without a system.
type Token struct {
	Param  string
	System string // empty: none
	Code   string
	Occ    int32 // element number, tying the parts of a composite; 0 elsewhere
}

// Form says which form of a text a Text entry holds.
type Form uint8

// The forms. A string query matches Whole, Pinyin and Initials; a words query
// matches all.
const (
	Whole    Form = iota // the folded value
	Pinyin               // full pinyin of a Chinese value without spaces: zhangsan
	Initials             // first letters: zs
	Inner                // from a later word or Chinese character on
)

// Text is one folded form of a string.
type Text struct {
	Param string
	Fold  string // see Fold; at most MaxText runes
	Exact string // the value as written, for Whole only; at most MaxText runes
	Form  Form
	Occ   int32
}

// Date is a period of time [Lo, Hi) in Unix milliseconds. An open end is
// MinTime or MaxTime.
type Date struct {
	Param  string
	Lo, Hi int64
	Occ    int32
}

// Open ends of a period.
const (
	MinTime = int64(math.MinInt64) / 4
	MaxTime = int64(math.MaxInt64) / 4
)

// Quantity is a number interval [Lo, Hi] in a unit. Numbers have no unit.
type Quantity struct {
	Param  string
	System string // of the unit
	Unit   string // code, else the unit as written
	Lo, Hi float64
	Occ    int32
}

// Ref points at another record, or at a URL outside.
type Ref struct {
	Param  string
	Target record.Key // zero when URL is set
	URL    string
	Occ    int32
}

// Compare is how a value is compared; FHIR R4 §3.1.1.4.5 prefixes.
type Compare uint8

// The comparisons.
const (
	Eq Compare = iota // the record's interval lies within the value's
	Ne
	Gt // some part of the record's interval is above the value's
	Lt
	Ge
	Le
	Sa // starts after
	Eb // ends before
	Ap // overlaps the widened value
)

// Match is how text is compared.
type Match uint8

// The ways of matching text.
const (
	Starts   Match = iota // folded value starts with
	Exact                 // equal as written
	Contains              // anywhere inside the folded value
	AnyWord               // Starts, from any word or Chinese character on
)

// Value is one alternative of a Clause. Which parts are set follows from the
// parameter's type.
type Value struct {
	Compare Compare // date, number, quantity

	System    string // token, quantity unit system
	AnySystem bool   // token: System was not asked for
	Code      string // token, uri; "" with a System: any code of it
	Under     bool   // uri: also what begins with Code

	Text  string // string, words: as written
	Match Match

	Lo, Hi   int64   // date: [Lo, Hi)
	Min, Max float64 // number, quantity: [Min, Max]
	Unit     string  // quantity; "" any

	Ref record.Key // reference
	URL string     // reference to an outside URL; without "|", also to its versions: URL|1.0

	Parts []Value // composite, one a part
	Near  *Near   // place
}

// Near asks for places in a cap of the earth. Places are kept as points of the
// unit sphere (see Sphere), one number a part, so that a distance is the length
// of a chord: no place is special, neither poles nor the date line, and a store
// needs no trigonometry.
type Near struct {
	X, Y, Z float64 // the middle
	Chord   float64 // the longest chord to it, of the unit sphere: 0–2
}

// Names of parameters every kind has.
const (
	ParamID      = "_id"      // token
	ParamUpdated = "_updated" // date
	ParamCreated = "_created" // date
	ParamState   = "_state"   // token
	ParamNext    = "_next"    // date: Record.NextAt
	ParamHome    = "_home"    // token: site
)

// Beside names what is kept beside the values of a parameter. It is indexed
// under the name BesideName gives.
type Beside string

// What is kept beside values.
const (
	Words      Beside = "text"       // beside tokens, as strings: what people call the code
	Typed      Beside = "of-type"    // beside identifiers, as tokens: type's system, type's code "|" value
	Identifier Beside = "identifier" // beside references, as tokens: the identifier of what is meant
)

// BesideName is the index name of what is kept beside the values of another.
func BesideName(name string, b Beside) string { return name + ":" + string(b) }

// Clause is one condition. Exactly one of Any, Or, Chain, Has and Missing is
// used.
type Clause struct {
	Param  string // of the queried kind
	Not    bool   // records with none of the values
	Beside Beside // Any is asked of what is kept beside the values; "": of the values

	Any []Value // one of these; an empty list with no other part set matches nothing

	Or []Clause // one of these holds; Param is not used

	Chain *Chain // Param is a reference: its target must match
	Has   *Has   // some record points here and matches

	Missing *bool // Param has no value (true) or has one (false)
}

// Chain follows a reference to records of Kind that satisfy Where.
type Chain struct {
	Kind  string
	Where []Clause
}

// Has asks for a record of Kind whose reference parameter Param points here
// and which satisfies Where.
type Has struct {
	Kind  string
	Param string
	Where []Clause
}

// Sort is one key of the order. Records without a value come last. A period
// sorts by its start, in both directions; a quantity by its lower end, a token by
// its code, a text by its folded whole form; of several values the smallest
// counts ascending, the largest descending.
type Sort struct {
	Param string
	Desc  bool
}

// Query asks for records of one kind. All clauses must hold.
type Query struct {
	Kind  string
	Where []Clause
	Sort  []Sort // ties, and all without a sort: newest first, by when a record was first mentioned
	Limit int    // 1–1000; 0 means 50
	After string // cursor of the page before, as the store gave it; opaque
	Total bool   // also count all matches
}

// Page is one answer.
type Page struct {
	Records []record.Record
	Next    string // cursor of the next page; empty: this is the last
	Total   int64  // -1 when not asked for
}

// Millis is t as the index holds it.
func Millis(t time.Time) int64 { return t.UnixMilli() }
