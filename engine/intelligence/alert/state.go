package alert

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// format is the version of the state as JSON.
const format = 1

type state struct {
	Format int         `json:"format"`
	Last   time.Time   `json:"last"`
	Alerts []*item     `json:"alerts"`
	Groups []*group    `json:"groups"`
	Opened []time.Time `json:"opened,omitempty"`
	Storm  string      `json:"storm,omitempty"`
}

// MarshalJSON writes what a Grouper knows; its options and the topology are not
// among it.
func (g *Grouper) MarshalJSON() ([]byte, error) {
	s := state{Format: format, Last: g.last, Opened: g.opened, Storm: g.storm}
	for _, a := range g.alerts {
		s.Alerts = append(s.Alerts, a)
	}
	for _, gr := range g.groups {
		s.Groups = append(s.Groups, gr)
	}
	slices.SortFunc(s.Alerts, func(a, b *item) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Groups, func(a, b *group) int { return strings.Compare(a.ID, b.ID) })
	return json.Marshal(s)
}

// UnmarshalJSON makes a Grouper go on where the one that was written stood; its
// options stay. Invalid where the state is none, or of a newer program; the
// Grouper is then as it was.
func (g *Grouper) UnmarshalJSON(data []byte) error {
	bad := errs.E(errs.Invalid, "read state of alerts", "", "告警分组的状态读不懂；将从头开始，仍在的告警会重新提示一次。",
		"The state of the alert groups cannot be read; it begins anew, and what still holds is told once more.")
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return bad.Because(err)
	}
	if s.Format != format {
		return bad
	}
	alerts, groups := map[string]*item{}, map[string]*group{}
	for _, gr := range s.Groups {
		if gr == nil || gr.ID == "" {
			return bad
		}
		groups[gr.ID] = gr
	}
	for _, a := range s.Alerts {
		if a == nil || a.ID == "" || len(a.Rises) == 0 || a.Group != "" && groups[a.Group] == nil {
			return bad
		}
		alerts[a.Thing+"\x00"+a.Sign] = a
	}
	if s.Storm != "" && groups[s.Storm] == nil {
		return bad
	}
	if g.o.Most == 0 {
		g.o = New(Options{}).o
	}
	g.last, g.alerts, g.groups, g.opened, g.storm, g.index = s.Last, alerts, groups, s.Opened, s.Storm, nil
	return nil
}
