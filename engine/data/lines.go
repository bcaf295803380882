package data

import (
	"context"

	"zhiwei/drive/log"
	"zhiwei/kernel/clock"
)

// FollowLog hands on each line that is written to a log file from now on, whole,
// valid UTF-8 and without its end, through rotation, until ctx ends; then it
// returns nil. A file that is not there is waited for. Lines above 64 KiB are
// cut. Forbidden where the file may not be read, Invalid where it is a folder,
// Unavailable where it cannot be read.
func FollowLog(ctx context.Context, clk clock.Clock, path string, line func(string)) error {
	f := &log.Follower{Path: path, Clock: clk, Line: func(text string, _ log.Mark) { line(text) }}
	return f.Run(ctx)
}
