package main

import (
	"context"

	"zhiwei/engine/intelligence/logs"
)

func engineLogs(_ context.Context, e env, args []string) error {
	fs := flags(e, "engine logs", "zhiwei engine logs < messages.txt > templates.csv")
	limit := fs.Int("limit", logs.DefaultLimit, "forms of messages held in memory at most 内存中最多保留的消息形式数")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	return logs.Copy(e.stdout, e.stdin, logs.New(*limit))
}
