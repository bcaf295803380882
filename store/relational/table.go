package relational

import "slices"

// Type is the type of a column.
type Type uint8

// The column types.
const (
	Int Type = iota
	Real
	Text
	Bytes
)

// Table is a table that rows are inserted into in bulk.
type Table struct {
	Name    string
	Columns []string
	Types   []Type
}

// Key is the columns that tell the rows of an index table: those before the
// rank.
func (t *Table) Key() []string {
	if i := slices.Index(t.Columns, "rank"); i >= 0 {
		return t.Columns[:i]
	}
	return t.Columns
}

// IndexTables lists the tables of entries.
var IndexTables = entryTables[:]

// The tables of bulk rows. The keys and indexes are the adapters' own, in their
// schema.sql, but an equality on a token or a reference must give its rows in
// the order of rid.
var (
	// TokenTable holds codes; about is the row number of what store.Defs.About
	// names, 0 for none.
	TokenTable = &Table{"token", []string{"p", "code", "rid", "sys", "occ", "rank", "about"}, []Type{Int, Text, Int, Int, Int, Int, Int}}
	// TextTable holds folded texts; exact is empty where it equals fold.
	TextTable = &Table{"text", []string{"p", "fold", "rid", "form", "occ", "exact", "rank"}, []Type{Int, Text, Int, Int, Int, Text, Int}}
	// DateTable holds periods; see entry.class for cls.
	DateTable = &Table{"date", []string{"p", "cls", "lo", "rid", "hi", "occ", "rank"}, []Type{Int, Int, Int, Int, Int, Int, Int}}
	// QuantityTable holds number intervals.
	QuantityTable = &Table{"quantity", []string{"p", "lo", "rid", "hi", "sys", "unit", "occ", "rank"}, []Type{Int, Real, Int, Real, Int, Int, Int, Int}}
	// RefTable holds references to records.
	RefTable = &Table{"ref", []string{"target", "p", "rid", "occ"}, []Type{Int, Int, Int, Int}}
	// URLTable holds references to outside.
	URLTable = &Table{"url", []string{"p", "url", "rid", "occ"}, []Type{Int, Text, Int, Int}}
	// FeedTable is the order of all versions.
	FeedTable = &Table{"feed", []string{"seq", "rid", "nth", "kind", "sum"}, []Type{Int, Int, Int, Int, Int}}
	// AuditTable is the audit.
	AuditTable = &Table{"audit", []string{"seq", "at", "who", "action", "subject", "patient", "outcome", "rest", "sum"}, []Type{Int, Int, Text, Text, Text, Text, Text, Bytes, Int}}
	// RecordTable holds the newest version of each record; one row a record, also
	// for records that are only referred to (version 0).
	RecordTable = &Table{"record", recordColumns, recordTypes}
	// RenewedRecord is the columns of record that an update may change.
	RenewedRecord = &Table{"record", renewedColumns, renewedTypes}
	// RevisedRecord is RenewedRecord without what most updates leave as it is and
	// indexes are made of, so that these need not be written.
	RevisedRecord = &Table{"record", revisedColumns, revisedTypes}
	// VersionTable holds older versions.
	VersionTable = &Table{"version", versionColumns, versionTypes}
)

var (
	versionColumns = []string{"rid", "nth", "version", "state", "home", "created", "updated", "next", "deleted", "hash", "body"}
	versionTypes   = []Type{Int, Int, Int, Int, Int, Int, Int, Int, Int, Bytes, Bytes}
	revisedColumns = []string{"rid", "nth", "version", "home", "updated", "hash", "body", "present", "org", "dept", "subject"}
	revisedTypes   = []Type{Int, Int, Int, Int, Int, Bytes, Bytes, Text, Int, Int, Int}
	renewedColumns = append(slices.Clone(revisedColumns), "created", "state", "next", "deleted", "owner")
	renewedTypes   = append(slices.Clone(revisedTypes), Int, Int, Int, Int, Text)
	recordColumns  = append(slices.Clone(versionColumns), "kind", "id", "present", "org", "dept", "owner", "subject")
	recordTypes    = append(slices.Clone(versionTypes), Int, Text, Text, Int, Int, Text, Int)
)

// Tables lists the tables of bulk rows.
var Tables = []*Table{
	TokenTable, TextTable, DateTable, QuantityTable, RefTable, URLTable,
	FeedTable, AuditTable, AuditTermTable, ChainTable, RecordTable, VersionTable,
}
