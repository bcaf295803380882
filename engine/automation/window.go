package automation

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

func validWindow(w *engine.RunWindow) error {
	if w.Calendar == "" && w.From == "" {
		return badRunbook("window", "时间窗要有 calendar 或 from 与 to。", "a window has a calendar, or from and to.")
	}
	if w.Calendar != "" && !record.ValidID(w.Calendar) {
		return badRunbook("window.calendar", "应为工作日历的编号。", "it must be the id of a calendar.")
	}
	if (w.From == "") != (w.To == "") {
		return badRunbook("window", "from 与 to 要一起写。", "from and to go together.")
	}
	for _, s := range []string{w.From, w.To} {
		if _, err := time.Parse("15:04", s); s != "" && err != nil {
			return badRunbook("window", "时间应写作 22:00。", "a time of day reads 22:00.")
		}
	}
	if _, err := time.LoadLocation(w.Zone); err != nil {
		return badRunbook("window.zone", "时区不存在："+w.Zone, "there is no time zone "+w.Zone)
	}
	return nil
}

// heldUntil gives when the window is open next: now or earlier where it is open.
// Errors: Conflict where its calendar does not exist or is never open.
func (e *Engine) heldUntil(ctx context.Context, h *loop.Handle, w *engine.RunWindow) (time.Time, error) {
	now := h.Clock().Now()
	if w == nil {
		return now, nil
	}
	at := now
	// Calendar and hours may push each other on; a year of that means never.
	for range 400 {
		was := at
		if w.Calendar != "" {
			c, err := readCalendar(ctx, h, w.Calendar)
			if err != nil {
				return at, err
			}
			if at = c.Add(at, 0); at.IsZero() {
				break
			}
		}
		if at = opens(w, at); at.Equal(was) {
			return at, nil
		}
	}
	return now, errs.E(errs.Conflict, "window", w.Calendar, "时间窗一年内都不会打开；请检查日历与时段。", "The window does not open within a year; check its calendar and hours.")
}

// opens is the first instant from t on within the hours of a window.
func opens(w *engine.RunWindow, t time.Time) time.Time {
	if w.From == "" {
		return t
	}
	zone := time.Local
	if z, err := time.LoadLocation(w.Zone); err == nil && w.Zone != "" {
		zone = z
	}
	local := t.In(zone)
	clockOf := func(s string) int {
		c, err := time.Parse("15:04", s)
		if err != nil {
			return 0 // Validate has refused it
		}
		return c.Hour()*60 + c.Minute()
	}
	from, to, now := clockOf(w.From), clockOf(w.To), local.Hour()*60+local.Minute()
	open := now >= from && now < to
	if to <= from { // over midnight
		open = now >= from || now < to
	}
	if open {
		return t
	}
	next := time.Date(local.Year(), local.Month(), local.Day(), 0, from, 0, 0, zone)
	if next.Before(local) {
		next = time.Date(local.Year(), local.Month(), local.Day()+1, 0, from, 0, 0, zone)
	}
	return next
}

func readCalendar(ctx context.Context, h *loop.Handle, id string) (*calendar.Calendar, error) {
	rec, there, err := h.Read(ctx, record.Key{Kind: kernel.CalendarKind, ID: id})
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, errs.E(errs.Conflict, "calendar", id, "工作日历 "+id+" 不存在，请系统管理员先建立。", "The calendar "+id+" does not exist; ask the system administrator to create it.")
	}
	var d calendar.Data
	if err := json.Unmarshal(rec.Data, &d); err != nil {
		return nil, errs.Wrap("calendar", id, err)
	}
	return calendar.Parse(d)
}
