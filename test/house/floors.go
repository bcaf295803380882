// Package house keeps the house in order: who may import whom (the floors of
// ARCHITECTURE.md), that every application is listed, tested and described, and
// the habits that CONTRIBUTING.md asks for. It reads source text only; it does
// not build or run what it checks.
package house

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Finding is one thing out of order.
type Finding struct {
	File string // slash-separated, from the root of the tree
	Why  string // what is wrong and what the rule is
}

// String gives the finding as compilers print theirs.
func (f Finding) String() string { return f.File + ": " + f.Why }

// module is the path of our Go module.
const module = "zhiwei"

// room is a folder that is one unit for the rules: a floor with one room
// (kernel), or one folder of a floor with many (apps/library-desk).
type room struct{ floor, name string }

func (r room) String() string { return path.Join(r.floor, r.name) }

// single lists the floors that are one room as a whole.
var single = []string{"kernel", "cmd", "web", "test", "bench"}

// many lists the floors where each folder is a room of its own. Their own root
// package, where there is one, is the room with the empty name.
var many = []string{"store", "blob", "series", "drive", "domain", "engine", "door", "apps"}

// roomOf gives the room of a folder of ours ("apps/library-desk/ui"). ok is
// false where the folder is on no floor.
func roomOf(folder string) (r room, ok bool) {
	floor, rest, _ := strings.Cut(folder, "/")
	if slices.Contains(single, floor) {
		return room{floor: floor}, true
	}
	if !slices.Contains(many, floor) {
		return room{}, false
	}
	name, _, _ := strings.Cut(rest, "/")
	return room{floor, name}, true
}

// may tells whether a room may import another one: the table of floors in
// ARCHITECTURE.md, line by line.
func may(from, to room) bool {
	if from == to {
		return true
	}
	switch from.floor {
	case "cmd":
		return to.floor != "test" && to.floor != "bench"
	case "test", "bench":
		return true
	}
	if to.floor == "kernel" {
		return from.floor != "web"
	}
	switch from.floor {
	case "store":
		// SQLite and PostgreSQL are two dialects of one body. The fault-injecting file
		// system is for tests and knows nobody.
		return to == room{"store", "relational"} && (from.name == "sqlite" || from.name == "postgres")
	case "domain":
		return to.floor == "domain" // circles between rooms are refused apart
	case "engine":
		return to.floor == "drive" || to == room{floor: "engine"}
	case "door":
		return to.floor == "domain" || to == room{"door", "gate"}
	case "apps":
		if from.name == "all" {
			return to.floor == "apps"
		}
		return to.floor == "domain" || to.floor == "engine"
	}
	return false
}

// pure lists the libraries that the kernel may use: small, without input or
// output of their own.
var pure = []string{
	"github.com/google/cel-go",       // guards
	"github.com/cockroachdb/apd/v3",  // decimals
	"github.com/mozillazg/go-pinyin", // names found by pinyin
	"golang.org/x/text",              // Unicode normal forms
	"github.com/google/uuid",         // ids of records
}

// outward lists the packages of the standard library that reach out of the
// process. The kernel has ports for what they do.
var outward = []string{"net", "net/http", "net/rpc", "net/smtp", "net/textproto", "database/sql", "os/exec", "os/signal", "plugin", "testing"}

// drivers tie a foreign system to the rooms that hide it: a database is what we
// keep records in, or what we look after.
var drivers = []struct {
	module string
	rooms  []string // rooms, or floors
}{
	{"modernc.org", []string{"store"}},
	{"github.com/jackc", []string{"store", "drive"}},
	{"github.com/prometheus/prometheus", []string{"series"}},
	{"github.com/go-sql-driver", []string{"drive"}},
	{"github.com/shirou/gopsutil", []string{"drive"}},
	{"database/sql", []string{"store", "drive"}},
}

// Floors reads the imports of every Go file that is not a test and finds those
// that climb a floor, tie two rooms that must not know each other, or bring a
// foreign library where it does not belong. An error means that a file could
// not be read.
func Floors(tree fs.FS) ([]Finding, error) {
	var found []Finding
	uses := map[room][]room{} // between rooms of domain
	err := goFiles(tree, func(file string, text []byte) error {
		if strings.HasSuffix(file, "_test.go") {
			return nil
		}
		folder := path.Dir(file)
		from, ok := roomOf(folder)
		if !ok {
			found = append(found, Finding{file, "stands on no floor; the folders are those of ARCHITECTURE.md"})
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if why := wrong(from, imported); why != "" {
				found = append(found, Finding{file, why})
			}
			if to, ok := ours(imported); ok && from.floor == "domain" && to.floor == "domain" && from != to {
				uses[from] = append(uses[from], to)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return append(found, circles(uses)...), nil
}

// ours gives the room of an import path of ours.
func ours(imported string) (room, bool) {
	folder, ok := strings.CutPrefix(imported, module+"/")
	if !ok {
		return room{}, false
	}
	return roomOf(folder)
}

// wrong says why from must not import the path; "" where it may.
func wrong(from room, imported string) string {
	if imported == module || strings.HasPrefix(imported, module+"/") {
		to, ok := ours(imported)
		switch {
		case !ok:
			return fmt.Sprintf("imports %s, which is on no floor", imported)
		case !may(from, to):
			return fmt.Sprintf("%s must not import %s (%s)", from, to, imported)
		}
		return ""
	}
	for _, d := range drivers {
		tests := from.floor == "test" || from.floor == "bench"
		if within(imported, d.module) && !slices.Contains(d.rooms, from.floor) && !slices.Contains(d.rooms, from.String()) && !tests {
			return fmt.Sprintf("%s must not import %s; only %s speaks to it", from, imported, strings.Join(d.rooms, " or "))
		}
	}
	first, _, _ := strings.Cut(imported, "/")
	standard := !strings.Contains(first, ".")
	switch from.floor {
	case "kernel":
		if standard && slices.Contains(outward, imported) {
			return fmt.Sprintf("the kernel must not import %s: it reaches out of the process", imported)
		}
		if !standard && !slices.ContainsFunc(pure, func(p string) bool { return within(imported, p) }) {
			return fmt.Sprintf("the kernel must not import %s: the small pure libraries it may use are %s", imported, strings.Join(pure, ", "))
		}
	case "web":
		if !standard {
			return fmt.Sprintf("web serves embedded files with the standard library alone, not %s", imported)
		}
	}
	return ""
}

// within tells whether an import path is the module or below it.
func within(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

// circles finds rooms of domain that use each other in a circle. Go refuses
// circles between packages; rooms of several packages could still make one.
func circles(uses map[room][]room) []Finding {
	var found []Finding
	const (
		open = iota + 1
		done
	)
	state := map[room]int{}
	var visit func(r room, way []string)
	visit = func(r room, way []string) {
		way = append(way, r.String())
		if state[r] == open {
			found = append(found, Finding{r.String(), "is used in a circle: " + strings.Join(way, " → ")})
			return
		}
		if state[r] == done {
			return
		}
		state[r] = open
		for _, to := range uses[r] {
			visit(to, way)
		}
		state[r] = done
	}
	rooms := make([]room, 0, len(uses))
	for r := range uses {
		rooms = append(rooms, r)
	}
	slices.SortFunc(rooms, func(a, b room) int { return strings.Compare(a.String(), b.String()) })
	for _, r := range rooms {
		visit(r, nil)
	}
	return found
}
