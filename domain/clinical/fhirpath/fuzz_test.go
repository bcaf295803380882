package fhirpath_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
)

var fuzzSeeds = []string{
	"Patient.name.where(use = 'official').given.first()",
	"hasValue() or (children().count() > id.count())",
	"@2026-11-22T10:00:00.5+08:00 + 1.5 'h' - 3 days",
	"1.5 'mg/dL' * 2 'L' = 3 '10*3.g{x}/(d.[lb_av]2)'",
	"descendants().as(uri) | %resource.repeat(contained | extension).url",
	"name.aggregate(iif($total.empty(), $this, $total), {}).trace('x', $index)",
	"'a\\u77e5'.replaceMatches('(.)', '$1').encode('base64').decode('base64').escape('html')",
	"`Patient`.name[0].given[$index] is System.String or true xor {} implies 1 in (1|2)",
	"(1 | 2.50).sum().lowBoundary(3).power(2).log(10).round(2).toString().toQuantity()",
	"defineVariable('x', name).select(%x.sort(-family, given desc)).tail().skip(1).intersect(name)",
	"// c\n/* d */ %`vs-a` & %ext-b",
}

// Whatever the text, Compile and Check end with an answer or an *Error that has
// both sentences.
func FuzzCompile(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		e, err := fhirpath.Compile(src)
		if err == nil {
			if e.String() != src {
				t.Fatalf("String gives %q", e.String())
			}
			err = e.Check(clinical.FHIRPathModel(), "Patient")
		}
		var fe *fhirpath.Error
		if err != nil && (!errors.As(err, &fe) || fe.ZH == "" || fe.EN == "") {
			t.Fatalf("%q: %v", src, err)
		}
	})
}

// Whatever is evaluated on whatever document, it ends within its steps and
// leaves the document as it was.
func FuzzEval(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s, patient)
	}
	f.Add("name.given", `{"resourceType":"Patient","name":{"given":[1,{"a":null}],"_given":3},"birthDate":[[]],"_birthDate":[null]}`)
	f.Add("descendants().id", `{"resourceType":"Patient","":"","_":{},"extension":[{"":""},{"_":[null]}]}`)
	f.Fuzz(func(t *testing.T, src, raw string) {
		e, err := fhirpath.Compile(src)
		if err != nil {
			return
		}
		var doc map[string]any
		dec := json.NewDecoder(strings.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(&doc) != nil {
			return
		}
		before, _ := json.Marshal(doc)
		root := fhirpath.Resource(clinical.FHIRPathModel(), doc)
		env := &fhirpath.Env{Model: clinical.FHIRPathModel(), Now: now, Resource: root, MaxSteps: 20_000, Paths: true}
		got, err := e.Eval(env, fhirpath.Collection{root})
		if err != nil {
			var fe *fhirpath.Error
			if !errors.As(err, &fe) || fe.ZH == "" {
				t.Fatalf("%q: %v", src, err)
			}
		}
		for _, v := range got {
			_, _, _ = v.String(), v.Path(), v.Raw()
		}
		if _, err := e.Test(env, root); err != nil {
			return
		}
		after, _ := json.Marshal(doc)
		if string(before) != string(after) {
			t.Fatalf("%q changed the document", src)
		}
	})
}

// A narrative that passes is well-formed XML, as the standard library reads it.
func FuzzNarrative(f *testing.F) {
	for _, s := range []string{
		`<div xmlns="http://www.w3.org/1999/xhtml"><p class='a'>x &lt; y &#x4e00; &eacute;<br/></p><!-- c --></div>`,
		`<div><![CDATA[<x>]]><a href="http://x">y</a></div>`,
		`<div><img src="a" alt="b"/></div>`,
	} {
		f.Add(s)
	}
	model := clinical.FHIRPathModel()
	check := fhirpath.MustCompile("htmlChecks()")
	f.Fuzz(func(t *testing.T, div string) {
		ok, err := check.Test(&fhirpath.Env{Model: model}, fhirpath.Node(model, "xhtml", div, ""))
		if err != nil {
			t.Fatal(err)
		}
		if !ok || !utf8.ValidString(div) {
			return
		}
		d := xml.NewDecoder(strings.NewReader(div))
		d.Entity = xml.HTMLEntity
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%q passes, but %v", div, err)
			}
		}
	})
}
