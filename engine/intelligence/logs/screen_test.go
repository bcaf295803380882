package logs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var screened = []string{
	`(?i)\b(timed out|timeout|time-out)\b`, `EXT[234]-fs error`, `(?i)no space left on device`, `ENOSPC`, `磁盘空间不足`, `(?i)disk (is )?full`, `\bFOUND$`,
	`E[MN]FILE`, `(?i)kernel|Straße`, `^$`, `a*`, `(?i)fork: (retry: )?(resource temporarily unavailable|cannot allocate)`, `x{2,}yz`, `(?:foo|)bar`, `foo(?:.*)x?bar`, `(?:a.*|b)cde`, `[[:digit:]]{3}`,
}

func compiled(t testing.TB, list []string) (out []*regexp.Regexp) {
	t.Helper()
	for _, p := range list {
		re, err := regexp.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, re)
	}
	return out
}

func agree(t *testing.T, s *Screen, line string) {
	t.Helper()
	var want []int
	for i, p := range s.patterns {
		if p.MatchString(line) {
			want = append(want, i)
		}
	}
	got := s.Which(line)
	slices.Sort(got)
	if !slices.Equal(got, want) || s.Any(line) != (len(want) > 0) {
		t.Fatalf("%q: %v and %v, the patterns say %v", line, got, s.Any(line), want)
	}
}

// A screen says of every line what its patterns say one by one, whatever the case
// and the script.
func TestAScreenSaysWhatItsPatternsSay(t *testing.T) {
	s := NewScreen(compiled(t, slices.DeleteFunc(slices.Clone(screened), func(p string) bool { return p == `a*` })))
	always := 0
	for _, full := range s.full {
		if full == 0 {
			always++
		}
	}
	if always != 3 { // an empty line; three digits, too many words; yz, too short a word
		t.Errorf("%d patterns are tried on every line", always)
	}
	for _, line := range []string{
		"", "connect TIMED OUT", "ext4-FS error", "EXT4-fs error (device sda1)", "No Space Left On Device", "写入失败：磁盘空间不足", "disk full", "clamd: FOUND", "FOUND it", "EMFILE", "ENFILE", "eNFILE",
		"\u212aERNEL panic", "STRA\u017f\u017fe", "Straße", "fork: retry: Resource temporarily unavailable", "xyz xxyz", "foobar", "bar", "foo x bar", "foo123xbar", "a cde", "bcde", "b cde", "code 404", "\xff\xfetimeout", "bad ext3", "nothing at all",
	} {
		agree(t, s, line)
	}
}

func FuzzScreen(f *testing.F) {
	f.Add(`(?i)a(b|cd)+e`, "xABCDe")
	f.Add(`日志.*(失败|错误)`, "日志写入失败")
	f.Fuzz(func(t *testing.T, pattern, line string) {
		if strings.Count(pattern, "{") > 2 || len(pattern) > 200 {
			return
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return
		}
		agree(t, NewScreen(append(compiled(t, screened), re)), line)
	})
}
