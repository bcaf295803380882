package codefile

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/terminology"
)

// headers are the usual headers of the columns, in lower case.
var headers = map[string][]string{
	ColumnCode:        {"code", "代码", "编码", "编号"},
	ColumnDisplay:     {"display", "name", "名称", "显示名", "中文名称"},
	ColumnParent:      {"parent", "parents", "上级", "上级代码", "上级编码", "父级", "父级代码"},
	ColumnDefinition:  {"definition", "description", "定义", "说明"},
	ColumnDesignation: {"designation", "designations", "synonym", "alias", "别名", "同义词"},
	ColumnInactive:    {"inactive", "停用", "已停用"},
}

// table is where the columns of a file stand.
type table struct {
	at         map[string]int // column → place
	properties map[int]string // place → name
}

// readTable reads rows of columns behind a header. The separator is a tab in a
// .tsv, else whichever of tab, comma and semicolon the header has most of.
func readTable(in io.Reader, tabs bool, columns map[string]string, f func(*terminology.Imported) error) error {
	text, err := decoded(in)
	if err != nil {
		return err
	}
	r := csv.NewReader(text)
	r.LazyQuotes, r.FieldsPerRecord, r.ReuseRecord, r.TrimLeadingSpace = true, -1, true, false
	if r.Comma = '\t'; !tabs {
		if r.Comma, err = separator(text); err != nil {
			return err
		}
	}
	row, err := r.Read()
	if errors.Is(err, io.EOF) {
		return wrong(0, "文件是空的。", "The file is empty.")
	}
	if err != nil {
		return rowError(err)
	}
	t, err := header(row, columns)
	if err != nil {
		return err
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return rowError(err)
		}
		c := t.concept(row)
		line, _ := r.FieldPos(0)
		if c.Code == "" {
			if blank(row) {
				continue
			}
			return wrong(line, "这一行没有代码。", "This row has no code.")
		}
		if err := f(c); err != nil {
			return err
		}
	}
}

func rowError(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		return wrong(p.Line, "这一行的引号有误。", "The quotes of this row are wrong.")
	}
	return err
}

func blank(row []string) bool {
	return !slices.ContainsFunc(row, func(s string) bool { return strings.TrimSpace(s) != "" })
}

func separator(text *bufio.Reader) (rune, error) {
	start, err := text.Peek(4 << 10)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return 0, err
	}
	line, _, _ := strings.Cut(string(start), "\n")
	best, most := ',', 0
	for _, c := range []rune{',', '\t', ';'} {
		if n := strings.Count(line, string(c)); n > most {
			best, most = c, n
		}
	}
	return best, nil
}

// header finds the columns. Invalid where there is none of codes, or one that
// was named is not there.
func header(row []string, columns map[string]string) (*table, error) {
	t := &table{at: map[string]int{}, properties: map[int]string{}}
	names := make([]string, len(row))
	for i, name := range row {
		names[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\uFEFF")))
	}
	taken := map[int]bool{}
	for column, usual := range headers {
		want := usual
		if given := columns[column]; given != "" {
			want = []string{strings.ToLower(given)}
		}
		for _, w := range want {
			if i := slices.Index(names, w); i >= 0 {
				t.at[column], taken[i] = i, true
				break
			}
		}
		if _, ok := t.at[column]; !ok && columns[column] != "" {
			return nil, wrong(1, "没有名为“"+columns[column]+"”的列；表头是："+strings.Join(names, "、")+"。", "There is no column "+strconv.Quote(columns[column])+"; the header is: "+strings.Join(names, ", ")+".")
		}
	}
	if _, ok := t.at[ColumnCode]; !ok {
		return nil, wrong(1, "表头里没有代码列（code、代码、编码）；表头是："+strings.Join(names, "、")+"。可用 --code 指明列名。", "The header has no column of codes (code); it is: "+strings.Join(names, ", ")+". Name it with --code.")
	}
	for i := range names {
		if name := strings.TrimSpace(row[i]); !taken[i] && name != "" {
			t.properties[i] = name
		}
	}
	return t, nil
}

func (t *table) concept(row []string) *terminology.Imported {
	cell := func(column string) string {
		if i, ok := t.at[column]; ok && i < len(row) {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	c := &terminology.Imported{
		Code: strings.Clone(cell(ColumnCode)), Display: strings.Clone(cell(ColumnDisplay)), Definition: strings.Clone(cell(ColumnDefinition)),
		Parents: several(cell(ColumnParent)), Inactive: yes(cell(ColumnInactive)),
	}
	for _, name := range several(cell(ColumnDesignation)) {
		c.Designations = append(c.Designations, terminology.ImportedDesignation{Value: name})
	}
	for i := range row {
		if name, ok := t.properties[i]; ok {
			if v := strings.TrimSpace(row[i]); v != "" {
				c.Properties = append(c.Properties, terminology.ImportedProperty{Code: name, Type: "string", Value: strings.Clone(v)})
			}
		}
	}
	return c
}

// several splits a cell that may name several things.
func several(cell string) []string {
	var out []string
	for _, s := range strings.FieldsFunc(cell, func(r rune) bool { return r == '|' || r == ';' || r == '；' }) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, strings.Clone(s))
		}
	}
	return out
}

func yes(cell string) bool {
	return slices.Contains([]string{"true", "1", "yes", "y", "是", "停用", "inactive"}, strings.ToLower(cell))
}
