package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine/intelligence/detect"
)

// nabRow is one point of a series of the Numenta Anomaly Benchmark.
type nabRow struct {
	at    time.Time
	value float64
}

// nabFile is one series with its labelled windows.
type nabFile struct {
	name    string
	rows    []nabRow
	windows [][2]int
}

// anomalies scores both sizes of the detector over all series of the benchmark
// that are there, with one setting.
func anomalies(ctx context.Context, b *bench, _ string) error {
	files, err := readNAB(filepath.Join(b.data, "nab"))
	if err != nil {
		return fmt.Errorf("the Numenta Anomaly Benchmark is not in %s: %w", b.data, err)
	}
	for _, size := range []struct {
		name string
		size detect.Size
	}{{"large", detect.Large}, {"small", detect.Small}} {
		var corpus, alarms []nabSeries
		points := 0
		begun, err := processorTime()
		if err != nil {
			return err
		}
		for _, f := range files {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d := detect.New(size.size)
			s := nabSeries{name: f.name, windows: f.windows}
			a := s
			for _, r := range f.rows {
				v := d.Next(r.at, r.value)
				s.scores = append(s.scores, v.Score)
				raised := 0.0
				if v.Alarm {
					raised = 1
				}
				a.scores = append(a.scores, raised)
				points++
			}
			corpus, alarms = append(corpus, s), append(alarms, a)
		}
		used, err := processorTime()
		if err != nil {
			return err
		}
		each := (used - begun) / time.Duration(max(1, points))
		const command = "go run ./bench -only nab"
		for i, p := range nabProfiles {
			r := nabScore(corpus, p)
			f := Figure{
				Name: fmt.Sprintf("NAB, %s, %s detector, %d series", p.name, size.name, len(files)), Got: r.Score, Unit: "points", Command: command,
				Note: fmt.Sprintf("threshold %.3f, %d of %d windows found, %d false alarms in %d points", r.Threshold, r.Found, r.Windows, r.False, points),
			}
			if i == 0 {
				f.Goal = Goal{AtLeast: 70}
				f.Note += "; published over all 58 series: ARTime 74.9, HTM 70.5, CAD-OSE 69.9, random cut forest 51.7"
			}
			b.add(f)
		}
		r := nabScoreAt(nabByFolder(corpus), nabProfiles[0], 1)
		b.add(Figure{
			Name: "NAB, standard, " + size.name + " detector, threshold of each folder from the other folders", Got: r.Score, Unit: "points", Command: command,
			Note: fmt.Sprintf("%d of %d windows found, %d false alarms", r.Found, r.Windows, r.False),
		})
		r = nabScoreAt(alarms, nabProfiles[0], 1)
		b.add(Figure{
			Name: "NAB, standard, the alarms of the " + size.name + " detector as they are", Got: r.Score, Unit: "points", Command: command,
			Note: fmt.Sprintf("%d of %d windows found, %d false alarms", r.Found, r.Windows, r.False),
		})
		b.add(Figure{
			Name: "A point in the " + size.name + " detector", Goal: Goal{AtMost: 20}, Got: float64(each) / float64(time.Microsecond), Unit: "µs", Command: command, Note: "of processor time",
		})
	}
	return nil
}

// nabByFolder gives the alarms, scores of 0 and 1, where each folder is judged with
// the threshold that is best for all the others.
func nabByFolder(corpus []nabSeries) []nabSeries {
	var out []nabSeries
	for _, s := range corpus {
		var others []nabSeries
		for _, o := range corpus {
			if path.Dir(o.name) != path.Dir(s.name) {
				others = append(others, o)
			}
		}
		best := nabScore(others, nabProfiles[0]).Threshold
		scores := make([]float64, len(s.scores))
		for i, v := range s.scores {
			if v >= best {
				scores[i] = 1
			}
		}
		out = append(out, nabSeries{name: s.name, windows: s.windows, scores: scores})
	}
	return out
}

// readNAB reads the series that have an entry among the windows, by name.
func readNAB(folder string) ([]nabFile, error) {
	text, err := os.ReadFile(filepath.Join(folder, "combined_windows.json"))
	if err != nil {
		return nil, err
	}
	var labelled map[string][][2]string
	if err := json.Unmarshal(text, &labelled); err != nil {
		return nil, err
	}
	var out []nabFile
	for _, name := range slices.Sorted(maps.Keys(labelled)) {
		f, err := readNABFile(filepath.Join(folder, "data", filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		f.name = name
		for _, limits := range labelled[name] {
			var w [2]int
			for i, limit := range limits {
				at, err := time.Parse(time.DateTime, limit[:min(len(limit), len(time.DateTime))])
				if err != nil {
					return nil, err
				}
				if w[i] = slices.IndexFunc(f.rows, func(r nabRow) bool { return r.at.Equal(at) }); w[i] < 0 {
					return nil, fmt.Errorf("%s has no point at %s, where a window ends", name, limit)
				}
			}
			f.windows = append(f.windows, w)
		}
		out = append(out, f)
	}
	return out, nil
}

func readNABFile(path string) (nabFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nabFile{}, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		return nabFile{}, err
	}
	var f nabFile
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			return nabFile{}, err
		}
		value, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return nabFile{}, err
		}
		f.rows = append(f.rows, nabRow{at, value})
	}
	return f, nil
}
