package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zhiwei/domain/terminology"
	"zhiwei/domain/terminology/codefile"
	"zhiwei/door/fhir/importer"
	"zhiwei/kernel/identity"
)

// maxStrange is how many parents that nothing defines are named.
const maxStrange = 20

// importCodes loads a code system: diagnoses, drugs, items of the hospital's
// own, as a table or as a CodeSystem.
func importCodes(ctx context.Context, e env, args []string) error {
	fs := flags(e, "import codes", "zhiwei import codes --data ./data --system http://hospital.example/drugs drugs.csv  ·  zhiwei import codes --server http://host:8080 --token T CodeSystem-loinc.json.gz")
	data := fs.String("data", "", "数据目录 data folder")
	server := fs.String("server", "", "服务器地址 URL of a server")
	token := fs.String("token", "", "服务令牌 service token (or $ZHIWEI_TOKEN)")
	o := codefile.Options{Columns: map[string]string{}}
	fs.StringVar(&o.System, "system", "", "代码系统的 URI，CodeSystem 文件可省略 URI of the code system; a CodeSystem says its own")
	fs.StringVar(&o.Version, "version", "", "版本；给出时，新版本中没有的代码会停用 version; where given, codes it lacks become inactive")
	fs.StringVar(&o.Title, "name", "", "名称 name for people")
	fs.StringVar(&o.Language, "language", "", "名称所用语言，如 zh language of the displays, such as zh")
	columns := map[string]*string{}
	for _, c := range []struct{ name, help string }{
		{codefile.ColumnCode, "代码列的表头 header of the column of codes"},
		{codefile.ColumnDisplay, "名称列 of names"},
		{codefile.ColumnParent, "上级代码列，多个用 | 分隔 of parents, several joined by |"},
		{codefile.ColumnDefinition, "定义列 of definitions"},
		{codefile.ColumnDesignation, "别名列，多个用 | 分隔 of other names, several joined by |"},
		{codefile.ColumnInactive, "停用列 of whether it is out of use"},
	} {
		columns[c.name] = fs.String(c.name, "", c.help)
	}
	if err := parse(fs, args); err != nil {
		return err
	}
	for name, header := range columns {
		o.Columns[name] = *header
	}
	if o.Paths = fs.Args(); len(o.Paths) == 0 {
		return usage{"请写明要导入的文件。 Say which files to import."}
	}
	if (*data == "") == (*server == "") {
		return usage{"请用 --data 或 --server 之一指明导入到哪里。 Say where to import to with one of --data and --server."}
	}
	if *server != "" {
		if *token == "" {
			*token = e.getenv("ZHIWEI_TOKEN")
		}
		o.Sink = importer.Remote{Base: strings.TrimSuffix(*server, "/"), Token: *token}.Codes
		return runCodes(ctx, e, o)
	}
	return withHouse(ctx, e, *data, func(c client) error {
		o.Sink = importer.Remote{Client: c.http, Base: c.base}.Codes
		if c.house != nil {
			service := terminology.NewService(c.house.kernel)
			o.Sink = func(ctx context.Context, u terminology.Unit) (terminology.Report, error) {
				return service.Import(ctx, identity.Root(), u)
			}
		}
		return runCodes(ctx, e, o)
	})
}

// runCodes runs the import and tells how it goes: progress on standard error,
// the number of concepts on standard output.
func runCodes(ctx context.Context, e env, o codefile.Options) error {
	var last time.Time
	o.Report = func(p codefile.Progress) {
		if p.Done < p.All && time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(e.stderr, "%d/%d 代码 codes · %.0f/s · 剩余 left %s\n", p.Done, p.All, p.PerSecond, p.Left)
	}
	t, err := codefile.Run(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s %d\n", t.System, t.Total)
	fmt.Fprintf(e.stderr, "写入 written %d · 未变 same %d · 停用 retired %d · 重复行 rows given twice %d · %s\n", t.Written, t.Same, t.Retired, t.Twice, t.Took.Round(time.Millisecond))
	seen := map[string]bool{}
	for _, code := range t.Strange {
		if !seen[code] && len(seen) < maxStrange {
			fmt.Fprintf(e.stderr, "上级代码 %s 不存在 parent %s is not there\n", code, code)
		}
		seen[code] = true
	}
	if len(seen) > maxStrange {
		fmt.Fprintf(e.stderr, "… %d\n", len(seen))
	}
	return nil
}
