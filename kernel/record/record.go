// Package record holds the shape of everything that lasts: a record of exactly
// one kind, its versions, and its place in the feed. It does not say how
// records are stored or who may see them.
package record

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// Key names one record in the shared reference space: kind name and id.
type Key struct {
	Kind string
	ID   string
}

// String is the reference form, "Kind/id".
func (k Key) String() string { return k.Kind + "/" + k.ID }

// IsZero tells whether k names nothing.
func (k Key) IsZero() bool { return k.Kind == "" && k.ID == "" }

// ParseKey reads "Kind/id". ok is false where s has another form.
func ParseKey(s string) (k Key, ok bool) {
	kind, id, found := strings.Cut(s, "/")
	if !found || kind == "" || !ValidID(id) {
		return Key{}, false
	}
	return Key{Kind: kind, ID: id}, true
}

// ValidID tells whether id may name a record: 1–64 of [A-Za-z0-9.-], the rule
// of FHIR R4 §2.24.0.1 (data type id), used for every kind.
func ValidID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// Placement is what record-level permissions look at. The kernel derives it
// from the data by the paths the kind declares; an empty part means the record
// has no such place, so no grant that asks for it matches.
type Placement struct {
	Org     string `json:"org,omitempty"`     // id of the organisation
	Dept    string `json:"dept,omitempty"`    // id of the department
	Owner   string `json:"owner,omitempty"`   // principal id of the person it belongs to
	Subject Key    `json:"subject,omitempty"` // the person it is about, e.g. Patient/1
	Others  []Key  `json:"others,omitempty"`  // further persons it belongs to, in order and without Subject
	Label   string `json:"label,omitempty"`   // code of the strictest confidentiality it carries, where one is declared
}

// Persons are all persons a record belongs to.
func (p Placement) Persons() []Key {
	if p.Subject.IsZero() {
		return p.Others
	}
	return append([]Key{p.Subject}, p.Others...)
}

// Op is how a version came about.
type Op uint8

// The operations on a record. Verb covers every lifecycle move.
const (
	Create Op = iota + 1
	Update
	Verb
	Delete
	Undelete
	Import // state entered without evidence, marked as such
	Purge  // history erased, a hash tombstone left
)

var opNames = [...]string{"", "create", "update", "verb", "delete", "undelete", "import", "purge"}

// String is the operation's stable name.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "op" + strconv.Itoa(int(o))
}

// MarshalText gives the stable name.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the stable name.
func (o *Op) UnmarshalText(b []byte) error {
	for i, n := range opNames {
		if i > 0 && n == string(b) {
			*o = Op(i)
			return nil
		}
	}
	return fmt.Errorf("record: unknown operation %q", b)
}

// Mark is how one version came about: who said what, with which evidence.
type Mark struct {
	Op       Op             `json:"op"`
	Verb     string         `json:"verb,omitempty"`     // lifecycle verb, when Op is Verb
	From     string         `json:"from,omitempty"`     // state before, when it changed
	By       string         `json:"by"`                 // principal id
	ByName   string         `json:"byName,omitempty"`   // as it was shown at the time
	Behalf   string         `json:"behalf,omitempty"`   // person behind a loop or a lent account
	Site     string         `json:"site,omitempty"`     // the site that wrote the version, where that is not its home: a hand-over, an adoption
	Evidence map[string]any `json:"evidence,omitempty"` // where, device, bar code, reason …
	Paused   time.Duration  `json:"paused,omitempty"`   // calendar time State's clock has stood still so far
}

// Record is one version of one record.
type Record struct {
	Key
	Version   int64     // 1, 2, 3 …
	State     string    // lifecycle state; empty for kinds without one
	Home      string    // name of the site that alone writes it
	HomeEpoch int64     // raised by every hand-over of custody
	CreatedAt time.Time // of version 1, UTC, milliseconds
	UpdatedAt time.Time // of this version, UTC, milliseconds
	EnteredAt time.Time // when State was entered, UTC, milliseconds
	NextAt    time.Time // when the time of State is over; zero: no limit, or its clock stands still
	Deleted   bool      // this version is a deletion; Data is then the last data, for undelete
	Place     Placement
	Mark      Mark
	Data      json.RawMessage // a JSON object
}

// Position is a place in the one ordered feed of a site.
type Position struct {
	Site  string
	Epoch int64
	Seq   int64 // 1, 2, 3 … without gaps; 0 is before the first
}

// String is "site/epoch/seq".
func (p Position) String() string { return fmt.Sprintf("%s/%d/%d", p.Site, p.Epoch, p.Seq) }

// ParsePosition reads what String wrote. It fails with Invalid.
func ParsePosition(s string) (Position, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 3 {
		epoch, err1 := strconv.ParseInt(parts[1], 10, 64)
		seq, err2 := strconv.ParseInt(parts[2], 10, 64)
		if err1 == nil && err2 == nil && seq >= 0 {
			return Position{Site: parts[0], Epoch: epoch, Seq: seq}, nil
		}
	}
	return Position{}, errs.E(errs.Invalid, "feed", s, "位置的格式应为 站点/纪元/序号。", "A position has the form site/epoch/seq.")
}

// Entry is one committed write, as the feed tells it.
type Entry struct {
	Position
	Key
	Version   int64
	Op        Op
	Verb      string // lifecycle verb, when Op is Verb
	From      string // state before
	State     string // state after
	Home      string
	HomeEpoch int64
	By        string
	At        time.Time
	Hash      []byte // SHA-256 over the version, see store.HashVersion
}
