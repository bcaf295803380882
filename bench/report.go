package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table lays the figures out for a terminal.
func table(figures []Figure) string {
	rows := [][]string{{"figure", "store", "goal", "measured", "verdict"}}
	for i := range figures {
		f := &figures[i]
		rows = append(rows, []string{f.Name, f.Store, f.Goal.text(f.Unit), f.got(), f.verdict()})
	}
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, c := range r {
			if i > 0 {
				b.WriteString(" | ")
			}
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// markdown writes the results as a page.
func markdown(m machine, figures []Figure, quick bool) string {
	var b strings.Builder
	b.WriteString("# Results of `make bench`\n\n")
	if quick {
		b.WriteString("**A quick run: these figures mean little.**\n\n")
	}
	b.WriteString("Client, browser, database and program share the cores of one machine. Durable settings everywhere: SQLite in WAL mode with\n" +
		"`synchronous=FULL`, PostgreSQL with `fsync` and `synchronous_commit` on; validation, permissions and audit on, every read audited durably\n" +
		"before its answer. Absolute figures drift by half from day to day on shared machines; compare ratios of one run.\n\n")
	rows := [][2]string{
		{"Processor", fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)},
		{"Memory", m.Memory},
		{"Disk", m.Disk + ", " + m.Sync},
		{"System", "Linux " + m.Kernel + ", " + m.Go},
		{"Date", m.Date},
		{"Commit", m.Commit},
		{"Load at the start", fmt.Sprintf("%.2f", m.Load)},
	}
	b.WriteString("| Machine | |\n| --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |\n", r[0], cell(r[1]))
	}
	area := ""
	for i := range figures {
		f := &figures[i]
		if f.Area != area {
			area = f.Area
			fmt.Fprintf(&b, "\n## %s\n\n| Figure | Store | Goal | Measured | Verdict |\n| --- | --- | --- | --- | --- |\n", area)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(f.Name), f.Store, cell(f.Goal.text(f.Unit)), cell(f.got()), f.verdict())
	}
	b.WriteString("\n## How, and what else was seen\n\n")
	for i := range figures {
		f := &figures[i]
		if f.Command == "" && f.Note == "" && f.Cause == "" {
			continue
		}
		fmt.Fprintf(&b, "- **%s**", f.Name)
		if f.Store != "" {
			fmt.Fprintf(&b, " (%s)", f.Store)
		}
		b.WriteString(":")
		if f.Command != "" {
			fmt.Fprintf(&b, " `%s`.", f.Command)
		}
		if f.Note != "" {
			b.WriteString(" " + f.Note)
		}
		if f.Cause != "" {
			b.WriteString(" *Not reached because:* " + f.Cause)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
