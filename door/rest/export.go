package rest

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// exportWithin bounds one export, import or download.
const exportWithin = 30 * time.Minute

// ownColumns stand before the fields in a CSV; an import takes id and leaves the
// others aside.
var ownColumns = []string{"id", "version", "state", "createdAt", "updatedAt"}

// byteOrderMark lets the spreadsheets of Windows know that a CSV is UTF-8.
const byteOrderMark = "\ufeff"

// export streams every record that matches, as NDJSON (a record a line, in the
// form of the list) or as CSV (a record a line, one column for each top-level
// field, whatever is not a scalar as JSON). It is keyset-paged underneath, so
// memory stays small and others may write meanwhile.
func (d *Door) export(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	q, err := d.query(k, r, "format")
	if err != nil {
		return err
	}
	format := r.URL.Query().Get("format")
	if !slices.Contains([]string{"", "csv", "ndjson"}, format) {
		return invalid("format", "format 应为 csv 或 ndjson。", "format is csv or ndjson.")
	}
	q.Limit, q.Total = maxLimit, true
	page, err := d.kernel.Search(r.Context(), p, q)
	if err != nil {
		return err
	}
	audit.TrailOf(r.Context()).Note(strconv.FormatInt(page.Total, 10) + " records")
	q.Total = false
	h := w.Header()
	name := k.Plural + "-" + d.clock.Now().UTC().Format("20060102-150405")
	var line func(rec *record.Record) error
	flush := func() error { return nil }
	if format == "csv" {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
		if _, err := w.Write([]byte(byteOrderMark)); err != nil {
			return sent(err)
		}
		line, flush = csvLines(w, columns(k, p))
	} else {
		h.Set("Content-Type", "application/x-ndjson")
		h.Set("Content-Disposition", `attachment; filename="`+name+`.ndjson"`)
		line = func(rec *record.Record) error {
			_, err := w.Write(append(appendRecord(nil, rec), '}', '\n'))
			return err
		}
	}
	for {
		for i := range page.Records {
			if err := line(&page.Records[i]); err != nil {
				return sent(err)
			}
		}
		if err := flush(); err != nil {
			return sent(err)
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
		if page, err = d.kernel.Search(r.Context(), p, q); err != nil {
			return err // the gate breaks the connection: half an export must not look whole
		}
	}
}

// columns are the fields of a kind that p may see.
func columns(k *kind.Kind, p *identity.Principal) []string {
	hidden := access.HiddenFields(p, k)
	var out []string
	for _, f := range k.Fields {
		if f.Type != kind.Secret && !slices.Contains(hidden, f.Name) {
			out = append(out, f.Name)
		}
	}
	return out
}

// csvLines writes the heading and gives what writes a line.
func csvLines(w http.ResponseWriter, fields []string) (line func(*record.Record) error, flush func() error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180 §2
	cells := append(slices.Clone(ownColumns), fields...)
	_ = out.Write(cells) // kept until flush, which tells
	line = func(rec *record.Record) error {
		var data map[string]json.RawMessage
		if err := json.Unmarshal(rec.Data, &data); err != nil {
			return err
		}
		cells = append(cells[:0], rec.ID, strconv.FormatInt(rec.Version, 10), rec.State, moment(rec.CreatedAt), moment(rec.UpdatedAt))
		for _, f := range fields {
			cells = append(cells, cell(data[f]))
		}
		return out.Write(cells)
	}
	return line, func() error { out.Flush(); return out.Error() }
}

// formulaStarts begin what a spreadsheet would compute (OWASP, "CSV Injection").
const formulaStarts = "=+-@\t\r"

// cell is a value in a CSV: text as it is, anything else as JSON. Text that a
// spreadsheet would take for a formula gets an apostrophe in front, which an
// import takes away again.
func cell(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if s != "" && (strings.IndexByte(formulaStarts, s[0]) >= 0 || s[0] == '\'') {
		return "'" + s
	}
	return s
}
