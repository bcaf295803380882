package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// longest is how many lines a file of source may have before it holds more
// than one idea.
const longest = 900

// sources are the kinds of files that people write by hand and read.
var sources = []string{".go", ".ts", ".vue", ".css", ".mjs", ".js"}

// foreign finds what must never be in the tree: paths of somebody's machine,
// hosts that only some networks reach, keys, and merges left half done.
var foreign = []struct {
	what string
	find *regexp.Regexp
}{
	{"a path of somebody's machine", regexp.MustCompile(`(^|[^\w.~-])/(work|root|tmp/brief|Users/\w+|home/\w+)/[\w.]`)},
	{"the host of a package registry", regexp.MustCompile(`https?://[\w.-]*(registry|goproxy|artifactory|nexus|npmmirror)[\w.-]*\.\w`)},
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`)},
	{"a service token", regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20}|AKIA[A-Z0-9]{16}|zw_[A-Za-z0-9_-]{43})`)},
	{"a merge left half done", regexp.MustCompile(`(?m)^(<{7}|>{7}) `)},
	{"work left for later; do it or say in the issue that it is not done", regexp.MustCompile(`(//|#|<!--|/\*)\s*(TODO|FIXME|XXX|HACK)\b`)},
}

// Habits finds files that break the habits every reader relies on: one package
// comment per package, no file beyond one idea, tests that listen instead of
// sleeping and say why they skip, nothing that belongs to one machine.
func Habits(tree fs.FS) ([]Finding, error) {
	var found []Finding
	type pkg struct{ folder, name string }
	comments := map[pkg][]string{} // files with the package comment
	fset := token.NewFileSet()
	err := files(tree, func(file string, text []byte) error {
		ext := path.Ext(file)
		if slices.Contains(sources, ext) {
			if n := bytes.Count(text, []byte("\n")); n > longest {
				found = append(found, Finding{file, fmt.Sprintf("has %d lines; a file holds one idea, at most %d lines", n, longest)})
			}
		}
		if !bytes.ContainsRune(text[:min(len(text), 8000)], 0) && path.Dir(file) != "test/house" {
			for _, f := range foreign {
				if at := f.find.FindIndex(text); at != nil {
					line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
					found = append(found, Finding{fmt.Sprintf("%s:%d", file, line), "holds " + f.what})
				}
			}
		}
		if ext != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if strings.HasSuffix(file, "_test.go") {
			found = append(found, testHabits(fset, parsed)...)
			return nil
		}
		p := pkg{path.Dir(file), parsed.Name.Name}
		if parsed.Doc != nil {
			comments[p] = append(comments[p], file)
		} else if comments[p] == nil {
			comments[p] = []string{}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	folders := slices.SortedFunc(maps.Keys(comments), func(a, b pkg) int { return strings.Compare(a.folder, b.folder) })
	for _, p := range folders {
		switch in := comments[p]; len(in) {
		case 1:
		case 0:
			found = append(found, Finding{p.folder, "has no package comment; its first sentence says what the package is for, the second what it refuses to do"})
		default:
			found = append(found, Finding{p.folder, "has its package comment in several files: " + strings.Join(in, ", ")})
		}
	}
	return found, nil
}

// testHabits finds sleeping and silent skips in one test file.
func testHabits(fset *token.FileSet, parsed *ast.File) []Finding {
	var found []Finding
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at := fset.Position(call.Pos())
		where := fmt.Sprintf("%s:%d", at.Filename, at.Line)
		on, _ := sel.X.(*ast.Ident)
		switch {
		case on != nil && on.Name == "time" && sel.Sel.Name == "Sleep":
			found = append(found, Finding{where, "sleeps; a test listens: clock.Manual, a channel, or a condition with a deadline"})
		case sel.Sel.Name == "SkipNow", sel.Sel.Name == "Skip" && len(call.Args) == 0:
			found = append(found, Finding{where, "skips without a reason"})
		}
		return true
	})
	return found
}

// Apps finds applications that are not listed in apps/all, have no README.md or
// no test, and lines of apps/all without a folder.
func Apps(tree fs.FS) ([]Finding, error) {
	listed := map[string]bool{}
	err := goFiles(tree, func(file string, text []byte) error {
		if path.Dir(file) != "apps/all" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			if name, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/apps/"); ok {
				listed[name] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(tree, "apps")
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "all" {
			continue
		}
		folder := "apps/" + e.Name()
		if !listed[e.Name()] {
			found = append(found, Finding{folder, "is not in apps/all"})
		}
		if _, err := fs.Stat(tree, folder+"/README.md"); err != nil {
			found = append(found, Finding{folder, "has no README.md"})
		}
		tests, err := fs.Glob(tree, folder+"/*_test.go")
		if err != nil {
			return nil, err
		}
		if len(tests) == 0 {
			found = append(found, Finding{folder, "has no test"})
		}
	}
	return found, nil
}

// pairs are modules that only work in versions released together. modernc.org/
// sqlite is C translated against one exact modernc.org/libc; another libc
// compiles and then corrupts (its README, "Fragile modernc.org/libc dependency").
var pairs = []struct{ first, firstVersion, second, secondVersion string }{
	{"modernc.org/sqlite", "v1.55.0", "modernc.org/libc", "v1.74.1"},
}

// Pairs finds modules in go.mod that were moved apart.
func Pairs(tree fs.FS) ([]Finding, error) {
	text, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return nil, err
	}
	version := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(f[1], "v") {
			version[f[0]] = f[1]
		}
	}
	var found []Finding
	for _, p := range pairs {
		if version[p.first] != p.firstVersion || version[p.second] != p.secondVersion {
			found = append(found, Finding{"go.mod", fmt.Sprintf("%s %s and %s %s belong together; here are %q and %q: move both, in one commit, with this table",
				p.first, p.firstVersion, p.second, p.secondVersion, version[p.first], version[p.second])})
		}
	}
	return found, nil
}
