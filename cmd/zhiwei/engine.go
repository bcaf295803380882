package main

// engineCommands are the engines tried on files of one's own, without a running
// program: `zhiwei engine NAME`. Each stands in its own engine_NAME.go and holds
// flags and streams only; the rules are in the packages under engine/.
var engineCommands = []command{
	{"engine detect", "score a series for anomalies, a row a row 流式异常检测", "zhiwei engine detect < series.csv", engineDetect},
	{"engine logs", "name the template of each log message, a row a line 日志模板", "zhiwei engine logs < messages.txt > templates.csv", engineLogs},
	{"engine rootcause", "rank the causes of an incident from metrics and calls 根因定位", "zhiwei engine rootcause --normal a.csv --anomalous b.csv --graph edges.csv", engineRootcause},
}
