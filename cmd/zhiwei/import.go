package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"zhiwei/door/fhir"
	"zhiwei/door/fhir/importer"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

func importFHIR(ctx context.Context, e env, args []string) error {
	fs := flags(e, "import fhir", "zhiwei import fhir --data ./data bundles/  ·  zhiwei import fhir --server http://host:8080 --token T patients.ndjson.gz")
	data := fs.String("data", "", "数据目录 data folder")
	server := fs.String("server", "", "服务器地址 URL of a server")
	token := fs.String("token", "", "服务令牌 service token (or $ZHIWEI_TOKEN)")
	if err := parse(fs, args); err != nil {
		return err
	}
	paths := fs.Args()
	if len(paths) == 0 {
		return usage{"请写明要导入的文件或目录。 Say which files or folders to import."}
	}
	if (*data == "") == (*server == "") {
		return usage{"请用 --data 或 --server 之一指明导入到哪里。 Say where to import to with one of --data and --server."}
	}
	if *server != "" {
		if *token == "" {
			*token = e.getenv("ZHIWEI_TOKEN")
		}
		return importInto(ctx, e, paths, importer.Remote{Base: *server, Token: *token})
	}
	return withHouse(ctx, e, *data, func(c client) error {
		if c.house != nil {
			return importInto(ctx, e, paths, importer.Local{Door: fhir.New(c.house.kernel, fhir.Options{}), Principal: identity.Root()})
		}
		return importInto(ctx, e, paths, importer.Remote{Client: c.http, Base: c.base})
	})
}

// importInto runs the import and tells how it goes: progress on standard error,
// totals by type on standard output.
func importInto(ctx context.Context, e env, paths []string, sink importer.Sink) error {
	live := false // progress in one line that is written over, on a terminal
	if f, ok := e.stderr.(*os.File); ok {
		if st, err := f.Stat(); err == nil {
			live = st.Mode()&os.ModeCharDevice != 0
		}
	}
	var last time.Time
	t, err := importer.Run(ctx, importer.Options{
		Paths: paths, Sink: sink,
		Failed: func(name string, err error) {
			fmt.Fprintf(e.stderr, "\n%s: %s %s\n", name, errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
		},
		Report: func(p importer.Progress) {
			if p.Files < p.AllFiles && time.Since(last) < time.Second {
				return
			}
			last = time.Now()
			end := "\n"
			if live {
				end = "\r"
			}
			fmt.Fprintf(e.stderr, "%d/%d 文件 files · %d 资源 resources · %.0f/s · 剩余 left %s   %s",
				p.Files, p.AllFiles, p.Resources, p.PerSecond, p.Left.Round(time.Second), end)
		},
	})
	if live {
		fmt.Fprintln(e.stderr)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Counts)) {
		fmt.Fprintf(e.stdout, "%s %d\n", name, t.Counts[name])
	}
	fmt.Fprintf(e.stdout, "total %d\n", t.Resources())
	fmt.Fprintf(e.stderr, "文件 files %d，其中已导入过 imported before %d，失败 failed %d · 条件创建命中 conditional matches %d · 拒绝 refused %d · %s\n",
		t.Files, t.Already, t.Failed, t.Matched, t.Refused, t.Took.Round(time.Millisecond))
	for _, w := range t.Why {
		fmt.Fprintln(e.stderr, w)
	}
	if err == nil && (t.Failed > 0 || t.Refused > 0) {
		return quiet(1)
	}
	return err
}
