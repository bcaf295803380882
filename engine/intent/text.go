package intent

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// flat gives every rune of a sentence its plain form, one for one, so that a
// place in the flat text is a place in the sentence: full-width letters, digits
// and signs as ASCII, one dash, straight quotes, lower case.
func flat(sentence []rune) []rune {
	out := make([]rune, len(sentence))
	for i, r := range sentence {
		switch {
		case r >= '！' && r <= '～':
			r -= '！' - '!'
		case r == '\u3000' || r == '\u00a0' || r == '\u202f' || r == '\u2009' || r == '\t':
			r = ' '
		case r == '–' || r == '—' || r == '−' || r == '‐' || r == '‑' || r == '〜' || r == '﹣':
			r = '-'
		case r == '“' || r == '”' || r == '「' || r == '」' || r == '『' || r == '』' || r == '«' || r == '»':
			r = '"'
		case r == '、' || r == '，':
			r = ','
		case r == '。' || r == '；' || r == '\n' || r == '\r':
			r = ';'
		case r == '≦' || r == '⩽':
			r = '≤'
		case r == '≧' || r == '⩾':
			r = '≥'
		case r == '×':
			r = 'x'
		}
		if r == '~' {
			r = '-'
		}
		out[i] = unicode.ToLower(r)
	}
	return out
}

// word tells the runes that Latin words and names are made of.
func word(r rune) bool { return r < 0x2e80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

func digit(r rune) bool { return r >= '0' && r <= '9' }

// at gives the rune at a place; 0 beyond the ends.
func at(text []rune, i int) rune {
	if i < 0 || i >= len(text) {
		return 0
	}
	return text[i]
}

func skipBlanks(text []rune, i int) int {
	for at(text, i) == ' ' {
		i++
	}
	return i
}

// follows tells whether the phrase stands at i, whole: a Latin word does not go
// on behind it. A blank of the phrase stands for any number of them.
func follows(text []rune, i int, phrase string) (end int, ok bool) {
	for _, r := range phrase {
		if r == ' ' {
			j := skipBlanks(text, i)
			if j == i {
				return 0, false
			}
			i = j
			continue
		}
		if at(text, i) != r {
			return 0, false
		}
		i++
	}
	last := []rune(phrase)
	if word(last[len(last)-1]) && word(at(text, i)) && !digit(last[len(last)-1]) {
		return 0, false
	}
	return i, true
}

// maxDigits bounds a number; longer ones are no measure of anything here.
const maxDigits = 15

// digits reads "1,200.5". ok is false where none stands there.
func digits(text []rune, i int) (number string, end int, ok bool) {
	var b strings.Builder
	start, point := i, false
	for ; i < len(text); i++ {
		switch r := text[i]; {
		case digit(r):
			b.WriteRune(r)
		case r == '.' && !point && i > start && digit(at(text, i+1)):
			point = true
			b.WriteRune(r)
		case r == ',' && !point && i > start && i-start <= 12 && digit(at(text, i+1)) && digit(at(text, i+2)) && digit(at(text, i+3)) && !digit(at(text, i+4)) && i-start <= 3:
			// the thousands' comma of "1,200"
		default:
			return b.String(), i, i > start && b.Len() <= maxDigits
		}
	}
	return b.String(), i, i > start && b.Len() <= maxDigits
}

var chineseDigits = map[rune]int64{'零': 0, '〇': 0, '一': 1, '二': 2, '两': 2, '三': 3, '四': 4, '五': 5, '六': 6, '七': 7, '八': 8, '九': 9}

var chinesePlaces = map[rune]int64{'十': 10, '百': 100, '千': 1000, '万': 10_000, '亿': 100_000_000}

// chinese reads a Chinese numeral: 二十八, 两百, 一万二千, 半, and with fractions
// 九十九点九九.
func chinese(text []rune, i int, fractions bool) (number string, end int, ok bool) {
	start := i
	var total, section, one int64
	seen, placed := false, false
	for ; i < len(text) && i-start < maxDigits; i++ {
		if d, is := chineseDigits[text[i]]; is {
			if seen && !placed && one != 0 && d != 0 { // "一九": digits without places are no measure
				return "", start, false
			}
			one, seen, placed = d, true, false
			continue
		}
		p, is := chinesePlaces[text[i]]
		if !is {
			break
		}
		if !seen && p != 10 {
			return "", start, false
		}
		if one == 0 && !seen {
			one = 1
		}
		if p >= 10_000 {
			total += (section + one) * p
			section = 0
		} else {
			section += one * p
		}
		one, seen, placed = 0, true, true
	}
	if !seen {
		if at(text, start) == '半' {
			return "0.5", start + 1, true
		}
		return "", start, false
	}
	number = strconv.FormatInt(total+section+one, 10)
	if fractions && at(text, i) == '点' {
		var b strings.Builder
		j := i + 1
		for ; j < len(text); j++ {
			d, is := chineseDigits[text[j]]
			if !is {
				break
			}
			b.WriteString(strconv.FormatInt(d, 10))
		}
		if b.Len() > 0 && b.Len() < maxDigits {
			return number + "." + b.String(), j, true
		}
	}
	return number, i, true
}

// unit is what a number is counted in: by becomes the base unit of dim.
type unit struct {
	words []string
	dim   dimension
	by    string // a decimal fraction such as "0.001" or "60"
	zh    string // as it is written out; empty: it is only read
	en    string
}

var units = []unit{
	{[]string{"ms", "毫秒", "msec", "millisecond", "milliseconds"}, seconds, "0.001", "毫秒", "ms"},
	{[]string{"秒钟", "秒", "s", "sec", "second", "seconds"}, seconds, "1", "秒", "s"},
	{[]string{"分钟", "分", "min", "mins", "minute", "minutes"}, seconds, "60", "分钟", "min"},
	{[]string{"刻钟", "quarter of an hour", "quarters of an hour"}, seconds, "900", "", ""},
	{[]string{"个小时", "小时", "个钟头", "钟头", "h", "hr", "hour", "hours"}, seconds, "3600", "小时", "h"},
	{[]string{"天", "个自然日", "日", "d", "day", "days"}, seconds, "86400", "天", "d"},
	{[]string{"个星期", "星期", "周", "week", "weeks"}, seconds, "604800", "", ""},
	{[]string{"个月", "month", "months"}, seconds, "2592000", "", ""},
	{[]string{"年", "year", "years"}, seconds, "31536000", "", ""},
	{[]string{"%", "percent", "per cent"}, ratio, "0.01", "%", "%"},
	{[]string{"‰"}, ratio, "0.001", "", ""},
	{[]string{"℃", "°c", "° c", "摄氏度", "度", "c", "celsius", "degrees celsius", "degrees", "deg c"}, celsius, "1", "℃", "°C"},
	{[]string{"字节", "byte", "bytes"}, bytes, "1", "字节", "bytes"},
	{[]string{"kb", "k 字节"}, bytes, "1000", "", ""},
	{[]string{"mb", "兆字节", "兆"}, bytes, "1000000", "MB", "MB"},
	{[]string{"gb", "g", "吉字节"}, bytes, "1000000000", "GB", "GB"},
	{[]string{"tb", "t", "太字节"}, bytes, "1000000000000", "TB", "TB"},
	{[]string{"kib"}, bytes, "1024", "", ""},
	{[]string{"mib"}, bytes, "1048576", "", ""},
	{[]string{"gib"}, bytes, "1073741824", "", ""},
	{[]string{"tib"}, bytes, "1099511627776", "", ""},
	{[]string{"w", "瓦", "瓦特", "watt", "watts"}, watts, "1", "瓦", "W"},
	{[]string{"kw", "千瓦", "kilowatt", "kilowatts"}, watts, "1000", "千瓦", "kW"},
	{[]string{"个", "条", "件", "笔"}, count, "1", "个", ""},
}

// unitWords leads from a word to the unit's place in units.
var unitWords = sync.OnceValue(func() *lexicon {
	l := &lexicon{phrases: map[string][]meaning{}}
	for n, u := range units {
		l.add(filler, strconv.Itoa(n), u.words...)
	}
	l.index()
	return l
})

// unitAt finds the unit that stands at i, the longest; nil where none does.
func unitAt(text []rune, i int) (u *unit, end int) {
	l := unitWords()
	p, end, ok := l.at(text, i)
	if !ok {
		return nil, 0
	}
	n, _ := strconv.Atoi(l.phrases[p][0].value) // a place in units
	return &units[n], end
}

// amount is a number with its unit; unit nil where none was written.
type amount struct {
	number string
	unit   *unit
}

// value is the amount in the base unit of its dimension, the float64 nearest to
// what was written: 99.99 % is 0.9999 and not 99.99/100.
func (a amount) value() float64 {
	r, ok := new(big.Rat).SetString(a.number)
	if !ok {
		return 0
	}
	if a.unit != nil {
		by, _ := new(big.Rat).SetString(a.unit.by) // of the table above: a number
		r.Mul(r, by)
	}
	f, _ := r.Float64() // the nearest
	return f
}

// written gives a value in the largest unit in which it is short, so that reading
// it again gives the same value.
func written(v float64, d dimension, english bool) string {
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(v, 'f', -1, 64))
	best, easiest := strconv.FormatFloat(v, 'f', -1, 64), -1
	for i := range units {
		u := &units[i]
		if u.dim != d || u.zh == "" {
			continue
		}
		by, _ := new(big.Rat).SetString(u.by)
		number, ends := decimal(new(big.Rat).Quo(exact, by))
		if !ends || len(number) > maxDigits || easiest >= 0 && weight(number) > easiest {
			continue
		}
		name := u.zh
		if english {
			name = u.en
		}
		sep := " "
		if name == "" || name == "%" && !english {
			sep = ""
		}
		best, easiest = number+sep+name, weight(number)
	}
	return best
}

// weight is how hard a number is to read: its digits, and more below one.
func weight(number string) int {
	if strings.HasPrefix(strings.TrimPrefix(number, "-"), "0.") {
		return len(number) + 2
	}
	return len(number)
}

// decimal writes a fraction out; ends is false where it goes on for ever.
func decimal(r *big.Rat) (number string, ends bool) {
	n, exact := r.FloatPrec()
	if !exact {
		return "", false
	}
	return r.FloatString(n), true
}

// longest sorts phrases so that the longest is tried first.
func longest(phrases []string) {
	slices.SortStableFunc(phrases, func(a, b string) int { return len([]rune(b)) - len([]rune(a)) })
}

// around is the range of a middle and a width: 20 ± 2 ℃.
func around(mid, width amount) (lo, hi amount) {
	m, okM := new(big.Rat).SetString(mid.number)
	w, okW := new(big.Rat).SetString(width.number)
	if !okM || !okW {
		return mid, mid
	}
	least, _ := decimal(new(big.Rat).Sub(m, w)) // of decimals: it ends
	most, _ := decimal(new(big.Rat).Add(m, w))
	return amount{least, mid.unit}, amount{most, mid.unit}
}
