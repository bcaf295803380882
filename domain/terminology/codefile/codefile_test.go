package codefile_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"zhiwei/domain/terminology"
	"zhiwei/domain/terminology/codefile"
	"zhiwei/kernel/errs"
)

// sink keeps what it is handed.
type sink struct {
	mu    sync.Mutex
	units []terminology.Unit
	fail  error
}

func (s *sink) take(_ context.Context, u terminology.Unit) (terminology.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return terminology.Report{}, s.fail
	}
	s.units = append(s.units, u)
	return terminology.Report{Written: len(u.Concepts)}, nil
}

// lines writes the concepts as "code display <parents <<ancestors".
func (s *sink) lines() []string {
	var out []string
	for _, u := range s.units {
		for _, c := range u.Concepts {
			out = append(out, fmt.Sprintf("%s %s <%s <<%s", c.Code, c.Display, strings.Join(c.Parents, ","), strings.Join(c.Ancestors, ",")))
		}
	}
	slices.Sort(out)
	return out
}

func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const drugs = "编码,名称,上级,规格\nA,抗菌药物,,\nA1,青霉素类,A,\nA1-1,\"阿莫西林,胶囊\",A1|Z,0.25g\nA1,重复,A,\n"

var drugLines = []string{"A 抗菌药物 < <<", "A1 青霉素类 <A <<A", "A1-1 阿莫西林,胶囊 <A1,Z <<A1,Z,A"}

func TestTablesOfEveryForm(t *testing.T) {
	gbk, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(drugs))
	if err != nil {
		t.Fatal(err)
	}
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes([]byte(drugs))
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"utf-8":      file(t, "a.csv", []byte(drugs)),
		"mark":       file(t, "b.csv", []byte("\uFEFF"+drugs)),
		"gb18030":    file(t, "c.csv", gbk),
		"utf-16":     file(t, "d.txt", utf16),
		"gz":         file(t, "e.csv.gz", packed(t, []byte(drugs))),
		"tab":        file(t, "f.tsv", []byte("code\tname\tparent\nA\t抗菌药物\t\nA1\t青霉素类\tA\nA1-1\t阿莫西林,胶囊\tA1;Z\n")),
		"semicolons": file(t, "g.csv", []byte("code;display;parent\r\nA;抗菌药物;\r\nA1;青霉素类;A\r\nA1-1;阿莫西林,胶囊;A1|Z\r\n")),
	} {
		s := &sink{}
		got, err := codefile.Run(t.Context(), codefile.Options{Paths: []string{path}, System: "http://example.org/drugs", Version: "7", Sink: s.take})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if lines := s.lines(); !slices.Equal(lines, drugLines) {
			t.Errorf("%s: %q", name, lines)
		}
		first, last := s.units[0], s.units[len(s.units)-1]
		if !slices.Equal(first.Outside, []string{"Z"}) || !last.Last || len(last.Concepts) > 0 || first.Version != "7" || first.System != "http://example.org/drugs" {
			t.Errorf("%s: %+v", name, first)
		}
		if name == "utf-8" && (got.Twice != 1 || got.Written != 3 || first.Concepts[2].Properties[0] != (terminology.ImportedProperty{Code: "规格", Type: "string", Value: "0.25g"})) {
			t.Errorf("%+v", got)
		}
	}
}

func TestColumnsByName(t *testing.T) {
	path := file(t, "a.csv", []byte("药品编号,通用名,别称,停用否\n1,甲,乙|丙,是\n"))
	s := &sink{}
	_, err := codefile.Run(t.Context(), codefile.Options{
		Paths: []string{path}, System: "http://example.org/d", Sink: s.take,
		Columns: map[string]string{codefile.ColumnCode: "药品编号", codefile.ColumnDisplay: "通用名", codefile.ColumnDesignation: "别称", codefile.ColumnInactive: "停用否"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := s.units[0].Concepts[0]
	if c.Code != "1" || c.Display != "甲" || !c.Inactive || len(c.Designations) != 2 || c.Designations[1].Value != "丙" || c.Properties != nil {
		t.Errorf("%+v", c)
	}
}

const system = `{"resourceType":"CodeSystem","url":"http://example.org/s","version":"3","title":"S","status":"active","content":"complete","concept":[
 {"code":"1","display":"one","designation":[{"language":"zh","value":"一"}],"concept":[{"code":"1.1","display":"one one","concept":[{"code":"1.1.1"}]}]},
 {"code":"2","display":"two","property":[{"code":"child","valueCode":"1.1"},{"code":"parent","valueCode":"1"},{"code":"weight","valueDecimal":1.50}]}]}`

func TestCodeSystemsAreRead(t *testing.T) {
	want := []string{"1 one < <<", "1.1 one one <1,2 <<1,2", "1.1.1  <1.1 <<1.1,1,2", "2 two <1 <<1"}
	for name, path := range map[string]string{
		"json":     file(t, "a.json", []byte(system)),
		"ndjson":   file(t, "a.ndjson", []byte(strings.ReplaceAll(system, "\n", " ")+"\n\n")),
		"concepts": file(t, "b.ndjson", []byte(`{"code":"1","display":"one"}`+"\n"+`{"code":"1.1","display":"one one","parents":["1","2"]}`+"\n"+`{"code":"1.1.1","parents":["1.1"]}`+"\n"+`{"code":"2","display":"two","parents":["1"]}`)),
	} {
		s := &sink{}
		o := codefile.Options{Paths: []string{path}, Sink: s.take}
		if name == "concepts" {
			o.System = "http://example.org/s"
		}
		got, err := codefile.Run(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if lines := s.lines(); !slices.Equal(lines, want) || got.System != "http://example.org/s" {
			t.Errorf("%s: %s %q", name, got.System, lines)
		}
		if name != "concepts" {
			if u := s.units[0]; u.Version != "3" || !strings.Contains(string(u.Resource), `"title":"S"`) || strings.Contains(string(u.Resource), "concept") {
				t.Errorf("%s: %+v", name, u)
			}
		}
	}
}

func TestWhatIsRefusedSaysWhere(t *testing.T) {
	for name, x := range map[string]struct{ file, content, say string }{
		"no codes":      {"a.csv", "name,price\nx,1\n", "a.csv: line 1: The header has no column of codes"},
		"empty":         {"a.csv", "", "The file is empty"},
		"no code":       {"a.csv", "code,name\n1,a\n,b\n", "line 3: This row has no code"},
		"header alone":  {"a.csv", "code,name\n", "no code in the files"},
		"quotes":        {"a.csv", "code,name\n1,\"a\n", ""},
		"not FHIR":      {"a.json", `{"resourceType":"Patient"}`, "not a CodeSystem"},
		"list":          {"a.json", `[]`, "not a CodeSystem"},
		"broken":        {"a.json", `{"resourceType":`, "damaged"},
		"supplement":    {"a.json", `{"resourceType":"CodeSystem","content":"supplement","concept":[{"code":"1"}]}`, "supplement"},
		"other system":  {"a.json", system, "not what --system says"},
		"type":          {"a.xml", "<a/>", "type of this file is not known"},
		"not packed":    {"a.csv.gz", "code\n1\n", "damaged"},
		"broken line":   {"a.ndjson", "{\"code\":\"1\"}\n{\n", "line 2"},
		"strange line":  {"a.ndjson", "{\"resourceType\":\"Patient\"}\n", "line 1"},
		"nameless line": {"a.ndjson", "{\"display\":\"x\"}\n", "line 1"},
	} {
		_, err := codefile.Run(t.Context(), codefile.Options{Paths: []string{file(t, x.file, []byte(x.content))}, System: "http://example.org/other", Sink: (&sink{}).take})
		if x.say == "" {
			continue
		}
		if !errs.Is(err, errs.Invalid) || !strings.Contains(errs.Sentence(err, "en"), x.say) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := codefile.Run(t.Context(), codefile.Options{Paths: []string{filepath.Join(t.TempDir(), "none.csv")}, Sink: (&sink{}).take}); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
	broken := &sink{fail: errs.E(errs.Forbidden, "import", "", "不行", "no")}
	if _, err := codefile.Run(t.Context(), codefile.Options{Paths: []string{file(t, "a.csv", []byte("code\n1\n"))}, System: "http://example.org/s", Sink: broken.take}); !errs.Is(err, errs.Forbidden) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := codefile.Run(ctx, codefile.Options{Paths: []string{file(t, "a.csv", []byte("code\n1\n"))}, System: "http://example.org/s", Sink: (&sink{}).take}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Many units are handed out side by side, and a circle in the hierarchy ends.
func TestLongListsInUnits(t *testing.T) {
	var b strings.Builder
	b.WriteString("code,parent\n")
	for i := range 9000 {
		fmt.Fprintf(&b, "%d,%d\n", i, (i+1)%9000/10)
	}
	s := &sink{}
	got, err := codefile.Run(t.Context(), codefile.Options{Paths: []string{file(t, "a.csv", []byte(b.String()))}, System: "http://example.org/s", Sink: s.take, Workers: 4})
	if err != nil || got.Written != 9000 || len(s.units) != 6 {
		t.Fatalf("%+v %v %d units", got, err, len(s.units))
	}
	for _, u := range s.units {
		for _, c := range u.Concepts {
			if slices.Contains(c.Ancestors, c.Code) {
				t.Fatalf("%s stands above itself", c.Code)
			}
		}
	}
}

// Whatever a file holds, reading it ends with concepts or with a sentence.
func FuzzFile(f *testing.F) {
	f.Add(".csv", []byte(drugs))
	f.Add(".tsv", []byte("code\tparent\n1\t1\n"))
	f.Add(".json", []byte(system))
	f.Add(".ndjson", []byte(`{"code":"1"}`))
	f.Fuzz(func(t *testing.T, ext string, content []byte) {
		if !slices.Contains([]string{".csv", ".tsv", ".json", ".ndjson"}, ext) {
			return
		}
		s := &sink{}
		_, err := codefile.Run(t.Context(), codefile.Options{Paths: []string{file(t, "a"+ext, content)}, System: "http://example.org/s", Sink: s.take, Workers: 1})
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Fatal(err)
		}
		for _, u := range s.units {
			for _, c := range u.Concepts {
				if c.Code == "" || slices.Contains(c.Ancestors, c.Code) {
					t.Fatalf("%+v", c)
				}
			}
		}
	})
}
