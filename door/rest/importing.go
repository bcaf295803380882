package rest

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/shape"
	"zhiwei/kernel/store"
)

// Bounds of one import. More is sent in several files.
const (
	maxRows      = 10_000
	maxRowErrors = 100
)

// row is one record of an import.
type row struct {
	line int
	id   string
	data json.RawMessage
}

// rowError says what is wrong with one line.
type rowError struct {
	Line   int    `json:"line"`
	Detail string `json:"detail"`
	Path   string `json:"path,omitempty"`
}

// report is the answer to an import.
type report struct {
	Rows    int        `json:"rows"`
	Created int        `json:"created"`
	Updated int        `json:"updated"`
	Failed  []rowError `json:"failed"`
}

// importRows creates a record for every line of an NDJSON ({"data":{…}}, or a
// line of an export) or CSV body (a heading, then a record a line), all of them
// or, where any line is wrong, none, so that a corrected file can be sent again.
// Lines with the id of an existing record replace its data where update=true,
// and are wrong otherwise. check=true says what would be wrong and writes
// nothing. The answer is 200, or 400 with the lines that failed.
func (d *Door) importRows(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r, "check", "update"); err != nil {
		return err
	}
	flags := map[string]bool{}
	for _, name := range []string{"check", "update"} {
		switch r.URL.Query().Get(name) {
		case "true":
			flags[name] = true
		case "", "false":
		default:
			return invalid(name, name+" 只能是 true 或 false。", name+" is true or false.")
		}
	}
	rows, err := rowsOf(k, r)
	if err != nil {
		return err
	}
	lang := gate.Lang(r)
	out := report{Rows: len(rows), Failed: []rowError{}}
	prepared := make([]*kernel.Prepared, 0, len(rows))
	var keys []record.Key
	wrong := func(line int, err error) {
		if len(out.Failed) < maxRowErrors {
			out.Failed = append(out.Failed, rowError{line, errs.Sentence(err, lang), errs.PathOf(err)})
		}
	}
	for _, row := range rows {
		c := kernel.Change{Op: record.Create, Key: record.Key{Kind: k.Name, ID: row.id}, Data: row.data}
		if flags["update"] && row.id != "" {
			c.Op, c.Expect, c.Upsert = record.Update, kernel.AnyVersion, true
		}
		pr, err := d.kernel.Prepare(r.Context(), p, c)
		if err != nil {
			if kind := errs.KindOf(err); kind != errs.Invalid && kind != errs.TooLarge {
				return err
			}
			wrong(row.line, err)
			continue
		}
		prepared = append(prepared, pr)
		keys = append(keys, pr.Keys()...)
	}
	if len(out.Failed) == 0 && !flags["check"] {
		failed := 0
		err = d.kernel.Transact(r.Context(), p, store.Bulk, keys, func(t *kernel.Txn) error {
			out.Created, out.Updated, failed = 0, 0, 0
			for i, pr := range prepared {
				made, err := t.Apply(pr)
				if err != nil {
					failed = rows[i].line
					return err
				}
				if made.Version == 1 {
					out.Created++
				} else {
					out.Updated++
				}
			}
			return nil
		})
		if err != nil {
			if k := errs.KindOf(err); failed == 0 || k == errs.Unavailable || k == errs.Internal {
				return err
			}
			out.Created, out.Updated = 0, 0
			wrong(failed, err)
		}
	}
	status := http.StatusOK
	if len(out.Failed) > 0 {
		status = http.StatusBadRequest
	}
	return answer(w, r, status, out)
}

func rowsOf(k *kind.Kind, r *http.Request) ([]row, error) {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return ndjsonRows(k, r.Body)
	case "text/csv":
		return csvRows(k, r.Body)
	}
	return nil, invalid("Content-Type", "请以 Content-Type: application/x-ndjson 或 text/csv 发送。", "Send it with Content-Type: application/x-ndjson or text/csv.")
}

func tooMany() error {
	return errs.E(errs.TooLarge, "import", "body", "一次最多导入 10000 行；请分成几个文件。", "An import takes 10,000 lines at most; split it into several files.")
}

// ofLine names the line in what is said of it.
func ofLine(line int, err error) error {
	n := strconv.Itoa(line)
	return errs.E(errs.Invalid, "import", "line "+n, "第 "+n+" 行："+errs.Sentence(err, "zh"), "Line "+n+": "+errs.Sentence(err, "en")).At(errs.PathOf(err)).Because(err)
}

func ndjsonRows(k *kind.Kind, body io.Reader) ([]row, error) {
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 64<<10), shape.MaxBytes)
	var out []row
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		if len(out) == maxRows {
			return nil, tooMany()
		}
		if _, err := shape.Object(line); err != nil {
			return nil, ofLine(n, err)
		}
		var props map[string]json.RawMessage
		if err := json.Unmarshal(line, &props); err != nil {
			return nil, ofLine(n, errs.Wrap("import", "", err))
		}
		for name := range props {
			if !slices.Contains(exported, name) {
				return nil, ofLine(n, unknownColumn(name))
			}
		}
		one := row{line: n, data: bytes.Clone(props["data"])}
		var of string
		if err := errors.Join(into(props, "id", &one.id), into(props, "kind", &of)); err != nil {
			return nil, ofLine(n, err)
		}
		if of != "" && of != k.Name {
			return nil, ofLine(n, invalid("kind", "这一行是 "+of+"，不是 "+k.Name+"。", "This line is a "+of+", not a "+k.Name+"."))
		}
		if err := needData(one.data); err != nil {
			return nil, ofLine(n, err)
		}
		out = append(out, one)
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, errs.E(errs.TooLarge, "import", "body", "有一行超过 4 MB。", "A line is longer than 4 MB.")
	}
	if in.Err() != nil {
		return nil, broken(in.Err())
	}
	return out, nil
}

// exported are the properties of a line of an export.
var exported = []string{"kind", "id", "version", "state", "site", "createdAt", "updatedAt", "enteredAt", "nextAt", "by", "byName", "data"}

func unknownColumn(name string) error {
	return invalid(name, "没有名为 "+name+" 的字段，请删除或改正。", "There is no field named "+name+"; remove or correct it.")
}

func csvRows(k *kind.Kind, body io.Reader) ([]row, error) {
	if k.Format != "" {
		return nil, invalid("Content-Type", k.Title.In("zh")+"的内容不是表格，请用 NDJSON 导入。", k.Title.In("en")+" is not a table; import it as NDJSON.")
	}
	buffered := bufio.NewReader(body)
	if mark, err := buffered.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark)) // just peeked
	}
	in := csv.NewReader(buffered)
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, csvError(err)
	}
	names := slices.Clone(head)
	fields := make([]*kind.Field, len(names))
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, invalid(name, "列 "+name+" 出现了两次。", "The column "+name+" stands there twice.")
		}
		if fields[i] = k.Field(name); fields[i] == nil && !slices.Contains(ownColumns, name) {
			return nil, unknownColumn(name)
		}
	}
	var out []row
	for {
		cells, err := in.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, csvError(err)
		}
		if len(out) == maxRows {
			return nil, tooMany()
		}
		line, _ := in.FieldPos(0)
		one := row{line: line}
		data := map[string]json.RawMessage{}
		for i, text := range cells {
			switch {
			case text == "":
			case names[i] == "id":
				one.id = text
			case fields[i] != nil:
				if data[names[i]], err = value(fields[i], text); err != nil {
					return nil, ofLine(line, err)
				}
			}
		}
		if one.data, err = json.Marshal(data); err != nil {
			return nil, errs.Wrap("import", "", err)
		}
		out = append(out, one)
	}
}

func csvError(err error) error {
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	return errs.E(errs.Invalid, "import", "body", "CSV 格式有误："+err.Error()+"。", "The CSV is broken: "+err.Error()+".").Because(err)
}

// value reads a cell as its field asks: the shape check of the kernel says
// whether it is right.
func value(f *kind.Field, text string) (json.RawMessage, error) {
	asJSON := f.Many
	switch f.Type {
	case kind.Int, kind.Bool, kind.Object, kind.Quantity, kind.Any:
		asJSON = true
	}
	if asJSON {
		if !json.Valid([]byte(text)) {
			return nil, invalid(f.Name, "“"+f.Title.In("zh")+"”的值 "+text+" 无法识别。", "The value "+text+" of “"+f.Title.In("en")+"” cannot be read.")
		}
		return json.RawMessage(text), nil
	}
	if len(text) > 1 && text[0] == '\'' && (strings.IndexByte(formulaStarts, text[1]) >= 0 || text[1] == '\'') {
		text = text[1:]
	}
	raw, err := json.Marshal(text)
	return raw, errs.Wrap("import", f.Name, err)
}
