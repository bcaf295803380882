package terminology_test

import (
	"fmt"
	"testing"

	"zhiwei/domain/terminology"
)

// catalogue is a system of three levels with Chinese names, n codes in all.
func catalogue(w *ward, n int) string {
	w.t.Helper()
	const system = "http://example.org/catalogue"
	kinds := []string{"炎", "肿瘤", "结石", "溃疡", "出血", "梗死", "狭窄", "扩张", "穿孔", "坏死"}
	organs := []string{"胃", "肠", "肝", "胆囊", "胰腺", "脾", "肾", "膀胱", "支气管", "心肌"}
	forms := []string{"急性", "慢性", "原发性", "继发性", "先天性", "复发性", "特发性"}
	for from := 0; from < n; from += 2000 {
		u := terminology.Unit{System: system, Title: "大目录", Last: from+2000 >= n}
		for i := from; i < min(n, from+2000); i++ {
			k, o, f := i%len(kinds), i/len(kinds)%len(organs), i/len(kinds)/len(organs)%len(forms)
			c := &terminology.Imported{Code: fmt.Sprintf("C%06d", i), Display: fmt.Sprintf("%s%s%s第%d型", forms[f], organs[o], kinds[k], i)}
			if i > 0 {
				c.Parents = []string{fmt.Sprintf("C%06d", i/20)}
				for a := i; a > 0; {
					a /= 20
					c.Ancestors = append(c.Ancestors, fmt.Sprintf("C%06d", a))
				}
			}
			u.Concepts = append(u.Concepts, c)
		}
		if _, err := w.s.Import(w.t.Context(), w.p, u); err != nil {
			w.t.Fatal(err)
		}
	}
	return system
}

func BenchmarkImport(b *testing.B) {
	w := open(b)
	for b.Loop() {
		catalogue(w, 6000)
	}
	b.ReportMetric(6000*float64(b.N)/b.Elapsed().Seconds(), "concepts/s")
}

func BenchmarkExpand(b *testing.B) {
	w := open(b)
	system := catalogue(w, 20_000)
	for name, r := range map[string]terminology.ExpandRequest{
		"initials": {Filter: "jxwy", Count: 20}, "one-letter": {Filter: "m", Count: 20}, "chinese": {Filter: "肝炎", Count: 20},
		"page": {Count: 20}, "subtree": {URL: system + "?fhir_vs=isa/C000007", Count: 20}, "nothing": {Filter: "qqq", Count: 20},
	} {
		if r.URL == "" {
			r.URL = system + "?fhir_vs"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w.expand(r)
			}
		})
	}
}

func BenchmarkExpandEmbedded(b *testing.B) {
	w := open(b)
	for b.Loop() {
		w.expand(terminology.ExpandRequest{URL: terminology.ICD10 + "?fhir_vs", Filter: "gxy", Count: 20})
	}
}
