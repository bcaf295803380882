package clinical

import (
	"time"

	"zhiwei/kernel/app"
	"zhiwei/kernel/kind"
)

// Module brings the clinical kinds into a house.
type Module struct {
	// Zone is that of times without one; nil: the machine's.
	Zone *time.Location
}

var _ app.Module = Module{}

// Register implements app.Module.
func (m Module) Register(r *app.Registrar) error {
	zone := m.Zone
	if zone == nil {
		zone = time.Local
	}
	f := NewFormat(zone)
	r.Format(FormatName, f)
	r.Loop(parameterLoop(f))
	for _, k := range Kinds() {
		r.Kind(k)
	}
	r.Kind(Treating())
	r.Kind(ImportFile())
	r.Kind(ParameterIndex())
	r.Kind(BreakGlass())
	r.Relation(TreatingRelation())
	r.Privacy(Privacy())
	r.Menu(app.Section{Name: Menu, Title: kind.T("临床", "Clinical"), Icon: "FirstAidKit", Order: 200})
	return nil
}
