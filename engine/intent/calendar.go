package intent

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

//go:embed calendar/china.yaml
var chinaFile []byte

// published is a calendar as its file has it.
type published struct {
	Name  string
	Zone  string
	Week  []int // working days, 1 Monday
	Years []struct {
		Year     int
		Source   string
		Holidays []struct {
			Name     string
			From, To string   // YYYY-MM-DD, both days included
			Work     []string // made up for on these
		}
	}
}

// china is what comes with the program, as a calendar record holds it. That the
// file can be read is for its test to see.
var china = sync.OnceValues(func() (calendar.Data, error) { return readPublished(chinaFile) })

// readPublished reads a file of public holidays. Invalid where a date is none or
// lies in another year than its section says.
func readPublished(text []byte) (out calendar.Data, err error) {
	bad := func(what string) error {
		return errs.E(errs.Invalid, "calendar", what, "节假日文件有误："+what, "the file of public holidays is wrong: "+what)
	}
	var p published
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return out, bad(err.Error())
	}
	out.Name, out.Zone = p.Name, p.Zone
	for _, day := range p.Week {
		out.Week = append(out.Week, calendar.Hours{Day: day, From: "00:00", To: "24:00"})
	}
	for _, y := range p.Years {
		day := func(s string) (time.Time, error) {
			t, err := time.Parse(time.DateOnly, s)
			if err != nil || t.Year() != y.Year {
				return t, bad(s)
			}
			return t, nil
		}
		if y.Source == "" {
			return out, bad(strconv.Itoa(y.Year) + " source")
		}
		for _, h := range y.Holidays {
			from, err := day(h.From)
			if err != nil {
				return out, err
			}
			to, err := day(h.To)
			if err != nil || to.Before(from) {
				return out, bad(h.To)
			}
			for t := from; !t.After(to); t = t.AddDate(0, 0, 1) {
				out.Holidays = append(out.Holidays, t.Format(time.DateOnly))
			}
			for _, w := range h.Work {
				if _, err := day(w); err != nil {
					return out, err
				}
				out.Workdays = append(out.Workdays, w)
			}
		}
	}
	if _, err := calendar.Parse(out); err != nil {
		return out, err
	}
	slices.Sort(out.Holidays)
	slices.Sort(out.Workdays)
	return out, nil
}

// almanac tells what kind of day a day is.
type almanac struct {
	name  string
	cal   *calendar.Calendar
	years map[int]bool // of which it has any date: the others are not published
	fault kind.Text    // why it cannot be used; empty: it can
}

func almanacOf(d calendar.Data) *almanac {
	a := &almanac{name: d.Name, years: yearsOf(d)}
	cal, err := calendar.Parse(d)
	if err != nil {
		a.fault = kind.T(errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
		return a
	}
	a.cal = cal
	return a
}

func yearsOf(d calendar.Data) map[int]bool {
	out := map[int]bool{}
	for _, s := range slices.Concat(d.Holidays, d.Workdays) {
		if y, err := strconv.Atoi(s[:min(len(s), 4)]); err == nil {
			out[y] = true
		}
	}
	return out
}

// holiday tells whether a day is a public holiday, the weekend within one too.
func (a *almanac) holiday(day time.Time) bool { return a.cal.Off[day.Format(time.DateOnly)] }

// working tells whether people work on a day: by the calendar, and in a year that
// it does not have by its week alone.
func (a *almanac) working(day time.Time) bool {
	date := day.Format(time.DateOnly)
	always := true
	for _, spans := range a.cal.Week {
		always = always && len(spans) == 0
	}
	return !a.cal.Off[date] && (a.cal.On[date] || always || len(a.cal.Week[day.Weekday()]) > 0)
}

// readAlmanac reads the calendar record; where there is none it is what comes with
// the program.
func readAlmanac(ctx context.Context, k *kernel.Kernel, p *identity.Principal) (*almanac, error) {
	var d calendar.Data
	r, err := k.Read(ctx, p, engine.CalendarChina)
	switch {
	case errs.Is(err, errs.NotFound):
		if d, err = china(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, errs.Wrap("read calendar", engine.CalendarChina.ID, err)
	default:
		if err := json.Unmarshal(r.Data, &d); err != nil {
			return nil, errs.Wrap("read calendar", engine.CalendarChina.ID, err)
		}
	}
	return almanacOf(d), nil
}

// deliverCalendar writes the calendar that comes with the program, and later its
// years of which the record has no date. What a site wrote stays; a calendar that
// was deleted stays deleted.
func deliverCalendar(ctx context.Context, k *kernel.Kernel, p *identity.Principal) error {
	ours, err := china()
	if err != nil {
		return err
	}
	write := func(c kernel.Change, d any) error {
		raw, err := json.Marshal(d)
		if err != nil {
			return errs.Wrap("deliver calendar", engine.CalendarChina.ID, err)
		}
		c.Key, c.Data = engine.CalendarChina, raw
		_, err = k.Write(ctx, p, c)
		if errs.Is(err, errs.Conflict) { // a person was faster, or has deleted it
			return nil
		}
		return err
	}
	r, err := k.Read(ctx, p, engine.CalendarChina)
	if errs.Is(err, errs.NotFound) {
		return write(kernel.Change{Op: record.Create}, ours)
	}
	if err != nil {
		return err
	}
	var theirs calendar.Data
	all := map[string]any{} // what else the record holds stays too
	if err := json.Unmarshal(r.Data, &theirs); err != nil {
		return errs.Wrap("deliver calendar", engine.CalendarChina.ID, err)
	}
	if err := json.Unmarshal(r.Data, &all); err != nil {
		return errs.Wrap("deliver calendar", engine.CalendarChina.ID, err)
	}
	have := yearsOf(theirs)
	added := false
	add := func(to, from []string) []string {
		for _, s := range from {
			if y, err := strconv.Atoi(s[:4]); err == nil && !have[y] { // of readPublished: a date
				to, added = append(to, s), true
			}
		}
		return to
	}
	all["holidays"], all["workdays"] = add(theirs.Holidays, ours.Holidays), add(theirs.Workdays, ours.Workdays)
	if !added {
		return nil
	}
	return write(kernel.Change{Op: record.Update, Expect: r.Version}, all)
}

// times are the hours of a goal, with what tells its days.
type times struct {
	*engine.Hours // nil: always
	zone          *time.Location
	days          *almanac
}

// times are the hours of a goal as they are meant here: by the calendar's zone
// where the calendar tells the days.
func (w *world) times(h *engine.Hours, zone *time.Location) times {
	t := times{Hours: h, zone: zone, days: w.days}
	if h != nil && h.On != "" && t.days.cal != nil {
		t.zone = t.days.cal.Zone
	}
	return t
}

// broken tells why the hours cannot be told; empty where they can.
func (t times) broken() kind.Text {
	if t.Hours == nil || t.On == "" {
		return kind.Text{}
	}
	return t.days.fault
}

// on tells whether the hours are meant on a day.
func (t times) on(day time.Time) bool {
	weekday := int(day.Weekday()+6)%7 + 1
	inWeek := len(t.Days) == 0 || slices.Contains(t.Days, weekday)
	switch {
	case t.On == "":
		return inWeek
	case t.days.cal == nil:
		return false
	case t.On == engine.OnWorking:
		return t.days.working(day)
	case t.On == engine.OnOff:
		return !t.days.working(day)
	case t.On == engine.OnHoliday:
		return t.days.holiday(day)
	}
	return inWeek && !t.days.holiday(day)
}

// ofDay are the hours of a day, be they meant on it or not; those over midnight
// end on the next.
func (t times) ofDay(day time.Time) (from, until time.Time) {
	y, m, d := day.Date()
	a, b := minutes(t.From, 0), minutes(t.Until, 24*60)
	if b <= a {
		b += 24 * 60
	}
	return time.Date(y, m, d, 0, a, 0, 0, t.zone), time.Date(y, m, d, 0, b, 0, 0, t.zone)
}

// asked tells whether the goal is meant at an instant.
func (t times) asked(at time.Time) bool {
	if t.Hours == nil {
		return true
	}
	day := at.In(t.zone)
	for range 2 { // over midnight: the hours after it belong to the day before
		if from, until := t.ofDay(day); !at.Before(from) && at.Before(until) && t.on(day) {
			return true
		}
		day = day.AddDate(0, 0, -1)
	}
	return false
}

// spans are the times from … until that the goal is meant in, in order.
func (t times) spans(from, until time.Time) iter.Seq2[time.Time, time.Time] {
	return func(yield func(time.Time, time.Time) bool) {
		if t.Hours == nil {
			if from.Before(until) {
				yield(from, until)
			}
			return
		}
		for day := from.In(t.zone).AddDate(0, 0, -1); ; day = day.AddDate(0, 0, 1) {
			a, b := t.ofDay(day)
			if !a.Before(until) {
				return
			}
			if a, b = later(a, from), earlier(b, until); a.Before(b) && t.on(day) && !yield(a, b) {
				return
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// meets tells whether two goals can be meant at the same time within a year.
func meets(a, b times, now time.Time) bool {
	for from, until := range a.spans(now, now.AddDate(1, 0, 0)) {
		for range b.spans(from, until) {
			return true
		}
	}
	return false
}

// unpublished says that the public holidays of the year are not in the calendar;
// empty where they are, or do not matter.
func (t times) unpublished(now time.Time) kind.Text {
	if t.Hours == nil || t.On == "" || t.days.cal == nil || t.days.years[now.In(t.zone).Year()] {
		return kind.Text{}
	}
	return unlisted(t.On, []int{now.In(t.zone).Year()})
}

// unlisted says what becomes of years of which the calendar has no date.
func unlisted(on string, years []int) kind.Text {
	var list []string
	for _, y := range years {
		list = append(list, strconv.Itoa(y))
	}
	zh := strings.Join(list, "、") + " 年的节假日安排没有收录，"
	en := "the public holidays of " + strings.Join(list, " and ") + " are not in the calendar: "
	switch on {
	case engine.OnHoliday:
		return kind.T(zh+"不计法定节假日", en+"none is counted")
	case engine.ButNotHoliday:
		return kind.T(zh+"不扣除", en+"none is left out")
	}
	return kind.T(zh+"按每周的工作日计", en+"counted by the week alone")
}

// take says by which calendar the days of goals are told, and which years it has.
func (w *world) takeCalendar(r *reader, now time.Time) {
	seen := map[string]bool{}
	for _, g := range r.out.Goals {
		if g.Hours == nil || g.Hours.On == "" || seen[g.Hours.On] {
			continue
		}
		seen[g.Hours.On] = true
		if f := w.days.fault; f.ZH != "" {
			r.unclear(0, len(r.sentence), kind.T("工作日历“"+w.days.name+"”不能用："+f.ZH, "The calendar “"+w.days.name+"” cannot be used: "+f.EN))
			continue
		}
		what := map[string]kind.Text{
			engine.OnWorking:     kind.T("工作日含调休上班日，不含法定节假日", "working days are those of the week and make-up days, public holidays left out"),
			engine.OnOff:         kind.T("休息日是周末与法定节假日，调休上班日除外", "days off are weekends and public holidays, make-up working days left out"),
			engine.OnHoliday:     kind.T("法定节假日含其中的周末，不含调休上班日", "public holidays hold the weekends within them, and no make-up working day"),
			engine.ButNotHoliday: kind.T("扣除法定节假日", "public holidays are left out"),
		}[g.Hours.On]
		years := slices.Sorted(maps.Keys(w.days.years))
		zh, en := "还没有任何一年", "no year yet"
		if n := len(years); n > 0 {
			zh = fmt.Sprintf("%d–%d 年", years[0], years[n-1])
			en = fmt.Sprintf("%d–%d", years[0], years[n-1])
		}
		zone := w.days.cal.Zone.String()
		r.take(what.ZH+"：按工作日历“"+w.days.name+"”（收录"+zh+"，时区 "+zone+"）", what.EN+": by the calendar “"+w.days.name+"” (it has "+en+", time zone "+zone+")")
		var missing []int
		for _, y := range []int{now.In(w.days.cal.Zone).Year(), now.In(w.days.cal.Zone).Year() + 1} {
			if !w.days.years[y] {
				missing = append(missing, y)
			}
		}
		if len(missing) > 0 {
			t := unlisted(g.Hours.On, missing)
			r.take(t.ZH+"；国务院发布后可在工作日历里补上", t.EN+"; once published they can be added to the calendar")
		}
	}
}
