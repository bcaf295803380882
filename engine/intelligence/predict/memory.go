package predict

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// MemoryError is one error that the memory controller corrected, or could not.
type MemoryError struct {
	At     time.Time
	Module string // as its controller names it: "CPU_SrcID#0_MC#1_Chan#0_DIMM#1"; empty: not told
	// Where it was; −1 where it is not told.
	Rank, Bank, Row, Column int
	// Count of errors that were told as one; 0 is 1.
	Count         int
	Uncorrectable bool
}

var (
	// edac is how Linux' EDAC tells errors: edac_mc.c writes `EDAC MC0: 1 CE memory
	// read error on CPU_SrcID#0_MC#1_Chan#0_DIMM#1 (channel:0 slot:1 page:0x… …)`, and
	// the drivers add rank, bank, row and column where they know them.
	edac      = regexp.MustCompile(`EDAC MC(\d{1,4}): (\d{1,9}) (CE|UE) .{0,200}? on (.{1,200}?) \((.{0,1000})`)
	edacField = regexp.MustCompile(`\b(rank|row|col|column|bank|bank_addr|bank_address|bank_group):(0x[0-9a-fA-F]{1,8}|\d{1,9})\b`)
)

// ReadEDAC reads a line of the kernel's log about a memory error; ok is false
// where it is none.
func ReadEDAC(at time.Time, line string) (e MemoryError, ok bool) {
	m := edac.FindStringSubmatch(line)
	if m == nil {
		return e, false
	}
	e = MemoryError{At: at, Module: m[4], Rank: -1, Bank: -1, Row: -1, Column: -1, Uncorrectable: m[3] == "UE"}
	e.Count, _ = strconv.Atoi(m[2]) // at most nine digits
	group := 0
	for _, f := range edacField.FindAllStringSubmatch(m[5], -1) {
		n, err := strconv.ParseInt(f[2], 0, 64)
		if err != nil { // a leading nought followed by 8 or 9
			continue
		}
		switch v := int(n); f[1] {
		case "rank":
			e.Rank = v
		case "row":
			e.Row = v
		case "col", "column":
			e.Column = v
		case "bank_group":
			group = v
		default:
			e.Bank = v
		}
	}
	if e.Bank >= 0 {
		e.Bank += group << 8
	}
	return e, true
}

const (
	// memoryHorizon is what the probabilities of memory are of.
	memoryHorizon = 24 * time.Hour
	// dimmYearly is the share of modules that have an uncorrectable error in a year,
	// 0.22 %, and dimmMonth how much likelier one is in a month with corrected
	// errors, 9 to 400 times by platform: Schroeder, Pinheiro, Weber, DRAM Errors in
	// the Wild, SIGMETRICS '09, §3 and §4. The geometric mean of the range is taken.
	dimmYearly = 0.0022
	dimmMonth  = 60
	// often is how many corrected errors within a day make a module suspect: the
	// limit of mcelog (mcelog.conf, dimm ce-error-threshold = 10 / 24h).
	often = 10
	// burst is how many a second the kernel's handler is slowed by: a storm (Linux
	// arch/x86 mce: CMCI_STORM_THRESHOLD 15 a second), here over a minute.
	burst = 15 * 60
)

// Memory foresees that one module will have an error that cannot be corrected,
// from the errors of the last days in order of time. Errors that spread over rows,
// columns and banks come from a broken part shared by them, which one day takes two
// bits of one word: that is what cannot be corrected. ok is false where nothing
// speaks for it.
func Memory(now time.Time, thing, module string, errors []MemoryError) (p engine.Prediction, ok bool) {
	p = engine.Prediction{Thing: thing, Kind: engine.PredictMemory, Part: module, Horizon: memoryHorizon.String(), Severity: engine.Minor}
	var dayCount, hourCount, minuteCount, lost int
	type place struct{ rank, bank, row, column int }
	places := map[place]int{}
	for _, e := range errors {
		ago := now.Sub(e.At)
		n := max(e.Count, 1)
		switch {
		case ago < 0 || ago > 30*day:
			continue
		case e.Uncorrectable:
			lost += n
			continue
		}
		if ago <= day {
			dayCount += n
		}
		if ago <= time.Hour {
			hourCount += n
		}
		if ago <= time.Minute {
			minuteCount += n
		}
		if e.Bank >= 0 || e.Row >= 0 || e.Column >= 0 {
			places[place{e.Rank, e.Bank, e.Row, e.Column}] += n
		}
	}
	if dayCount == 0 && lost == 0 {
		return engine.Prediction{}, false
	}
	hazard := dimmYearly / 365 * dimmMonth
	if dayCount > 0 {
		p.Evidence = append(p.Evidence, text("24 小时内纠正了 %d 次错误", "%d errors corrected within 24 hours", dayCount))
	}
	// Ten times as many weigh three times as much, beyond the limit of mcelog.
	if dayCount > often {
		hazard *= math.Pow(float64(dayCount)/often, 0.5)
	}
	if 2*hourCount > dayCount && hourCount > often {
		hazard *= 3
		p.Evidence = append(p.Evidence, text("其中 %d 次在最近一小时，正在加快", "%d of them in the last hour: it gets faster", hourCount))
	}
	if minuteCount >= burst {
		hazard *= 3
		p.Evidence = append(p.Evidence, text("一分钟内 %d 次：纠错风暴", "%d within a minute: a storm", minuteCount))
	}
	rows, columns, banks := map[[3]int]bool{}, map[[3]int]bool{}, map[[2]int]bool{}
	for pl := range places {
		rows[[3]int{pl.rank, pl.bank, pl.row}], columns[[3]int{pl.rank, pl.bank, pl.column}], banks[[2]int{pl.rank, pl.bank}] = true, true, true
	}
	// Weights of the kinds of damage, by how many parts they touch: a cell; a row or
	// a column; a bank; several banks. The order is that of the studies of faults in
	// the field (Sridharan, Liberty, SC '12, table 3); the figures are ours.
	switch {
	case len(banks) > 1 && len(places) > 3:
		hazard *= 20
		p.Evidence = append(p.Evidence, text("错误遍及 %d 个存储体", "They are spread over %d banks", len(banks)))
	case len(rows) > 1 && len(columns) > 1 && len(places) > 3:
		hazard *= 10
		p.Evidence = append(p.Evidence, text("错误遍及 %d 行、%d 列", "They are spread over %d rows and %d columns", len(rows), len(columns)))
	case len(rows) > 1 && len(places) > 2:
		hazard *= 4
		p.Evidence = append(p.Evidence, text("同一列中 %d 行出错", "%d rows fail in one column", len(rows)))
	case len(columns) > 1 && len(places) > 2:
		hazard *= 4
		p.Evidence = append(p.Evidence, text("同一行中 %d 列出错", "%d columns fail in one row", len(columns)))
	}
	p.Probability = 1 - math.Exp(-hazard)
	if lost > 0 {
		p.Probability = max(p.Probability, 0.3)
		p.Evidence = slices.Insert(p.Evidence, 0, text("30 天内已有 %d 次无法纠正的错误", "%d errors could not be corrected within 30 days", lost))
	}
	if p.Probability < foresee && dayCount <= often {
		return engine.Prediction{}, false
	}
	if p.Probability >= 0.05 || lost > 0 {
		p.Severity = engine.Major
	}
	p.Probability = three(p.Probability)
	// With so many errors a minute there may be a quarter of an hour; it is the least
	// lead that is of use for moving machines away.
	p.Earliest = now.Add(15 * time.Minute).UTC().Truncate(time.Second)
	p.Title = text("内存 %s 24 小时内出现无法纠正错误的概率 %s", "Memory %s has an uncorrectable error within 24 hours with a probability of %s", moduleName(module), share(p.Probability))
	p.Advice = kind.T("把虚拟机迁走，安排停机更换或重新插拔该内存条；不能立刻停机的先下线出错的页。",
		"Move its virtual machines away, and replace or reseat the module at a planned stop; until then take the bad pages offline.")
	p.Metric = memoryMetric
	return p, true
}

func moduleName(module string) string {
	if module == "" {
		return "（未指明）"
	}
	return module
}

const memoryMetric = `increase(node_edac_correctable_errors_total[24h])`

// MemoryLog gathers the errors that the logs of machines tell, by module. What it
// holds is bounded; its methods must not be called at once by several; its state is
// its JSON.
type MemoryLog struct {
	Modules map[string]map[string][]MemoryError `json:"modules"` // by thing and module
}

// The bounds of a MemoryLog: a module that has had as many kinds of errors is
// beyond doubt, and of its oldest nothing more is learnt.
const (
	keptErrors  = 512
	keptModules = 2000
)

// Read takes a line of a machine's kernel log; it tells whether it was one about a
// memory error.
func (l *MemoryLog) Read(thing string, at time.Time, line string) bool {
	e, ok := ReadEDAC(at, line)
	if !ok {
		return false
	}
	if l.Modules == nil {
		l.Modules = map[string]map[string][]MemoryError{}
	}
	of := l.Modules[thing]
	if of == nil {
		if len(l.Modules) >= keptModules {
			return true
		}
		of = map[string][]MemoryError{}
		l.Modules[thing] = of
	}
	list := of[e.Module]
	if len(of) >= 64 && list == nil {
		return true
	}
	// Errors of one place within a minute are one entry.
	for i := len(list) - 1; i >= 0 && at.Sub(list[i].At) < time.Minute; i-- {
		o := list[i]
		if o.Rank == e.Rank && o.Bank == e.Bank && o.Row == e.Row && o.Column == e.Column && o.Uncorrectable == e.Uncorrectable {
			list[i].Count += e.Count
			return true
		}
	}
	if len(list) >= keptErrors {
		list = slices.Delete(list, 0, 1)
	}
	of[e.Module] = append(list, e)
	return true
}

// Look foresees what fails of what was read, by thing and module, and forgets what
// is older than 30 days.
func (l *MemoryLog) Look(now time.Time) []engine.Prediction {
	var out []engine.Prediction
	for _, thing := range slices.Sorted(maps.Keys(l.Modules)) {
		of := l.Modules[thing]
		for _, module := range slices.Sorted(maps.Keys(of)) {
			of[module] = slices.DeleteFunc(of[module], func(e MemoryError) bool { return now.Sub(e.At) > 30*day })
			if len(of[module]) == 0 {
				delete(of, module)
				continue
			}
			if p, ok := Memory(now, thing, module, of[module]); ok {
				p.Metric = "" // the log told it, place by place
				out = append(out, p)
			}
		}
		if len(of) == 0 {
			delete(l.Modules, thing)
		}
	}
	return out
}
