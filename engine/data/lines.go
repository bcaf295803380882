package data

import (
	"context"
	"log/slog"

	"zhiwei/drive/log"
)

// A LogFollower follows a log file, a LogLine is a line of it, a LogMark a place in
// it; see drive/log. Applications reach drives through an engine only.
type (
	LogFollower = log.Follower
	LogLine     = log.Line
	LogMark     = log.Mark
)

// Follow follows a log file until ctx ends; then it returns nil. Where some of what
// was written while nobody followed cannot be had, a warning says so. The errors are
// those of log.Follower.
func Follow(ctx context.Context, f *LogFollower, warn *slog.Logger) error {
	line, told := f.Line, false
	f.Line = func(l LogLine) {
		if n := f.Counts(); !told {
			if told = true; n.Lost > 0 {
				warn.Warn("what a log said while nobody followed it is lost: its file was deleted or compressed before it could be read", "file", f.Path)
			}
			if n.Passed > 0 {
				warn.Warn("more was written to a log while nobody followed it than is read; the oldest is passed over", "file", f.Path, "bytes", n.Passed)
			}
		}
		line(l)
	}
	return f.Run(ctx)
}
