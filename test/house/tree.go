package house

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// built lists the folders that hold what is made or fetched, by their path or
// by their name. .gitignore has the same.
var built = []string{".git", "node_modules", "bin", "data", "web/dist", "bench/out", "testdata"}

// files calls f for every file of the tree that somebody wrote.
func files(tree fs.FS, f func(file string, text []byte) error) error {
	return fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			top := !strings.Contains(file, "/")
			name := path.Base(file)
			if slices.Contains(built, file) || name == "node_modules" || name == "testdata" || (!top && name == "dist") {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		return f(file, text)
	})
}

func goFiles(tree fs.FS, f func(file string, text []byte) error) error {
	return files(tree, func(file string, text []byte) error {
		if path.Ext(file) != ".go" {
			return nil
		}
		return f(file, text)
	})
}
