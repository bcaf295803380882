package data

import (
	"context"
	"log/slog"

	"zhiwei/drive/log"
	"zhiwei/kernel/clock"
)

// LogLine is a line of a log file; see drive/log. LogMark is a place in one.
type (
	LogLine = log.Line
	LogMark = log.Mark
)

// FollowLogFrom hands on each line of a log file once it is whole, from a place in it
// or from its end where that is zero, through rotation, until ctx ends; then it
// returns nil. What was written while nobody followed comes first, also from files
// that were rotated meanwhile; where some of it cannot be had, a warning says so. A
// file that is not there is waited for. Lines above 64 KiB are cut. Forbidden where
// the file may not be read, Invalid where it is a folder, Unavailable where it
// cannot be read.
func FollowLogFrom(ctx context.Context, clk clock.Clock, warn *slog.Logger, path string, from LogMark, line func(LogLine)) error {
	f := &log.Follower{Path: path, Clock: clk, From: from}
	told := false
	f.Line = func(l log.Line) {
		if n := f.Counts(); !told {
			if told = true; n.Lost > 0 {
				warn.Warn("what a log said while nobody followed it is lost: its file was deleted or compressed before it could be read", "file", path)
			}
			if n.Passed > 0 {
				warn.Warn("more was written to a log while nobody followed it than is read; the oldest is passed over", "file", path, "bytes", n.Passed)
			}
		}
		line(l)
	}
	return f.Run(ctx)
}

// FollowLog is FollowLogFrom the end of the file.
func FollowLog(ctx context.Context, clk clock.Clock, path string, line func(string)) error {
	return FollowLogFrom(ctx, clk, slog.New(slog.DiscardHandler), path, LogMark{}, func(l LogLine) { line(l.Text) })
}
