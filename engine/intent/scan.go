package intent

import (
	"slices"
	"strconv"
	"strings"
)

// form is what a token is.
type form int

const (
	phrase    form = iota // of the lexicon: meanings
	name                  // quoted, or not in the lexicon: text
	number                // amount
	clockTime             // minutes of the day
	soft                  // a comma
	hard                  // the end of a sentence
)

// token is a piece of a sentence; from and to are its place, in runes.
type token struct {
	form     form
	from, to int
	text     string // as it was written
	meanings []meaning
	amount   amount
	minutes  int
	quoted   bool
}

// is tells whether a token may play a role.
func (t token) is(r role) bool { _, ok := t.value(r); return ok }

// value gives what a token means in a role.
func (t token) value(r role) (string, bool) {
	for _, m := range t.meanings {
		if m.role == r {
			return m.value, true
		}
	}
	return "", false
}

// Known is a name of the ledger that a sentence may use as it stands.
type Known struct {
	Name  string
	Class string // empty: a declared service
}

// nameWords makes the lexicon of names.
func nameWords(list []Known) *lexicon {
	l := &lexicon{phrases: map[string][]meaning{}}
	for _, k := range list {
		if n := strings.TrimSpace(string(flat([]rune(k.Name)))); len([]rune(n)) > 1 {
			l.add(known, k.Name, n)
		}
	}
	l.index()
	return l
}

// scan cuts a sentence into tokens. It takes everything: what it does not know
// is a name.
func scan(sentence []rune, names *lexicon) []token {
	text := flat(sentence)
	var out []token
	add := func(t token) {
		t.text = string(sentence[t.from:t.to])
		out = append(out, t)
	}
	for i := 0; i < len(text); {
		if text[i] == ' ' {
			i++
			continue
		}
		if text[i] == '"' {
			if end := closing(text, i); end > 0 {
				out = append(out, token{form: name, quoted: true, from: i, to: end + 1, text: strings.TrimSpace(string(sentence[i+1 : end]))})
				i = end + 1
				continue
			}
			i++ // one without the other
			continue
		}
		if text[i] == ';' || text[i] == '!' || text[i] == '?' || text[i] == '.' && (at(text, i+1) == ' ' || at(text, i+1) == 0) {
			add(token{form: hard, from: i, to: i + 1})
			i++
			continue
		}
		if text[i] == ',' || text[i] == ':' {
			add(token{form: soft, from: i, to: i + 1})
			i++
			continue
		}
		if (text[i] == '(' || text[i] == ')') && !bracketed(out, text[i]) {
			i++
			continue
		}
		t, ok := numeric(text, i, out)
		p, end, inLexicon := words.at(text, i)
		if inLexicon && !stands(text, i, end, out) {
			inLexicon = false
		}
		if n, e, isName := names.at(text, i); isName && e >= max(end, t.to) {
			add(token{form: phrase, from: i, to: e, meanings: names.phrases[n]})
			i = e
			continue
		}
		switch {
		case ok && (!inLexicon || t.to >= end):
			add(t)
			i = t.to
		case inLexicon:
			add(token{form: phrase, from: i, to: end, meanings: words.phrases[p]})
			i = end
		default:
			end = unknown(text, i)
			if last := len(out) - 1; last >= 0 && out[last].form == name && !out[last].quoted && blank(text[out[last].to:i]) {
				out[last].to = end
				out[last].text = string(sentence[out[last].from:end])
			} else {
				add(token{form: name, from: i, to: end})
			}
			i = end
		}
	}
	return out
}

// bracketed tells whether a bracket belongs to a name: it goes on one, or ends
// what one began.
func bracketed(before []token, r rune) bool {
	if len(before) == 0 || before[len(before)-1].form != name || before[len(before)-1].quoted {
		return false
	}
	return r == '(' || strings.ContainsAny(before[len(before)-1].text, "(（")
}

// closing finds the quotation mark that closes the one at i; 0 where none does.
func closing(text []rune, i int) int {
	for j := i + 1; j < len(text); j++ {
		if text[j] == '"' {
			if j == i+1 {
				return 0
			}
			return j
		}
	}
	return 0
}

func blank(text []rune) bool {
	for _, r := range text {
		if r != ' ' {
			return false
		}
	}
	return true
}

// unknown gives the end of what no rule knows: a whole Latin word, or one other
// rune.
func unknown(text []rune, i int) int {
	if !word(text[i]) {
		return i + 1
	}
	j := i + 1
	for ; j < len(text); j++ {
		if text[j] == '\'' && at(text, j+1) == 's' && !word(at(text, j+2)) {
			break // "the lab's"
		}
		joins := (text[j] == '-' || text[j] == '_' || text[j] == '.' || text[j] == '/' || text[j] == '\'') && word(at(text, j+1))
		if !word(text[j]) && !joins {
			break
		}
	}
	return j
}

// stands tells whether a phrase is meant where it was found: a Latin one is not
// the end of a word, and a single Chinese character is not part of a name.
func stands(text []rune, i, end int, before []token) bool {
	if word(text[i]) && i > 0 && word(text[i-1]) && !digit(text[i-1]) {
		return false
	}
	if end-i > 1 || text[i] < 0x2e80 {
		return true
	}
	last := func(f form) bool {
		return len(before) > 0 && before[len(before)-1].form == f
	}
	switch text[i] {
	case '每', '的':
		return true
	case '内':
		return last(number)
	case '到', '至':
		return last(number) || last(clockTime) || last(phrase) && before[len(before)-1].is(days)
	case '和', '与', '及', '且', '并':
		return len(before) > 0
	case '计':
		return last(number)
	}
	j := skipBlanks(text, end)
	if j >= len(text) || digit(text[j]) || text[j] == '"' || text[j] == ',' || text[j] == ';' || text[j] == '-' {
		return true
	}
	if _, _, ok := words.at(text, j); ok {
		return true
	}
	_, ok := numeric(text, j, nil)
	return ok
}

// spelled are the English numerals that stand before a unit.
var spelled = numerals(map[string]string{
	"a": "1", "an": "1", "one": "1", "half a": "0.5", "half an": "0.5", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
	"twelve": "12", "fifteen": "15", "twenty": "20", "twenty-four": "24", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
})

// nines are words for shares that end in nothing but nines.
var nines = numerals(map[string]string{"两个九": "99", "二个九": "99", "三个九": "99.9", "四个九": "99.99", "五个九": "99.999", "2 个 9": "99", "3 个 9": "99.9", "4 个 9": "99.99", "5 个 9": "99.999", "2个9": "99", "3个9": "99.9", "4个9": "99.99", "5个9": "99.999", "two nines": "99", "three nines": "99.9", "four nines": "99.99", "five nines": "99.999"})

// numerals makes a lexicon of words for numbers.
func numerals(list map[string]string) *lexicon {
	l := &lexicon{phrases: map[string][]meaning{}}
	for p, n := range list {
		l.add(filler, n, p)
	}
	l.index()
	return l
}

// numeric reads a number with its unit, or a time of day.
func numeric(text []rune, i int, before []token) (t token, ok bool) {
	if p, e, there := nines.at(text, i); there {
		return token{form: number, from: i, to: e, amount: amount{nines.phrases[p][0].value, percent}, meanings: []meaning{{ofTime, ""}}}, true
	}
	if t, ok = timeOfDay(text, i, before); ok {
		return t, true
	}
	start, minus := i, ""
	if text[i] == '-' && digit(at(text, i+1)) && (len(before) == 0 || before[len(before)-1].form != number && before[len(before)-1].form != clockTime) {
		minus, i = "-", i+1
	}
	if e, there := follows(text, i, "零下"); there {
		minus, i = "-", skipBlanks(text, e)
	}
	if digit(at(text, i)) {
		n, end, ok := digits(text, i)
		if !ok || start > 0 && word(text[start-1]) && start == i {
			return t, false
		}
		u, uEnd := unitAt(text, skipBlanks(text, end))
		switch {
		case u != nil:
			end = uEnd
		case word(at(text, end)): // "3a", "2nd"
			return t, false
		case at(text, end) > 0x2e80 && !meantAfter(text, end): // "3号机房"
			return t, false
		}
		return token{form: number, from: start, to: end, amount: amount{minus + n, u}}, true
	}
	if p, e, there := spelled.at(text, i); there && (i == 0 || !word(text[i-1])) {
		if u, end := unitAt(text, skipBlanks(text, e)); u != nil && skipBlanks(text, e) > e {
			return token{form: number, from: start, to: end, amount: amount{spelled.phrases[p][0].value, u}}, true
		}
	}
	return chineseNumber(text, start, i, minus)
}

// percent is the unit of shares.
var percent = &units[slices.IndexFunc(units, func(u unit) bool { return u.words[0] == "%" })]

// chineseNumber reads 百分之九十九点九, 三成, 二十八度, and a numeral alone where the
// other end of a range with a unit follows.
func chineseNumber(text []rune, start, i int, minus string) (t token, ok bool) {
	if e, there := follows(text, i, "百分之"); there {
		if n, end, ok := chinese(text, e, true); ok {
			return token{form: number, from: start, to: end, amount: amount{n, percent}}, true
		}
	}
	n, end, ok := chinese(text, i, true)
	if !ok {
		return t, false
	}
	j := skipBlanks(text, end)
	if at(text, j) == '成' {
		j++
		n += "0"
		if d, half := chineseDigits[at(text, j)]; half {
			n, j = strings.TrimSuffix(n, "0")+strconv.FormatInt(d, 10), j+1
		} else if at(text, j) == '半' {
			n, j = strings.TrimSuffix(n, "0")+"5", j+1
		}
		return token{form: number, from: start, to: j, amount: amount{n, percent}}, true
	}
	if u, uEnd := unitAt(text, j); u != nil {
		return token{form: number, from: start, to: uEnd, amount: amount{minus + n, u}}, true
	}
	if k := at(text, j); k == '到' || k == '至' || k == '-' {
		if _, _, ok := chinese(text, skipBlanks(text, j+1), true); ok {
			return token{form: number, from: start, to: end, amount: amount{minus + n, nil}}, true
		}
	}
	return t, false
}

// meantAfter tells whether a Chinese phrase of the lexicon that fits behind a bare
// number follows it.
func meantAfter(text []rune, i int) bool {
	p, _, ok := words.at(text, i)
	if !ok {
		return false
	}
	for _, m := range words.phrases[p] {
		switch m.role {
		case orLess, orMore, through, plusMinus, and, ofTime, filler, strength, otherwise:
			return true
		}
	}
	return false
}

// timeOfDay reads 8:30, 8点, 八点半, 18 点 30 分, 8 am.
func timeOfDay(text []rune, i int, before []token) (t token, ok bool) {
	start := i
	late := len(before) > 0 && before[len(before)-1].is(afternoon)
	var n string
	var end int
	chineseHour := false
	if digit(text[i]) {
		j := i
		for digit(at(text, j)) && j-i < 2 {
			j++
		}
		n, end = string(text[i:j]), j
		if digit(at(text, j)) || start > 0 && (word(text[start-1]) || text[start-1] == '.') {
			return t, false
		}
	} else if n, end, chineseHour = chinese(text, i, false); !chineseHour {
		return t, false
	}
	hour, err := strconv.Atoi(n)
	if err != nil || hour > 24 {
		return t, false
	}
	minute := 0
	j := skipBlanks(text, end)
	switch {
	case !chineseHour && at(text, end) == ':' && digit(at(text, end+1)) && digit(at(text, end+2)) && !digit(at(text, end+3)):
		minute, _ = strconv.Atoi(string(text[end+1 : end+3]))
		end += 3
	case at(text, j) == '点' || at(text, j) == '时' && at(text, j+1) != '间' && at(text, j+1) != '延':
		end = j + 1
		if k := at(text, end); k == '钟' || k == '整' {
			end++
		}
		if at(text, end) == '半' {
			minute, end = 30, end+1
		} else if m, e, ok := digits(text, skipBlanks(text, end)); ok && at(text, skipBlanks(text, e)) == '分' {
			minute, _ = strconv.Atoi(m)
			end = skipBlanks(text, e) + 1
		} else if m, e, ok := chinese(text, end, false); ok && at(text, e) == '分' {
			minute, _ = strconv.Atoi(m)
			end = e + 1
		}
	default:
		_, am := follows(text, j, "am")
		_, pm := follows(text, j, "pm")
		if chineseHour || !am && !pm {
			return t, false
		}
		end = j + 2
		switch {
		case hour > 12:
			return t, false
		case pm && hour < 12:
			hour += 12
		case am && hour == 12:
			hour = 0
		}
	}
	if e := skipBlanks(text, end); !chineseHour {
		if _, pm := follows(text, e, "pm"); pm && hour < 12 {
			hour, end = hour+12, e+2
		} else if _, am := follows(text, e, "am"); am && hour <= 12 {
			hour, end = hour%12, e+2
		}
	}
	if late && hour < 12 {
		hour += 12
	}
	total := hour*60 + minute
	if minute > 59 || total > 24*60 {
		return t, false
	}
	return token{form: clockTime, from: start, to: end, minutes: total % (24 * 60)}, true
}
