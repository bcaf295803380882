package rootcause

import (
	"math"
	"strings"
	"testing"

	"zhiwei/kernel/errs"
)

func TestReadFrame(t *testing.T) {
	f, err := ReadFrame(strings.NewReader("\ufefftime,front-end_lat_90,\"a,b_c|cpu\",lone\n20, 1.5,,3\n10,NaN,-2e3,null\n"), "t")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Time) != 2 || f.Time[0] != 10 || f.Time[1] != 20 {
		t.Errorf("rows are not in order of time: %v", f.Time)
	}
	want := []Column{{"front-end", "lat_90", []float64{math.NaN(), 1.5}}, {"a,b_c", "cpu", []float64{-2000, math.NaN()}}, {"lone", "", []float64{math.NaN(), 3}}}
	for i, w := range want {
		got := f.Columns[i]
		if got.Service != w.Service || got.Metric != w.Metric {
			t.Errorf("column %d is %q of %q, want %q of %q", i, got.Metric, got.Service, w.Metric, w.Service)
		}
		for j, v := range w.Values {
			if g := got.Values[j]; g != v && (!math.IsNaN(g) || !math.IsNaN(v)) {
				t.Errorf("column %d row %d: %v, want %v", i, j, g, v)
			}
		}
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for table, says := range map[string]string{
		"":                               "is empty",
		"time,a_b\n":                     "no rows",
		"timestamp,a_b\n1,2\n":           "must be time",
		"time,_b\n1,2\n":                 "no service",
		"time,a_b,a|b\n1,2,3\n":          "two columns",
		"time,a_b\n1\n":                  "another number of columns in line 2",
		"time,a_b\n1,2\n1,two\n":         `"two" in line 3, column "a_b"`,
		"time,a_b\nyesterday,2\n":        "Unix seconds",
		"time,a_b\n,2\n":                 "Unix seconds",
		"time,a_b\n1,\"2\n":              "quotes",
		"time,a_b\n2026-01-01 00:00,1\n": "Unix seconds",
	} {
		_, err := ReadFrame(strings.NewReader(table), "a.csv")
		if !errs.Is(err, errs.Invalid) || !strings.Contains(errs.Sentence(err, "en"), says) || !strings.Contains(errs.Sentence(err, "zh"), "a.csv") {
			t.Errorf("%q: %v, want %q", table, err, says)
		}
	}
}

func TestReadEdges(t *testing.T) {
	edges, err := ReadEdges(strings.NewReader("from,to\nweb, db\nweb,db\ndb,db\n\"x,y\",db\n"), "g")
	if err != nil || len(edges) != 2 || edges[0] != (Edge{"web", "db"}) || edges[1] != (Edge{"x,y", "db"}) {
		t.Fatalf("%v, %v", edges, err)
	}
	if none, err := ReadEdges(strings.NewReader("from,to\n"), "g"); err != nil || len(none) != 0 {
		t.Fatalf("%v, %v", none, err)
	}
	for table, says := range map[string]string{
		"": "is empty", "a,b\n": "must be from,to", "from,to\na,\n": "line 2", "from,to\na\n": "line 2", "from,to,n\na,b,1\n": "must be from,to",
	} {
		if _, err := ReadEdges(strings.NewReader(table), "g.csv"); !errs.Is(err, errs.Invalid) || !strings.Contains(errs.Sentence(err, "en"), says) {
			t.Errorf("%q: %v, want %q", table, err, says)
		}
	}
}

// Whatever the bytes, a table is read or refused with a sentence, and what was
// read can be analysed.
func FuzzReadFrame(f *testing.F) {
	for _, s := range []string{
		"time,a_cpu,b|lat_p99\n1,2,3\n2,,4\n3,NaN,5\n4,1e309,6\n5,1,1\n", "time\n1\n", "\ufefftime,a\n1,1\n", "time,a_requests,a_availability\n5,0,0\n4,1,100\n3,0,0\n2,0,0\n1,0,\n", "time,a_b\n1,\"", "time,|\n1,1\n",
	} {
		f.Add(s, 3.0)
	}
	f.Fuzz(func(t *testing.T, table string, at float64) {
		frame, err := ReadFrame(strings.NewReader(table), "t")
		if err != nil {
			if !errs.Is(err, errs.Invalid) || errs.Sentence(err, "zh") == "" || errs.Sentence(err, "en") == "" {
				t.Fatalf("refused without a sentence: %v", err)
			}
			return
		}
		for _, c := range frame.Columns {
			if len(c.Values) != len(frame.Time) || c.Service == "" {
				t.Fatalf("column %+v of %d rows", c, len(frame.Time))
			}
		}
		in := Input{Normal: frame, Anomalous: frame, At: at}
		for i := 1; i < len(frame.Columns); i++ {
			in.Calls = append(in.Calls, Edge{frame.Columns[i-1].Service, frame.Columns[i].Service})
		}
		if res, err := Analyze(in); err == nil {
			sound(t, res)
		} else if !errs.Is(err, errs.Invalid) {
			t.Fatal(err)
		}
	})
}

func FuzzReadEdges(f *testing.F) {
	for _, s := range []string{"from,to\na,b\nb,a\n", "from,to\n", "from,to\n\"a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, table string) {
		edges, err := ReadEdges(strings.NewReader(table), "t")
		if err != nil && !errs.Is(err, errs.Invalid) {
			t.Fatal(err)
		}
		for _, e := range edges {
			if e.From == "" || e.To == "" || e.From == e.To {
				t.Fatalf("%+v", e)
			}
		}
	})
}
