// Package kind says what there is: the declaration of one kind of record, as
// data. It does not validate or store records; it only describes them.
//
// A declaration is itself a record (of the kind "kind"), so it reaches another
// site before the records it describes.
package kind

import (
	"time"

	"zhiwei/kernel/errs"
)

// Text is a title or sentence in Chinese and English.
type Text = errs.Text

// T builds a Text.
func T(zh, en string) Text { return Text{ZH: zh, EN: en} }

// Kind declares one kind of record.
type Kind struct {
	Name   string `json:"name"`             // e.g. "loan", "Patient"; unique in the shared reference space; FHIR names are reserved
	Plural string `json:"plural"`           // path under /api, e.g. "loans"
	App    string `json:"app"`              // the application that owns it; "kernel" for the kernel's own
	Title  Text   `json:"title"`            // as people call one of it
	Help   Text   `json:"help"`             // one sentence: what it is for
	Format string `json:"format,omitempty"` // a registered foreign shape, e.g. "fhir-r4"; Fields then only describe what pages show

	Fields    []Field    `json:"fields,omitempty"`
	Search    []Param    `json:"search,omitempty"`
	Access    []Grant    `json:"access,omitempty"`  // deny by default
	Hide      []Hidden   `json:"hide,omitempty"`    // field-level permissions
	Private   []Private  `json:"private,omitempty"` // what a record's owner alone sees
	Place     Place      `json:"place,omitzero"`
	Lifecycle *Lifecycle `json:"lifecycle,omitempty"`
	Retain    Retention  `json:"retain,omitzero"`
	View      View       `json:"view,omitzero"`
	Guards    []Guard    `json:"guards,omitempty"` // must hold at every create and update
}

// FieldType is the type of a field's value in JSON.
type FieldType string

// The field types. All are scalars of JSON but Object and Any; a field with
// Many is an array of them.
const (
	String   FieldType = "string"  // one line
	Markdown FieldType = "text"    // several lines
	Int      FieldType = "int"     // whole number within ±2^53
	Decimal  FieldType = "decimal" // a JSON string such as "12.50": never a float
	Bool     FieldType = "bool"
	Date     FieldType = "date"     // YYYY-MM-DD
	Time     FieldType = "time"     // RFC 3339 instant
	Duration FieldType = "duration" // Go form plus "d": "36h", "14d"
	Code     FieldType = "code"     // one of Options
	Ref      FieldType = "ref"      // "Kind/id", Kind among To
	Quantity FieldType = "quantity" // {"value": "70.5", "unit": "kg"}; value is a decimal string
	Object   FieldType = "object"   // Fields inside
	Secret   FieldType = "secret"   // written, never read back, never searched
	Any      FieldType = "any"      // any JSON; pages show it as text
)

// Field is one property of a record's data.
type Field struct {
	Name     string    `json:"name"`
	Type     FieldType `json:"type"`
	Title    Text      `json:"title"`
	Help     Text      `json:"help,omitzero"`
	Required bool      `json:"required,omitempty"`
	Many     bool      `json:"many,omitempty"`
	Options  []Option  `json:"options,omitempty"` // for Code
	To       []string  `json:"to,omitempty"`      // kinds a Ref may point to; empty: any
	Fields   []Field   `json:"fields,omitempty"`  // for Object
	Unit     string    `json:"unit,omitempty"`    // UCUM, shown after the value
	Min      string    `json:"min,omitempty"`     // decimal; for Int, Decimal, Quantity
	Max      string    `json:"max,omitempty"`
	MaxLen   int       `json:"maxLen,omitempty"`   // in runes; 0 means 4,000 for String, 100,000 for Markdown
	Pattern  string    `json:"pattern,omitempty"`  // RE2, must match the whole value
	Default  any       `json:"default,omitempty"`  // filled in at create where absent
	ReadOnly bool      `json:"readOnly,omitempty"` // set by verbs, sets and loops only, not by people's forms
}

// Option is one allowed value of a Code field.
type Option struct {
	Code  string `json:"code"`
	Title Text   `json:"title"`
}

// ParamType is how a search parameter is indexed and asked.
type ParamType string

// The parameter types: those of FHIR R4 §3.1.1.4 plus Words.
const (
	TokenParam     ParamType = "token"     // a code, optionally in a system: "code", "system|code", "|code", "system|"
	StringParam    ParamType = "string"    // starts with, ignoring case and accents; Chinese also by pinyin and initials
	WordsParam     ParamType = "words"     // as string, and also by any word or Chinese run inside
	DateParam      ParamType = "date"      // a period: a date is the whole day, an instant its millisecond
	NumberParam    ParamType = "number"    // a decimal with implicit precision
	QuantityParam  ParamType = "quantity"  // a decimal and a unit
	ReferenceParam ParamType = "reference" // "Kind/id"
	URIParam       ParamType = "uri"       // exact, case-sensitive
	CompositeParam ParamType = "composite" // Parts that hold of the same element
	NearParam      ParamType = "near"      // a place on the earth: "latitude|longitude|distance|unit"
)

// Param is what a kind is searched by.
type Param struct {
	Name  string    `json:"name"`
	Type  ParamType `json:"type"`
	Path  string    `json:"path,omitempty"`  // where the values are: "title", "items.code"; for a foreign Format its own expression language
	To    []string  `json:"to,omitempty"`    // target kinds of a reference
	Parts []Param   `json:"parts,omitempty"` // of a composite; their paths are relative to Path
	Title Text      `json:"title,omitzero"`  // label of the filter on pages; empty: the field's title

	// Over names the entries that answer the parameter; empty: those of its own
	// name. Parameters of a foreign Format that look at the same values share what
	// is kept of them, and one that looks at several has all of theirs.
	Over []string `json:"over,omitempty"`
	// Only limits a reference to records of To where Over also holds others.
	Only bool `json:"only,omitempty"`
	// Bare says that the values are codes whose system follows from where they
	// stand, so that they are kept without one.
	Bare bool `json:"bare,omitempty"`
}

// Grant allows a role something. What no grant allows is denied.
type Grant struct {
	Role string   `json:"role"`           // role name; "*" is everybody who is signed in
	Can  []string `json:"can"`            // read, create, update, delete, history, import, purge, verb names; "*" is all but import and purge
	When string   `json:"when,omitempty"` // which records: "" any, or one or several of the conditions below joined by "|"
}

// Conditions of a Grant on the record, compared with the principal. A record
// that has no such place never matches.
const (
	Own          = "own"          // Place.Owner is the principal
	Department   = "department"   // Place.Dept is one of the principal's
	Addressed    = "addressed"    // Place.Dept names one of the principal's roles: records addressed to a role
	Organisation = "organisation" // Place.Org is one of the principal's
	AtSite       = "site"         // the record's home is the site that answers
	Treating     = "treating"     // an active relation (see Relation) ties the principal to a person the record belongs to
	Released     = "released"     // any record but what a Denial or a Label of Privacy holds back
	Opened       = "opened"       // as Treating, by Privacy.Opening; in Label.When only, for it comes with Treating
)

// Hidden hides a field from all but some roles. A hidden field is absent from
// what is read; searching or sorting by a parameter that looks at it is refused.
type Hidden struct {
	Field  string   `json:"field"`  // top-level property
	Except []string `json:"except"` // roles that see it
}

// Private keeps a part of a record for its owner (Place.Owner), such as the
// secret with which a message is sent for him. Others read the record without
// it, and lose it where they write the record back: what they cannot see they
// must not be able to send elsewhere. It must not be looked at by any search
// parameter.
type Private struct {
	Path   string   `json:"path"`             // "channel.header"
	Except []string `json:"except,omitempty"` // roles that see it too
}

// Place says where in the data a record's placement is found; paths as in
// Param. Empty: the record has no such place.
type Place struct {
	Org     string `json:"org,omitempty"`
	Dept    string `json:"dept,omitempty"`
	Owner   string `json:"owner,omitempty"`   // "@creator" is whoever created it
	Subject string `json:"subject,omitempty"` // a reference; "@self" is the record itself

	Compartment Compartment `json:"compartment,omitzero"` // the other persons it belongs to
	Label       string      `json:"label,omitempty"`      // codings {system, code}; of those that Privacy.Labels names the strictest is kept
	// Shared kinds belong to nobody: who is limited to one person's records may
	// read them too, as the names of doctors and wards.
	Shared bool `json:"shared,omitempty"`
}

// Retention says how long a record is kept.
type Retention struct {
	Years int  `json:"years,omitempty"` // after the last change; 0: for ever
	Rule  Text `json:"rule,omitzero"`   // the clause it comes from
}

// View says how records of the kind look on a page.
type View struct {
	TitleField string   `json:"titleField,omitempty"` // the field that names a record; empty: its id
	Columns    []string `json:"columns,omitempty"`    // fields in the list, in order; "state" and "updatedAt" are allowed
	Filters    []string `json:"filters,omitempty"`    // parameters offered above the list
	Sort       string   `json:"sort,omitempty"`       // parameter, "-" in front for descending; empty: newest first
	Menu       string   `json:"menu,omitempty"`       // section of the menu; empty: not in the menu
	Icon       string   `json:"icon,omitempty"`       // name of an Element Plus icon
	Order      int      `json:"order,omitempty"`      // place within the section
}

// Guard is a condition that must hold, and the sentence said where it does not.
// If is CEL over: data (object), old (object, null at create), state, evidence,
// actor {id, name, roles, depts, orgs}, now (timestamp), and the functions
// record("Kind/id") → {id, state, version, data} or null, and
// count("kind", "param=value&…") → int, both read in the same transaction.
type Guard struct {
	If  string `json:"if"`
	Say Text   `json:"say"`
}

// Lifecycle says how records of a kind move.
type Lifecycle struct {
	Field  string  `json:"field,omitempty"` // data property that mirrors State's Code, e.g. FHIR "status"; empty: none
	Start  string  `json:"start"`           // state at create
	States []State `json:"states"`
	Verbs  []Verb  `json:"verbs"`
}

// State is one state of a lifecycle.
type State struct {
	Name  string `json:"name"`
	Title Text   `json:"title"`
	Code  string `json:"code,omitempty"`  // value of Lifecycle.Field in this state; empty: Name. Several states may share one
	Final bool   `json:"final,omitempty"` // nothing more is expected
	Tone  string `json:"tone,omitempty"`  // info, good, warn, bad, idle: how it is coloured, beside its title
	Limit *Limit `json:"limit,omitempty"` // how long it may last
	Edit  bool   `json:"edit,omitempty"`  // data may be updated without a verb
}

// Limit is how long a state may last.
type Limit struct {
	After    string   `json:"after,omitempty"`    // duration of calendar time: "48h", "14d"; a day is 24 h of the calendar
	At       string   `json:"at,omitempty"`       // or CEL giving a timestamp, over the same names as a Guard
	Calendar string   `json:"calendar,omitempty"` // id of a calendar record; empty: 7×24
	Remind   []string `json:"remind,omitempty"`   // how long before the end a reminder is made
	Then     string   `json:"then,omitempty"`     // verb the clock says at the end; empty: only marked overdue
	Pause    string   `json:"pause,omitempty"`    // CEL; while true the clock stands still
	Who      string   `json:"who,omitempty"`      // role that is reminded
	Rule     Text     `json:"rule,omitzero"`      // the clause it comes from
}

// Verb is one move of a lifecycle.
type Verb struct {
	Name     string            `json:"name"`
	Title    Text              `json:"title"`
	From     []string          `json:"from"` // states; "*" is any that is not final
	To       string            `json:"to"`   // state after; empty: stays
	Guards   []Guard           `json:"guards,omitempty"`
	Evidence []Evidence        `json:"evidence,omitempty"` // what must be shown
	Input    []string          `json:"input,omitempty"`    // fields of the data the verb may change
	Set      map[string]string `json:"set,omitempty"`      // field → CEL giving its new value
	Primary  bool              `json:"primary,omitempty"`  // the one main action of the page
	Confirm  bool              `json:"confirm,omitempty"`  // ask before
	Undo     string            `json:"undo,omitempty"`     // the verb that compensates this one
	HandOver bool              `json:"handOver,omitempty"` // custody moves to the site named by the evidence "site"; only that site writes the record afterwards
	Clock    bool              `json:"clock,omitempty"`    // said by the clock or a loop only, never by people
}

// Evidence is something a verb asks for beside who and when, which are always
// recorded.
type Evidence struct {
	Name     string    `json:"name"`           // place, device, barcode, reason, signature, or another
	Type     FieldType `json:"type,omitempty"` // default String
	Title    Text      `json:"title"`
	Required bool      `json:"required,omitempty"`
	To       []string  `json:"to,omitempty"`     // kinds, for a Ref
	Equals   string    `json:"equals,omitempty"` // path in the data the value must equal, e.g. the bag's bar code
}

// Relation ties principals to the persons they treat. Grants with the condition
// Treating look for a record of Kind, in one of States and not deleted, whose
// Member parameter is the principal and whose Subject parameter is a person the
// record belongs to.
type Relation struct {
	Kind    string
	Member  string // reference parameter; the principal's id or Person
	Subject string // reference parameter
	States  []string
	Until   string // date parameter: it must lie after now; empty: the states alone tell
}

// Days is a duration of whole days of 24 h.
func Days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Field finds a top-level field; nil where there is none.
func (k *Kind) Field(name string) *Field {
	for i := range k.Fields {
		if k.Fields[i].Name == name {
			return &k.Fields[i]
		}
	}
	return nil
}

// Param finds a search parameter; nil where there is none.
func (k *Kind) Param(name string) *Param {
	for i := range k.Search {
		if k.Search[i].Name == name {
			return &k.Search[i]
		}
	}
	return nil
}

// State finds a state; nil where there is none.
func (l *Lifecycle) State(name string) *State {
	if l == nil {
		return nil
	}
	for i := range l.States {
		if l.States[i].Name == name {
			return &l.States[i]
		}
	}
	return nil
}

// Verb finds a verb; nil where there is none.
func (l *Lifecycle) Verb(name string) *Verb {
	if l == nil {
		return nil
	}
	for i := range l.Verbs {
		if l.Verbs[i].Name == name {
			return &l.Verbs[i]
		}
	}
	return nil
}
