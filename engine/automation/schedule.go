package automation

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// Cron is a time by minute, hour, day, month and weekday, as crontab(5) of
// POSIX.1-2017 has it: numbers, ranges, lists, steps and *. Where both day and
// weekday are limited, either will do.
type Cron struct {
	minute, hour, day, month, week uint64 // bit n: the value n
	anyDay, anyWeek                bool
}

// ParseCron reads five fields. Invalid naming the field.
func ParseCron(s string) (Cron, error) {
	var c Cron
	f := strings.Fields(s)
	if len(f) != 5 {
		return c, badCron(s)
	}
	for i, p := range []struct {
		into   *uint64
		lo, hi int
	}{{&c.minute, 0, 59}, {&c.hour, 0, 23}, {&c.day, 1, 31}, {&c.month, 1, 12}, {&c.week, 0, 7}} {
		bits, ok := cronField(f[i], p.lo, p.hi)
		if !ok {
			return c, badCron(f[i])
		}
		*p.into = bits
	}
	if c.week&(1<<7) != 0 { // 7 is Sunday too
		c.week |= 1
	}
	c.anyDay, c.anyWeek = f[2] == "*", f[4] == "*"
	return c, nil
}

func badCron(s string) error {
	return errs.E(errs.Invalid, "schedule", s, "时间写法不对："+s+"；应为“分 时 日 月 星期”，例如 30 2 * * 1-5。", "The time "+s+" is wrong; it is minute, hour, day, month and weekday, such as 30 2 * * 1-5.").At("cron")
}

func cronField(s string, lo, hi int) (bits uint64, ok bool) {
	for one := range strings.SplitSeq(s, ",") {
		span, stepText, stepped := strings.Cut(one, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || n > hi {
				return 0, false
			}
			step = n
		}
		from, to := lo, hi
		if span != "*" {
			a, b, ranged := strings.Cut(span, "-")
			var err error
			if from, err = strconv.Atoi(a); err != nil {
				return 0, false
			}
			switch {
			case ranged:
				if to, err = strconv.Atoi(b); err != nil {
					return 0, false
				}
			case !stepped:
				to = from
			}
		}
		if from < lo || to > hi || from > to {
			return 0, false
		}
		for v := from; v <= to; v += step {
			bits |= 1 << v
		}
	}
	return bits, true
}

// Next is the first such minute after t, in t's zone; the zero time where there
// is none in five years, as for 30 February. A time that the clocks skip in
// spring happens at the first minute after the gap.
func (c Cron) Next(t time.Time) time.Time {
	zone := t.Location()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone)
	for range 5 * 366 {
		if c.on(day) {
			for h := range 24 {
				if c.hour&(1<<h) == 0 {
					continue
				}
				for m := range 60 {
					if c.minute&(1<<m) == 0 {
						continue
					}
					if at := time.Date(day.Year(), day.Month(), day.Day(), h, m, 0, 0, zone); at.After(t) {
						return at
					}
				}
			}
		}
		day = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, zone)
	}
	return time.Time{}
}

func (c Cron) on(d time.Time) bool {
	if c.month&(1<<int(d.Month())) == 0 {
		return false
	}
	day, week := c.day&(1<<d.Day()) != 0, c.week&(1<<int(d.Weekday())) != 0
	if !c.anyDay && !c.anyWeek {
		return day || week
	}
	return day && week
}

// scheduleData is the data of a run-schedule record.
type scheduleData struct {
	Name     string         `json:"name"`
	Runbook  string         `json:"runbook"`
	Inputs   map[string]any `json:"inputs,omitempty"`
	Cron     string         `json:"cron"`
	Zone     string         `json:"zone"`
	Calendar string         `json:"calendar,omitempty"`
	Late     string         `json:"late,omitempty"`
	Last     *time.Time     `json:"last,omitempty"`
}

const schedulesName = "run-schedules"

// Schedules declares the loop that orders runs by the clock.
func (e *Engine) Schedules() loop.Loop {
	return loop.Loop{
		Name: schedulesName, Title: kind.T("按时间执行处置手册", "Orders runs by the clock"),
		Watch: []loop.Watch{{Kind: engine.RunScheduleKind, States: []string{"active"}}},
		Look:  e.lookAtSchedule,
	}
}

// lookAtSchedule orders the run that is due, once, and waits for the next. Of
// several that were missed, the latest alone is made up for, and only while it is
// not too late: ten backups at once help nobody.
func (e *Engine) lookAtSchedule(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there || rec.State != "active" {
		return 0, err
	}
	var d scheduleData
	if err := json.Unmarshal(rec.Data, &d); err != nil {
		return 0, errs.Wrap("schedule", key.String(), err)
	}
	tell := func(err error) error {
		return say(ctx, h, rec, "fire", map[string]any{"message": both(err)})
	}
	cron, err := ParseCron(d.Cron)
	var zone *time.Location
	if err == nil {
		if zone, err = time.LoadLocation(d.Zone); err != nil {
			err = errs.E(errs.Invalid, "schedule", d.Zone, "时区不存在："+d.Zone, "There is no time zone "+d.Zone+".")
		}
	}
	if err != nil {
		if strings.Contains(string(rec.Data), "message") && rec.Mark.Verb == "fire" {
			return 0, nil // said already
		}
		return 0, tell(err)
	}
	now := h.Clock().Now().In(zone)
	since := rec.EnteredAt // resumed: what was due while it was paused stays undone
	if d.Last != nil && d.Last.After(since) {
		since = *d.Last
	}
	late := time.Hour
	if l, err := calendar.ParseLength(d.Late); err == nil {
		late = time.Duration(l.Days)*24*time.Hour + l.Rest
	}
	if floor := now.Add(-late - time.Minute); since.Before(floor) {
		since = floor // what is older is too late anyway, and need not be counted through
	}
	var due time.Time
	next := cron.Next(since.In(zone))
	for !next.IsZero() && !next.After(now) {
		due, next = next, cron.Next(next)
	}
	facts := map[string]any{"next": nil, "message": nil}
	if !next.IsZero() {
		facts["next"] = next.UTC()
	}
	if !due.IsZero() {
		open := true
		if d.Calendar != "" {
			cal, _ := record.ParseKey(d.Calendar)
			c, err := readCalendar(ctx, h, cal.ID)
			if err != nil {
				return 0, err
			}
			open = c.Add(due, 0).Equal(due)
		}
		if open && now.Sub(due) <= late {
			_, err := Order(ctx, h.Kernel(), h.Principal(), engine.RunOrder{
				Runbook: d.Runbook, Inputs: d.Inputs, Because: key.String(), Why: "定时：" + d.Name,
			}, key.String(), strconv.FormatInt(due.Unix(), 10))
			if err != nil && errs.KindOf(err) != errs.Conflict && errs.KindOf(err) != errs.Invalid {
				return 0, err
			}
			if err != nil {
				facts["message"] = both(err)
			}
		}
		facts["last"] = due.UTC()
	}
	if !due.IsZero() || rec.Mark.Verb != "fire" {
		if err := say(ctx, h, rec, "fire", facts); err != nil {
			return 0, err
		}
	}
	if next.IsZero() {
		return 0, nil
	}
	return max(next.Sub(h.Clock().Now()), time.Millisecond), nil
}
