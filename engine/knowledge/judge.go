package knowledge

import (
	"gopkg.in/yaml.v3"

	"zhiwei/engine"
)

// Finds counts the cases whose failure mode the base names first by what was seen
// in them: what a pack that comes from elsewhere is judged by before it is taken.
func (b *Base) Finds(cases []Case) (right int) {
	for _, c := range cases {
		id := c.Thing
		if id == "" {
			id = "it"
		}
		topo := engine.NewTopology([]engine.Thing{{ID: id, Name: id, Class: engine.Class(c.Class)}})
		var symptoms []engine.Symptom
		for _, s := range c.Seen {
			symptoms = append(symptoms, engine.Symptom{Thing: id, Source: engine.FromState, Name: engine.AnswerName, Text: s})
		}
		for _, s := range c.Missing {
			symptoms = append(symptoms, engine.Symptom{Thing: id, Source: engine.FromState, Name: engine.AnswerName, Text: s, Absent: true})
		}
		for _, l := range c.Lines {
			symptoms = append(symptoms, engine.Symptom{Thing: id, Source: engine.FromLog, Text: l})
		}
		if v := b.Infer(topo, symptoms); len(v.Hypotheses) > 0 && v.Hypotheses[0].Mode == c.Mode {
			right++
		}
	}
	return right
}

// Digest tells packs of different content apart, whatever their names and
// versions: eight hexadecimal digits.
func (p Pack) Digest() string {
	p.Name, p.Version = "", ""
	raw, err := yaml.Marshal(p)
	if err != nil { // it cannot be written, and so not exported either
		return ""
	}
	return digest(string(raw))
}
