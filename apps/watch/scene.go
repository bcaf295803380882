package watch

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// quiet is engine.Quiet: occurrences closer than this belong to one incident.
var quiet = func() time.Duration {
	d, err := time.ParseDuration(engine.Quiet)
	if err != nil {
		panic(err) // a constant of this program is wrong
	}
	return d
}()

// maxOccurrences bounds one incident record; the next occurrence begins another.
const maxOccurrences = 200

// scene is a service and its newest incident as one transaction sees them. A
// step changes the data, says the verbs, and both are written together or not at
// all: a service is never down without its occurrence, whenever we are killed.
type scene struct {
	rec      record.Record
	svc      service
	inc      *record.Record // nil where there never was one
	incident *incident

	serviceVerb  string
	incidentVerb string
	create       bool // the incident is to be created
}

// current is the occurrence of the present failure; nil where there is none.
func (s *scene) current() *occurrence {
	o := s.incident.last()
	if o == nil || s.svc.DownSince == nil || !o.DetectedAt.Equal(s.svc.DownSince.Time) {
		return nil
	}
	return o
}

// begin adds an occurrence for a failure detected at t: to the newest incident
// where that is not over or was quiet for less than Quiet, else to a new one.
func (s *scene) begin(t instant) {
	o := occurrence{DetectedAt: t}
	if last := s.incident.last(); last != nil && len(s.incident.Occurrences) < maxOccurrences {
		former := last.DetectedAt
		if last.VerifiedAt != nil {
			former = *last.VerifiedAt
		}
		switch s.inc.State {
		case engine.Open, engine.Escalated, engine.Acknowledged:
			s.incidentVerb = engine.Note
		default:
			if t.Sub(former.Time) < quiet {
				s.incidentVerb = engine.Reopen
			}
		}
	}
	if s.incidentVerb == "" {
		s.create = true
		s.incident = &incident{Service: s.svc.Name, About: s.rec.Key.String()}
	}
	s.incident.Occurrences = append(s.incident.Occurrences, o)
	s.incident.Times = len(s.incident.Occurrences)
}

// step runs f on the scene of a service in one transaction and writes what it
// decided. f must only read and change the scene; it may run more than once.
// state is the service's afterwards.
func step(ctx context.Context, h *loop.Handle, key record.Key, f func(s *scene)) (state string, err error) {
	k, p := h.Kernel(), h.Principal()
	err = k.Transact(ctx, p, store.Person, []record.Key{key}, func(t *kernel.Txn) error {
		s, err := readScene(key, t.Get, t.Search)
		if err != nil {
			return err
		}
		f(s)
		state = s.rec.State
		changes, err := s.changes()
		if err != nil {
			return err
		}
		for _, c := range changes {
			pr, err := k.Prepare(ctx, p, c)
			if err != nil {
				return err
			}
			rec, err := t.Apply(pr)
			if err != nil {
				return err
			}
			if c.Key == key {
				state = rec.State
			}
		}
		return nil
	})
	return state, err
}

// peek reads the scene without writing. Between its two reads a person may have
// moved the incident: decide by it what to look at, and in a step what to do.
func peek(ctx context.Context, h *loop.Handle, key record.Key) (*scene, error) {
	return readScene(key,
		func(key record.Key) (record.Record, error) { return h.Kernel().Read(ctx, h.Principal(), key) },
		func(q search.Query) (search.Page, error) { return h.Kernel().Search(ctx, h.Principal(), q) })
}

func readScene(key record.Key, get func(record.Key) (record.Record, error), find func(search.Query) (search.Page, error)) (*scene, error) {
	rec, err := get(key)
	if err != nil {
		return nil, err
	}
	s := &scene{rec: rec}
	if err := json.Unmarshal(rec.Data, &s.svc); err != nil {
		return nil, errs.Wrap("read service", key.String(), err)
	}
	page, err := find(search.Query{Kind: incidentKind, Limit: 1, Where: []search.Clause{{Param: "about", Any: []search.Value{{Ref: key}}}}})
	if err != nil || len(page.Records) == 0 {
		return s, err
	}
	s.inc, s.incident = &page.Records[0], &incident{}
	return s, errs.Wrap("read incident", s.inc.Key.String(), json.Unmarshal(s.inc.Data, s.incident))
}

func (s *scene) changes() ([]kernel.Change, error) {
	var out []kernel.Change
	if s.serviceVerb != "" {
		c, err := say(s.rec.Key, s.rec.Version, s.serviceVerb, s.svc.learnt)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	switch {
	case s.create:
		data, err := json.Marshal(s.incident)
		if err != nil {
			return nil, errs.Wrap("incident", s.rec.Key.String(), err)
		}
		id := loop.DerivedID("incident", s.rec.ID, s.incident.last().DetectedAt.Format(time.RFC3339Nano))
		out = append(out, kernel.Change{Op: record.Create, Key: record.Key{Kind: incidentKind, ID: id}, Data: data})
	case s.incidentVerb != "":
		c, err := say(s.inc.Key, s.inc.Version, s.incidentVerb, map[string]any{"occurrences": s.incident.Occurrences, "times": s.incident.Times})
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func say(key record.Key, version int64, verb string, input any) (kernel.Change, error) {
	data, err := json.Marshal(input)
	return kernel.Change{Op: record.Verb, Key: key, Expect: version, Verb: verb, Data: data}, errs.Wrap("say", verb, err)
}
