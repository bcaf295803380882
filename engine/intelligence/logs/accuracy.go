package logs

// Accuracy is how well a grouping of messages agrees with the true one.
type Accuracy struct {
	Messages  int
	Grouping  float64 // GA: share of the messages whose group is exactly the true one (Zhu et al., ICSE-SEIP 2019)
	Templates float64 // FGA: F1 of the groups that are exactly a true one (Jiang et al., ISSTA 2024)
	Got, Want int     // groups
}

// Compare judges groups: got and want name the group of each message. It panics
// where their lengths differ.
func Compare[G, W comparable](got []G, want []W) Accuracy {
	if len(got) != len(want) {
		panic("logs: as many groups are got as wanted")
	}
	type pair struct {
		g G
		w W
	}
	gs, ws, both := map[G]int{}, map[W]int{}, map[pair]int{}
	for i := range got {
		gs[got[i]]++
		ws[want[i]]++
		both[pair{got[i], want[i]}]++
	}
	right, exact := 0, 0
	for p, n := range both {
		if gs[p.g] == n && ws[p.w] == n {
			right += n
			exact++
		}
	}
	a := Accuracy{Messages: len(got), Got: len(gs), Want: len(ws)}
	if len(got) > 0 {
		a.Grouping = float64(right) / float64(len(got))
		a.Templates = 2 * float64(exact) / float64(len(gs)+len(ws))
	}
	return a
}
