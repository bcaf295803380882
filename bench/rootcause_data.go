package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zhiwei/engine/intelligence/rootcause"
)

// rcaCase is one incident, or a quiet time, with what is known of it.
type rcaCase struct {
	name string
	in   rootcause.Input
	kind string // what was injected or felt: cpu, mem, latency, availability
	root string // service at fault; empty: nothing is wrong
}

// sockShop reads the cases of data/rca-sockshop: folders SERVICE-FAULT/N. late
// moves so many seconds of the fault into the normal window, as a detection that
// comes so late does.
func sockShop(dir string, late float64) ([]rcaCase, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*", "anomalous.csv"))
	if err != nil {
		return nil, err
	}
	var cases []rcaCase
	for _, p := range paths {
		normal, err := readRCAFrame(filepath.Join(filepath.Dir(p), "normal.csv"))
		if err != nil {
			return nil, err
		}
		anomalous, err := readRCAFrame(p)
		if err != nil {
			return nil, err
		}
		moveRows(normal, anomalous, late)
		name, _ := filepath.Rel(dir, filepath.Dir(p))
		root, fault, _ := strings.Cut(filepath.Dir(name), "-")
		cases = append(cases, rcaCase{name: name, in: rootcause.Input{Normal: normal, Anomalous: anomalous}, kind: fault, root: root})
	}
	return cases, nil
}

// moveRows moves the first seconds of the anomalous table to the end of the
// normal one.
func moveRows(normal, anomalous *rootcause.Frame, seconds float64) {
	n := 0
	for n < len(anomalous.Time) && anomalous.Time[n] < anomalous.Time[0]+seconds {
		n++
	}
	normal.Time = append(normal.Time, anomalous.Time[:n]...)
	anomalous.Time = anomalous.Time[n:]
	for i := range anomalous.Columns {
		for j := range normal.Columns {
			a, b := &normal.Columns[j], &anomalous.Columns[i]
			if a.Service == b.Service && a.Metric == b.Metric {
				a.Values = append(a.Values, b.Values[:n]...)
			}
		}
		anomalous.Columns[i].Values = anomalous.Columns[i].Values[n:]
	}
}

func readRCAFrame(path string) (*rootcause.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return rootcause.ReadFrame(f, path)
}

// petShop reads the issues of one scenario of data/rca-petshop, and its quiet
// cases as the set's own evaluation makes them: the time without issues cut in
// two at half, and at each tenth thereafter.
func petShop(dir string) (issues, quiet []rcaCase, err error) {
	calls, err := petShopCalls(filepath.Join(dir, "graph.csv"))
	if err != nil {
		return nil, nil, err
	}
	table, err := petShopTable(filepath.Join(dir, "noissue", "metrics.csv"))
	if err != nil {
		return nil, nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "issue_*", "metrics.csv"))
	if err != nil {
		return nil, nil, err
	}
	for _, p := range paths {
		var target struct {
			Target struct {
				Metric    string
				Timestamp float64
			}
			Cause struct{ Node string } `json:"root_cause"`
		}
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(p), "target.json"))
		if err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(raw, &target); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p, err)
		}
		issue, err := petShopTable(p)
		if err != nil {
			return nil, nil, err
		}
		c := rcaCase{kind: target.Target.Metric, root: target.Cause.Node}
		c.name, _ = filepath.Rel(dir, filepath.Dir(p))
		if c.in, err = rcaInput(table, issue, calls); err != nil {
			return nil, nil, err
		}
		c.in.At = target.Target.Timestamp
		issues = append(issues, c)
	}
	rows := len(table) - 1
	for cut := rows / 2; cut < rows-3; cut += rows / 10 {
		c := rcaCase{name: fmt.Sprintf("noissue from row %d", cut)}
		if c.in, err = rcaInput(table[:1+cut], append(table[:1:1], table[1+cut:]...), calls); err != nil {
			return nil, nil, err
		}
		quiet = append(quiet, c)
	}
	return issues, quiet, nil
}

func rcaInput(normal, anomalous [][]string, calls []rootcause.Edge) (in rootcause.Input, err error) {
	in.Calls = calls
	if in.Normal, err = rcaFrame(normal); err == nil {
		in.Anomalous, err = rcaFrame(anomalous)
	}
	return in, err
}

func rcaFrame(table [][]string) (*rootcause.Frame, error) {
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(table); err != nil {
		return nil, err
	}
	return rootcause.ReadFrame(&b, "petshop")
}

// petShopTable reads a metrics.csv, whose first three lines are service, metric
// and statistic, as the one header service|metric_statistic.
func petShopTable(path string) ([][]string, error) {
	table, err := readRCATable(path)
	if err != nil || len(table) < 4 {
		return nil, cmp.Or(err, fmt.Errorf("%s is too short", path))
	}
	header := []string{"time"}
	for i, service := range table[0][1:] {
		header = append(header, service+"|"+table[1][i+1]+"_"+table[2][i+1])
	}
	rows := slices.DeleteFunc(table[3:], func(r []string) bool { return r[0] == "unix_timestamp" })
	return append([][]string{header}, rows...), nil
}

func petShopCalls(path string) ([]rootcause.Edge, error) {
	table, err := readRCATable(path)
	if err != nil {
		return nil, err
	}
	var calls []rootcause.Edge
	for _, row := range table[1:] {
		for i, cell := range row[1:] {
			if cell == "1.0" {
				calls = append(calls, rootcause.Edge{From: row[0], To: table[0][i+1]})
			}
		}
	}
	return calls, nil
}

func readRCATable(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return csv.NewReader(f).ReadAll()
}
