package main

import (
	"context"

	"zhiwei/engine/intelligence/detect"
)

// engineDetect scores the series on the standard input.
func engineDetect(_ context.Context, e env, args []string) error {
	fs := flags(e, "engine detect", "zhiwei engine detect < series.csv")
	small := fs.Bool("small", false, "use the small detector (1 KB), which every series has 使用小型检测器")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	size := detect.Large
	if *small {
		size = detect.Small
	}
	return detect.Copy(e.stdout, e.stdin, detect.New(size))
}
