package kind

// Compartment says to which other persons a record belongs, beside the one that
// Place.Subject names: the targets, of the kind Of, of some of its reference
// entries. A record may so belong to several persons, as an appointment does.
// Source of the idea: FHIR R4 §2.25, CompartmentDefinition.
type Compartment struct {
	Of     string   `json:"of,omitempty"`     // kind of the persons, e.g. Patient; empty: there is no compartment
	Params []string `json:"params,omitempty"` // names of the reference entries: those of a parameter's Over, or its own
}

// Privacy declares what stands against seeing a person's records although a
// grant would show them, and what opens them in an emergency. There is one in a
// house; the zero value holds nothing back.
type Privacy struct {
	// Opening is the relation of those who broke the glass: while it lasts it
	// counts as treating, and no Denial stands against it. Empty Kind: nobody can.
	Opening Relation
	// Opener is the role of those who may break it. What they read and write of a
	// person they opened stands in the audit with the purpose BTG and the text of
	// the opening's field Reason.
	Opener string
	// Denial is how persons refuse. Empty Kind: nobody refuses anything.
	Denial Denial
	// Labels are the codes of Place.Label that not every grant shows, the
	// stricter ones last.
	Labels []Label
}

// Denial ties persons to those who may not see their records. A live record of
// Kind names the person by the reference parameter Subject and holds any number
// of rules, each an occurrence number of index entries:
//
//   - one reference "~deny" to the person;
//   - one or more tokens "~deny", whose code is DenialCode of the one who is
//     denied, the kind of record and the purpose of use;
//   - any number of tokens "~spare" of the same form: whom the rule does not deny;
//   - at most one date "~deny", the time in which the rule holds; none: always.
//
// Records of Kind itself are never held back by a denial: whoever treats must be
// able to see that there is one.
type Denial struct {
	Kind    string
	Subject string
}

// The names of the entries that a Denial is made of. No parameter that a kind
// declares begins with "~".
const (
	DenyEntry  = "~deny"
	SpareEntry = "~spare"
)

// Whatever is what stands in a DenialCode for everybody, every kind and every
// purpose.
const Whatever = "*"

// DenialCode names one who is denied ("Practitioner/12"), a kind of record and a
// purpose of use; each may be Whatever.
func DenialCode(who, kindName, purpose string) string { return who + "|" + kindName + "|" + purpose }

// Label is a confidentiality that a record may carry.
type Label struct {
	System string   // of the coding, as in the data
	Code   string   // e.g. "R"
	When   []string // conditions of grants that show such a record: Own, Treating, Opened
	Roles  []string // roles to whom any of their grants shows it
}
