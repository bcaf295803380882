package data

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/series"
)

// Datasets makes data sets of their records.
type Datasets struct {
	Series series.Store // set before the loops run
}

// draft is a record of engine.DatasetKind as far as it is cut and labelled.
type draft struct {
	Former  string `json:"former"`
	Columns []struct {
		Name, Expr string
		Min, Max   json.Number // decimals
	} `json:"columns"`
	From   time.Time             `json:"from"`
	Until  time.Time             `json:"until"`
	Step   string                `json:"step"`
	Labels []engine.DatasetLabel `json:"labels"`
}

func (d draft) cut() (Cut, error) {
	step, err := calendar.ParseLength(d.Step)
	if err != nil {
		return Cut{}, err
	}
	c := Cut{From: d.From, Until: d.Until, Step: kind.Days(step.Days) + step.Rest}
	for _, col := range d.Columns {
		least, _ := strconv.ParseFloat(string(col.Min), 64) // decimals, or absent
		most, _ := strconv.ParseFloat(string(col.Max), 64)
		c.Columns = append(c.Columns, Column{Name: col.Name, Expr: col.Expr, Min: least, Max: most})
	}
	return c, nil
}

// Loop freezes the data sets that people have finished, as soon as their time is
// over. What cannot be cut goes back to a draft, with the reason.
func (d *Datasets) Loop() loop.Loop {
	return loop.Loop{
		Name: "data-sets", Title: kind.T("数据集定版", "Freezing data sets"),
		Watch: []loop.Watch{{Kind: engine.DatasetKind, States: []string{engine.Freezing}}},
		Look: func(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
			set, there, err := h.Read(ctx, key)
			if err != nil || !there || set.State != engine.Freezing {
				return 0, err
			}
			var x draft
			if err := json.Unmarshal(set.Data, &x); err != nil {
				return 0, errs.Wrap("freeze", key.String(), err)
			}
			if wait := x.Until.Sub(h.Clock().Now()); wait >= 0 {
				return wait + time.Millisecond, nil
			}
			err = d.Freeze(ctx, h, set)
			switch errs.KindOf(err) {
			case errs.Invalid, errs.TooLarge, errs.Conflict, errs.NotFound:
				if err != nil {
					return 0, h.Say(ctx, set, engine.Reject, map[string]any{"message": errs.Sentence(err, "zh") + "\n\n" + errs.Sentence(err, "en")})
				}
			}
			return 0, err
		},
	}
}

// Freeze cuts a data set in the state Draft or Freezing, keeps its content, and
// says what it is made of, its labels (those it has, and those of incidents of
// its time), its digest and its quality. The version before it becomes Outdated.
// Doing it again changes nothing.
//
// Conflict where its time is not over or nothing was measured in it; Invalid or
// TooLarge as Cut.Make; otherwise the errors of the stores.
func (d *Datasets) Freeze(ctx context.Context, h *loop.Handle, set record.Record) error {
	const op = "freeze"
	var x draft
	if err := json.Unmarshal(set.Data, &x); err != nil {
		return errs.Wrap(op, set.Key.String(), err)
	}
	if !x.Until.Before(h.Clock().Now()) {
		return errs.E(errs.Conflict, op, set.Key.String(), "数据集的时段还没有结束，到 "+x.Until.Format(time.RFC3339)+" 之后才能定版。", "The time of the data set is not over: it can be frozen after "+x.Until.Format(time.RFC3339)+".")
	}
	c, err := x.cut()
	if err != nil {
		return errs.Wrap(op, set.Key.String(), err)
	}
	table, err := c.Make(ctx, d.Series)
	if err != nil {
		return err
	}
	labels, lineage, err := incidents(ctx, h, x, table)
	if err != nil {
		return err
	}
	quality := Quality(table, labels, h.Clock().Now())
	if quality.Completeness == 0 {
		return errs.E(errs.Conflict, op, set.Key.String(), "这个时段里没有测到任何值；请检查查询和时段。", "Nothing was measured in that time; check the expressions and the time.")
	}
	input := map[string]any{
		"labels": labels, "rows": len(table.Times), "digest": Digest(table, labels), "quality": told(quality), "message": nil,
	}
	if blobs := h.Kernel().Blobs(); blobs != nil {
		address, _, err := blobs.Put(ctx, bytes.NewReader(table.CSV()), 0)
		if err != nil {
			return errs.Wrap(op, set.Key.String(), err)
		}
		input["content"] = address
	}
	for _, col := range table.Columns {
		lineage = append(lineage, cutText(col.Name+" = "+col.Expr, maxLineage))
	}
	if x.Former != "" {
		lineage = append(lineage, x.Former)
	}
	slices.Sort(lineage)
	input["lineage"] = slices.Compact(lineage)
	if err := h.Say(ctx, set, engine.Freeze, input); err != nil {
		return err
	}
	key, ok := record.ParseKey(x.Former)
	if !ok {
		return nil
	}
	former, there, err := h.Read(ctx, key)
	if err != nil || !there || former.State != engine.Frozen {
		return err
	}
	return h.Say(ctx, former, engine.Supersede, nil)
}

// maxLineage bounds a line of lineage, in bytes.
const maxLineage = 200

func cutText(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// told writes a quality as decimals of four places.
func told(q engine.DatasetQuality) map[string]any {
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	return map[string]any{"completeness": f(q.Completeness), "consistency": f(q.Consistency), "freshness": f(q.Freshness), "range": f(q.Range), "score": f(q.Score)}
}

// maxIncidents bounds how many incidents label one set, the newest first.
const maxIncidents = 1000

// incidents adds to the labels of a set those of what happened in its time to the
// things it is about: the time from detection to recovery, under the failure
// mode whose remedy worked, else as "incident". The labels are ordered by time.
func incidents(ctx context.Context, h *loop.Handle, x draft, table Table) (labels []engine.DatasetLabel, lineage []string, err error) {
	labels = slices.DeleteFunc(slices.Clone(x.Labels), func(l engine.DatasetLabel) bool { return l.By != engine.ByPerson })
	for _, l := range labels {
		if l.Source != "" {
			lineage = append(lineage, l.Source)
		}
	}
	q := search.Query{Kind: engine.IncidentKind, Limit: 200}
	where := fmt.Sprintf("detected=ge%s&detected=le%s", x.From.UTC().Format(time.RFC3339), x.Until.UTC().Format(time.RFC3339))
	if q.Where, err = h.Kernel().Parser().Query(engine.IncidentKind, where); err != nil {
		if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Invalid) {
			return labels, lineage, nil // no incidents are kept in this house
		}
		return nil, nil, err
	}
	for n := 0; n < maxIncidents; {
		page, err := h.Kernel().Search(ctx, h.Principal(), q)
		if err != nil {
			return nil, nil, errs.Wrap("freeze", "incidents", err)
		}
		for _, rec := range page.Records {
			n++
			var t engine.Trouble
			if err := json.Unmarshal(rec.Data, &t); err != nil {
				return nil, nil, errs.Wrap("freeze", rec.Key.String(), err)
			}
			if found := happened(rec.Key.String(), t, x, table); len(found) > 0 {
				labels, lineage = append(labels, found...), append(lineage, rec.Key.String())
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	slices.SortStableFunc(labels, func(a, b engine.DatasetLabel) int {
		return cmp.Or(a.From.Compare(b.From), a.Until.Compare(b.Until), strings.Compare(a.Name, b.Name), strings.Compare(a.Thing, b.Thing))
	})
	return labels, lineage, nil
}

// happened are the labels of one incident.
func happened(source string, t engine.Trouble, x draft, table Table) (out []engine.DatasetLabel) {
	for _, o := range t.Occurrences {
		until := x.Until
		if o.VerifiedAt != nil && o.VerifiedAt.Before(until) {
			until = *o.VerifiedAt
		}
		if o.DetectedAt.Before(x.From) || o.DetectedAt.After(until) {
			continue
		}
		about := strings.TrimPrefix(t.About, engine.ThingKind+"/")
		l := engine.DatasetLabel{From: o.DetectedAt, Until: until, Thing: about, Name: "incident", By: engine.ByIncident, Source: source}
		for _, try := range t.Tries {
			if try.State == engine.TryWorked && !try.At.Before(o.DetectedAt) && !try.At.After(until) {
				l.Thing, l.Name, l.By = try.Thing, try.Mode, engine.ByRemedy
			}
		}
		if mentioned(table, l.Thing) || slices.ContainsFunc(t.Things, func(id string) bool { return mentioned(table, id) }) {
			if !mentioned(table, l.Thing) {
				l.Thing = "" // seen in the set by what stands on it
			}
			out = append(out, l)
		}
	}
	return out
}

// mentioned tells whether a table is about a thing: a column is its own, or asks
// for it by name.
func mentioned(t Table, thing string) bool {
	return thing != "" && slices.ContainsFunc(t.Columns, func(c Column) bool {
		return strings.HasPrefix(c.Name, thing+"|") || strings.Contains(c.Expr, strconv.Quote(thing))
	})
}
