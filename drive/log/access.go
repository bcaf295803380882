package log

import (
	"context"
	"regexp"
	"strings"
	"sync"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
)

// Access counts what the access log of a web server or gateway tells, in the common
// or combined log format that nginx and Apache write: by the first part of the path,
// how many requests were answered with success and how many with “not found”
// (http_path_found_total, http_path_missing_total), since it was first asked, and what
// share was not found since it was last asked (http_path_missing_ratio), where that
// were enough to say. A gateway that sends requests to the wrong service is well
// itself, and so are all services behind it; its access log alone shows it. What is no
// request is passed over.
type Access struct {
	Path  string
	Clock clock.Clock

	mu    sync.Mutex
	mark  Mark
	paths map[string]*answers
}

// answers are counts of one path.
type answers struct{ found, missing, foundBefore, missingBefore float64 }

// settled is how many requests of a path must have been answered with success before
// it can go missing: what is asked for once and never was there is a scanner's.
const settled = 20

// enough is how many requests make a share.
const enough = 5

// maxPaths bounds how many paths are told apart; the rest are “other”. An application
// is one path; scanners ask for thousands that are not there.
const maxPaths = 50

// maxPath is the longest path that is told apart.
const maxPath = 64

// request finds the path and the status in `… "GET /lis/orders?id=1 HTTP/1.1" 404 …`.
var request = regexp.MustCompile(`"[A-Z]{3,10} (/[^ "?]*)[^"]*" ([1-5][0-9]{2})(?: |$)`)

// Name names the source.
func (*Access) Name() string { return "access_log" }

// Sample reads what was written since it was last asked; at first nothing. Errors as
// of Follower.Run; a log that is not there yet is no error.
func (a *Access) Sample(ctx context.Context) ([]series.Sample, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &Follower{
		Path: a.Path, Clock: a.Clock, From: a.mark,
		Begin: func(m Mark) { a.mark = m },
		Line: func(l Line) {
			a.take(l.Text)
			a.mark = l.Next
		},
	}
	r := &reading{f: f, mark: f.From, first: true}
	defer r.close()
	if err := r.round(ctx); err != nil {
		return nil, f.failed(err)
	}
	at := a.Clock.Now()
	out := []series.Sample{{Name: "http_paths", At: at, Value: float64(len(a.paths))}}
	for path, n := range a.paths {
		labels := map[string]string{"path": path}
		out = append(out,
			series.Sample{Name: "http_path_found_total", Labels: labels, At: at, Value: n.found},
			series.Sample{Name: "http_path_missing_total", Labels: labels, At: at, Value: n.missing})
		missing := n.missing - n.missingBefore
		if all := missing + n.found - n.foundBefore; all >= enough {
			out = append(out, series.Sample{Name: "http_path_missing_ratio", Labels: labels, At: at, Value: missing / all})
		}
		n.foundBefore, n.missingBefore = n.found, n.missing
	}
	return out, nil
}

func (a *Access) take(line string) {
	m := request.FindStringSubmatch(line)
	if m == nil || m[2] != "404" && m[2][0] != '2' && m[2][0] != '3' {
		return
	}
	first, _, _ := strings.Cut(m[1][1:], "/")
	path := "/" + first
	n := a.paths[path]
	if n == nil {
		if m[2] == "404" {
			return
		}
		if len(a.paths) >= maxPaths || len(path) > maxPath {
			path = "other"
		}
		if n = a.paths[path]; n == nil {
			if a.paths == nil {
				a.paths = map[string]*answers{}
			}
			n = &answers{}
			a.paths[path] = n
		}
	}
	switch {
	case m[2] != "404":
		n.found++
	case n.found >= settled:
		n.missing++
	}
}
