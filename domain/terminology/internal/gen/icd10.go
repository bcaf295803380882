package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zhiwei/domain/terminology/internal/content"
)

// readICD10 reads the categories and what they stand under. A chapter or block
// is coded by its range, "A00-B99", as ICD-10 codes its blocks. The dagger and
// the asterisk behind a category are no part of its code; they stand in the
// property "dual-coding".
func readICD10(dir string) (*content.System, error) {
	s := &content.System{
		URL: "http://hl7.org/fhir/sid/icd-10", Name: "ICD10CategoriesZH", Title: "ICD-10 三字符类目（中文）",
		Content: content.Fragment, Language: "zh", FoldCase: true, // the categories, not the subcategories below them
	}
	groups, err := table(filepath.Join(dir, "disease_catalog.csv"), 4)
	if err != nil {
		return nil, err
	}
	type span struct {
		from, to, code string
		level          string
	}
	var spans []span
	parent := func(from, to string, levels ...string) string {
		for _, level := range levels {
			for _, g := range spans {
				if g.level == level && g.from <= from && to <= g.to {
					return g.code
				}
			}
		}
		return ""
	}
	for _, row := range groups {
		g := span{from: row[0], to: row[1], code: row[0] + "-" + row[1], level: row[2]}
		c := content.Concept{Code: g.code, Display: row[3], Abstract: true, Properties: []content.Property{{Code: "level", Type: "code", Value: "chapter"}}}
		if g.level != "1" {
			c.Properties[0].Value = "block"
			if up := parent(g.from, g.to, "1"); up != "" {
				c.Parents = []string{up}
			}
		}
		spans = append(spans, g)
		s.Concepts = append(s.Concepts, c)
	}
	rows, err := table(filepath.Join(dir, "disease.csv"), 2)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		code := strings.TrimRight(row[0], "+*")
		c := content.Concept{Code: code, Display: row[1]}
		if up := parent(code, code, "2", "1"); up != "" {
			c.Parents = []string{up}
		}
		switch strings.TrimPrefix(row[0], code) {
		case "+":
			c.Properties = []content.Property{{Code: "dual-coding", Type: "code", Value: "dagger"}}
		case "*":
			c.Properties = []content.Property{{Code: "dual-coding", Type: "code", Value: "asterisk"}}
		}
		s.Concepts = append(s.Concepts, c)
	}
	return s, nil
}

// table reads a file of tab-separated columns with a header.
func table(path string, columns int) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, columns
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = strings.TrimSpace(strings.TrimPrefix(row[i], "\uFEFF"))
		}
	}
	return rows[1:], nil
}
