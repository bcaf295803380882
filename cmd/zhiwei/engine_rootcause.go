package main

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"os"

	"zhiwei/engine/intelligence/rootcause"
	"zhiwei/kernel/errs"
)

// engineRootcause ranks the causes of an incident from two tables of metrics and
// a graph of calls. A table that cannot be used is a mistake in the command
// line: exit code 2. Nothing wrong is an answer: exit code 0.
func engineRootcause(_ context.Context, e env, args []string) error {
	fs := flags(e, "engine rootcause", "zhiwei engine rootcause --normal a.csv --anomalous b.csv --graph edges.csv")
	normal := fs.String("normal", "", "`file` of metrics while all was well: time,service_metric… 正常时的指标")
	anomalous := fs.String("anomalous", "", "`file` of the same metrics around the incident 异常时的指标")
	graph := fs.String("graph", "", "`file` of calls: from,to = caller,callee 调用关系")
	at := fs.Float64("at", 0, "Unix `second` of the detection, which may be late 发现时刻")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	if *normal == "" || *anomalous == "" {
		return usage{"请给出 --normal 与 --anomalous 两个表。 Give two tables, --normal and --anomalous."}
	}
	if math.IsNaN(*at) || math.IsInf(*at, 0) || *at < 0 {
		return usage{"--at 应为 Unix 秒，如 1681855803。 --at must be a Unix second, as 1681855803."}
	}
	res, err := rootcauseOf(*normal, *anomalous, *graph, *at)
	if errs.Is(err, errs.Invalid) {
		return usage{errs.Sentence(err, "zh") + "\n" + errs.Sentence(err, "en")}
	}
	if err != nil {
		return err
	}
	out := json.NewEncoder(e.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(res)
}

func rootcauseOf(normal, anomalous, graph string, at float64) (res rootcause.Result, err error) {
	in := rootcause.Input{At: at}
	if in.Normal, err = readTable(normal, rootcause.ReadFrame); err != nil {
		return res, err
	}
	if in.Anomalous, err = readTable(anomalous, rootcause.ReadFrame); err != nil {
		return res, err
	}
	if graph != "" {
		if in.Calls, err = readTable(graph, rootcause.ReadEdges); err != nil {
			return res, err
		}
	}
	return rootcause.Analyze(in)
}

// readTable opens and reads one table. One that is not there is Invalid, as one
// that is malformed.
func readTable[T any](path string, read func(io.Reader, string) (T, error)) (table T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return table, errs.E(errs.Invalid, "rootcause", path, "打不开表 "+path+"；请核对路径与权限。", "The table "+path+" cannot be opened; check its path and permissions.").Because(err)
	}
	defer f.Close()
	return read(f, path)
}
