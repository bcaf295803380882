package logs

import (
	"strings"
	"unicode/utf8"

	"zhiwei/engine"
)

// wording are the beginnings of words by which people write how bad it is, in the
// order they are looked for. The English ones are those of syslog's levels
// (RFC 5424, section 6.2.1) and the usual words of failing programs.
var wording = []struct {
	severity engine.Severity
	english  []string // a word begins with it
	chinese  []string // contained
}{
	{
		engine.Critical,
		[]string{"fatal", "panic", "emerg", "crit", "catastroph", "corrupt", "segfault", "segmentation", "oops", "unrecoverable", "uncorrect", "deadlock", "oom"},
		[]string{"致命", "崩溃", "损坏", "严重", "死锁", "内存不足"},
	},
	{
		engine.Major,
		[]string{"error", "err", "fail", "exception", "denied", "refus", "timeout", "timed", "unable", "cannot", "abort", "unreachable", "invalid", "lost", "dead", "killed", "broken"},
		[]string{"错误", "失败", "异常", "拒绝", "超时", "无法", "中断", "丢失", "不可达"},
	},
	{
		engine.Warning,
		[]string{"warn", "retry", "retries", "slow", "degrad", "deprecat", "delay", "drop", "reset", "expir"},
		[]string{"警告", "告警", "重试", "缓慢", "延迟", "降级", "过期"},
	},
}

// Wording judges a message by its words alone: Critical, Major, Warning, or the
// empty severity where no word tells. What is said not to be ("no error", "0
// failed", "without errors", 无错误) does not count.
func Wording(message string) engine.Severity {
	if len(message) > maxBytes {
		message = message[:maxBytes]
	}
	low := strings.ToLower(message)
	best := engine.Severity("")
	before := ""
	for i := 0; i < len(low); {
		c := low[i]
		if !(digit(c) || c >= 'a' && c <= 'z') {
			i++
			continue
		}
		end := i
		for end < len(low) && (digit(low[end]) || low[end] >= 'a' && low[end] <= 'z') {
			end++
		}
		w := low[i:end]
		i = end
		if before != "no" && before != "0" && before != "without" && before != "not" {
			for _, k := range wording {
				if k.severity.Rank() > best.Rank() && begins(w, k.english) {
					best = k.severity
				}
			}
		}
		before = w
	}
	if strings.IndexFunc(low, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return best
	}
	for _, k := range wording {
		for _, z := range k.chinese {
			if at := strings.Index(low, z); at >= 0 && !strings.HasSuffix(low[:at], "无") && !strings.HasSuffix(low[:at], "没有") && k.severity.Rank() > best.Rank() {
				best = k.severity
			}
		}
	}
	return best
}

// begins says whether word begins with one of the stems; a stem below four
// letters must be the whole word.
func begins(word string, stems []string) bool {
	for _, s := range stems {
		if strings.HasPrefix(word, s) && (len(s) > 3 || word == s) {
			return true
		}
	}
	return false
}
