package house_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"zhiwei/test/house"
)

// checks are all rules that the whole tree must keep.
var checks = map[string]func(fs.FS) ([]house.Finding, error){
	"floors": house.Floors,
	"habits": house.Habits,
	"apps":   house.Apps,
	"pairs":  house.Pairs,
}

// Proves A27 (its floors): the kernel knows no application, applications do not
// know each other, and no import climbs.
func TestTheHouseIsInOrder(t *testing.T) {
	tree := os.DirFS("../..")
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			found, err := check(tree)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				t.Error(f)
			}
		})
	}
}

// Every rule bites: a tree with one violation of each kind, and what is said.
func TestTheChecksBite(t *testing.T) {
	imports := func(paths ...string) string {
		return "// Package x is here.\npackage x\n\nimport (\n\t_ \"" + strings.Join(paths, "\"\n\t_ \"") + "\"\n)\n"
	}
	fine := fstest.MapFS{
		"go.mod": {Data: []byte("require (\n\tmodernc.org/sqlite v1.55.0 // indirect\n\tmodernc.org/libc v1.74.1\n)\n")},

		"kernel/kind/kind.go":      {Data: []byte(imports("strings", "net/url", "github.com/google/cel-go/cel", "zhiwei/kernel/errs"))},
		"store/sqlite/sqlite.go":   {Data: []byte(imports("zhiwei/store/relational", "zhiwei/kernel", "modernc.org/sqlite", "database/sql"))},
		"domain/work/work.go":      {Data: []byte(imports("zhiwei/domain/people"))},
		"engine/engine.go":         {Data: []byte(imports("zhiwei/kernel/kind"))},
		"engine/automation/a.go":   {Data: []byte(imports("zhiwei/engine", "zhiwei/drive/process"))},
		"door/fhir/door.go":        {Data: []byte(imports("zhiwei/door/gate", "zhiwei/domain/clinical", "net/http"))},
		"apps/desk/desk.go":        {Data: []byte(imports("zhiwei/kernel/app", "zhiwei/engine/automation", "zhiwei/domain/people"))},
		"apps/desk/desk_test.go":   {Data: []byte("package x_test\n\nfunc f(t T) { t.Skip(`no scanner`) }\n")},
		"apps/desk/README.md":      {Data: []byte("Lends.\n")},
		"apps/all/all.go":          {Data: []byte(imports("zhiwei/apps/desk"))},
		"cmd/zhiwei/main.go":       {Data: []byte(imports("zhiwei/apps/all", "zhiwei/store/sqlite"))},
		"web/node_modules/x/x.go":  {Data: []byte(imports("zhiwei/apps/desk"))},
		"kernel/testdata/broken.c": {Data: []byte("/work/somewhere")},
	}
	for name, check := range checks {
		found, err := check(fine)
		if err != nil || len(found) > 0 {
			t.Fatalf("%s finds %v, %v in a tree that is in order", name, found, err)
		}
	}

	cases := []struct {
		rule, file, text string
		want             string // part of the one finding
	}{
		{"floors", "kernel/kind/x.go", imports("zhiwei/store/sqlite"), "kernel must not import store/sqlite"},
		{"floors", "kernel/kind/x.go", imports("zhiwei/domain/people"), "kernel must not import domain/people"},
		{"floors", "kernel/kind/x.go", imports("net/http"), "reaches out of the process"},
		{"floors", "kernel/kind/x.go", imports("github.com/spf13/cobra"), "small pure libraries"},
		{"floors", "store/sqlite/x.go", imports("zhiwei/store/postgres"), "store/sqlite must not import store/postgres"},
		{"floors", "store/sqlite/x.go", imports("zhiwei/store/storetest"), "store/sqlite must not import store/storetest"},
		{"floors", "series/local/x.go", imports("zhiwei/store/sqlite"), "series/local must not import store/sqlite"},
		{"floors", "drive/probe/x.go", imports("zhiwei/drive/process"), "drive/probe must not import drive/process"},
		{"floors", "domain/work/x.go", imports("zhiwei/door/gate"), "domain/work must not import door/gate"},
		{"floors", "domain/people/x.go", imports("zhiwei/domain/work"), "circle"},
		{"floors", "engine/x.go", imports("zhiwei/engine/automation"), "engine must not import engine/automation"},
		{"floors", "engine/data/x.go", imports("zhiwei/engine/automation"), "engine/data must not import engine/automation"},
		{"floors", "engine/data/x.go", imports("zhiwei/domain/people"), "engine/data must not import domain/people"},
		{"floors", "door/rest/x.go", imports("zhiwei/door/fhir"), "door/rest must not import door/fhir"},
		{"floors", "door/rest/x.go", imports("zhiwei/apps/desk"), "door/rest must not import apps/desk"},
		{"floors", "apps/tools/x.go", imports("zhiwei/apps/desk"), "apps/tools must not import apps/desk"},
		{"floors", "apps/tools/x.go", imports("zhiwei/door/rest"), "apps/tools must not import door/rest"},
		{"floors", "apps/tools/x.go", imports("zhiwei/drive/process"), "apps/tools must not import drive/process"},
		{"floors", "apps/tools/x.go", imports("zhiwei/store/sqlite"), "apps/tools must not import store/sqlite"},
		{"floors", "apps/tools/x.go", imports("github.com/jackc/pgx/v5"), "only store or drive speaks to it"},
		{"floors", "cmd/zhiwei/x.go", imports("zhiwei/test/house"), "cmd must not import test"},
		{"floors", "web/x.go", imports("zhiwei/kernel"), "web must not import kernel"},
		{"floors", "web/x.go", imports("github.com/google/uuid"), "standard library alone"},
		{"floors", "util/x.go", imports("strings"), "on no floor"},
		{"floors", "kernel/kind/x.go", imports("zhiwei/util"), "on no floor"},

		{"habits", "kernel/kind/second.go", "// Package x again.\npackage x\n", "several files"},
		{"habits", "kernel/bare/bare.go", "package bare\n", "no package comment"},
		{"habits", "kernel/kind/long.go", "package x\n" + strings.Repeat("\n", 900), "901 lines"},
		{"habits", "apps/desk/sleep_test.go", "package x_test\n\nfunc f() { time.Sleep(1) }\n", "sleeps"},
		{"habits", "apps/desk/skip_test.go", "package x_test\n\nfunc f(t T) { t.Skip() }\n", "skips without a reason"},
		{"habits", "apps/desk/skip_test.go", "package x_test\n\nfunc f(t T) { t.SkipNow() }\n", "skips without a reason"},
		{"habits", "docs/x.md", "see /work/main/x\n", "path of somebody's machine"},
		{"habits", "docs/x.md", "see /root/.cache\n", "path of somebody's machine"},
		{"habits", "web/package-lock.json", `"resolved": "https://registry.example.org/vue.tgz"`, "package registry"},
		{"habits", "docs/x.pem", "-----BEGIN RSA PRIVATE KEY-----", "private key"},
		{"habits", "docs/x.md", "<<<<<<< HEAD\n", "half done"},
		{"habits", "kernel/kind/later.go", "package x\n\n// TODO: later\n", "left for later"},

		{"apps", "apps/tools/tools.go", imports("strings"), "not in apps/all"},
		{"apps", "apps/tools/tools_test.go", "package x_test\n", "no README.md"},
		{"apps", "apps/tools/README.md", "Tools.\n", "no test"},

		{"pairs", "go.mod", "require (\n\tmodernc.org/sqlite v1.56.0\n\tmodernc.org/libc v1.74.1\n)\n", "belong together"},
		{"pairs", "go.mod", "require (\n\tmodernc.org/sqlite v1.55.0\n\tmodernc.org/libc v1.75.0\n)\n", "belong together"},
	}
	for _, c := range cases {
		tree := fstest.MapFS{}
		for name, file := range fine {
			tree[name] = file
		}
		tree[c.file] = &fstest.MapFile{Data: []byte(c.text)}
		found, err := checks[c.rule](tree)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		said := false
		for _, f := range found {
			said = said || strings.Contains(f.String(), c.want)
		}
		if !said {
			t.Errorf("%s with %q: found %v, want %q", c.file, c.text[:min(len(c.text), 120)], found, c.want)
		}
	}
}
