package loop

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/lifecycle"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Clock is the loop behind every declared time limit: it makes reminders before
// the end, says the declared verb at the end or calls a person, and settles
// what it asked for once the record has moved on.
func Clock(k *kernel.Kernel) (l Loop, needed bool) {
	l = Loop{
		Name: "clock", Title: kind.T("时限：提醒、到期动作与超时", "Time limits: reminders, actions at the end, overruns"),
		Look: lookAtClock, Workers: 2, PerSecond: 500,
	}
	for _, decl := range k.Registry().Kinds() {
		if decl.Lifecycle == nil {
			continue
		}
		if states := limitedStates(decl.Lifecycle); len(states) > 0 {
			l.Watch = append(l.Watch, Watch{Kind: decl.Name, States: states})
		}
	}
	return l, len(l.Watch) > 0
}

// limitedStates keeps the states with a limit and those a verb leads to from
// one: that is where a clock may have to be started, rung or settled.
func limitedStates(l *kind.Lifecycle) []string {
	var out []string
	for _, state := range l.States {
		keep := state.Limit != nil
		for i := range l.States {
			if l.States[i].Limit == nil {
				continue
			}
			for _, v := range lifecycle.Verbs(l, l.States[i].Name) {
				keep = keep || v.To == state.Name
			}
		}
		if keep {
			out = append(out, state.Name)
		}
	}
	return out
}

func lookAtClock(ctx context.Context, h *Handle, key record.Key) (time.Duration, error) {
	r, there, err := h.Read(ctx, key)
	if err != nil {
		return 0, err
	}
	decl := h.Kernel().Registry().Find(key.Kind)
	if decl == nil {
		return 0, nil
	}
	stay := ""
	if there {
		stay = strconv.FormatInt(r.EnteredAt.UnixMilli(), 10)
	}
	if err := settle(ctx, h, key, r.NextAt.IsZero(), stay); err != nil {
		return 0, err
	}
	if !there || r.NextAt.IsZero() {
		return 0, nil
	}
	s := decl.Lifecycle.State(r.State)
	if s == nil || s.Limit == nil {
		return 0, nil
	}
	now := h.Clock().Now()
	var next time.Time
	who := s.Limit.Who
	if who == "" {
		who = kernel.RoleSystemAdmin
	}
	name := title(decl, r)
	for i, at := range lifecycle.Reminders(s, r.NextAt) {
		if at.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		if now.Before(r.NextAt) {
			err := h.Call(ctx, Task{
				Title: "提醒：" + decl.Title.ZH + " " + name + "“" + s.Title.ZH + "”即将到期",
				Text: "期限 " + stamp(r.NextAt) + "。" + s.Limit.Rule.ZH + "\n\n" +
					"Reminder: " + decl.Title.EN + " " + name + " must leave “" + s.Title.EN + "” by " + stamp(r.NextAt) + ". " + s.Limit.Rule.EN,
				Role: who, About: key.String(), Cause: "reminder",
			}, "reminder", key.String(), stay, strconv.Itoa(i), strconv.FormatInt(r.NextAt.UnixMilli(), 10))
			if err != nil {
				return 0, err
			}
		}
	}
	if r.NextAt.After(now) {
		if next.IsZero() || r.NextAt.Before(next) {
			next = r.NextAt
		}
		return next.Sub(now), nil
	}
	if s.Limit.Then != "" {
		err := h.Say(ctx, r, s.Limit.Then, nil)
		if err == nil {
			return 0, nil
		}
		if now, ok, e := h.Read(ctx, key); e == nil && (!ok || now.Version != r.Version) {
			return 0, nil // moved meanwhile: the feed brings it back
		}
		if !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.Invalid) {
			return 0, err
		}
		return 0, h.Call(ctx, Task{
			Title: "到期动作被拒绝：" + decl.Title.ZH + " " + name,
			Text:  errs.Sentence(err, "zh") + "\n\n" + errs.Sentence(err, "en"),
			Role:  who, About: key.String(), Cause: "refused",
		}, "refused", key.String(), strconv.FormatInt(r.Version, 10))
	}
	return 0, h.Call(ctx, Task{
		Title: "超时：" + decl.Title.ZH + " " + name + "仍为“" + s.Title.ZH + "”",
		Text: "期限为 " + stamp(r.NextAt) + "。" + s.Limit.Rule.ZH + "\n\n" +
			"Overdue: " + decl.Title.EN + " " + name + " is still “" + s.Title.EN + "”; the limit was " + stamp(r.NextAt) + ". " + s.Limit.Rule.EN,
		Role: who, About: key.String(), Cause: "overdue",
	}, "overdue", key.String(), stay)
}

// settle ends the reminders and overruns of a stay in a state that is over.
// Those of the present stay are kept: their time of creation is not before it.
func settle(ctx context.Context, h *Handle, key record.Key, noLimit bool, stay string) error {
	about := search.Clause{Param: "about", Any: []search.Value{{Ref: key}}}
	open := search.Clause{Param: search.ParamState, Any: []search.Value{{AnySystem: true, Code: "open"}, {AnySystem: true, Code: "claimed"}}}
	cause := search.Clause{Param: "cause", Any: []search.Value{{AnySystem: true, Code: "reminder"}, {AnySystem: true, Code: "overdue"}}}
	page, err := h.Kernel().Search(ctx, h.principal, search.Query{Kind: kernel.TaskKind, Where: []search.Clause{about, open, cause}, Limit: 100})
	if err != nil {
		return err
	}
	entered, _ := strconv.ParseInt(stay, 10, 64)
	for _, t := range page.Records {
		if !noLimit && t.CreatedAt.UnixMilli() >= entered {
			continue
		}
		if err := h.Say(ctx, t, "settle", map[string]any{"result": "记录已继续流转。 The record has moved on."}); err != nil && !errs.Is(err, errs.Conflict) {
			return err
		}
	}
	return nil
}

// title is what people call a record.
func title(decl *kind.Kind, r record.Record) string {
	var doc map[string]any
	if err := json.Unmarshal(r.Data, &doc); err == nil {
		if s, ok := doc[decl.View.TitleField].(string); ok && s != "" {
			return "“" + s + "”"
		}
	}
	return r.ID
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
