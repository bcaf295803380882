package data

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Entry is a thing of the ledger as discovery needs it.
type Entry struct {
	engine.Thing
	Version      int64
	MissingSince time.Time // zero: it answered the last good sweep
}

// Proposal is one change discovery would make to the ledger.
type Proposal struct {
	Thing   engine.Thing // with its id; a new one gets an id derived from what recognises it
	Version int64        // of the record to note it at; 0: a new thing
	Missing time.Time    // set: since when it does not answer; of a known thing only
	Because string       // key by which a known thing was recognised, "address" or "missing"; empty of a new one
}

// goodSweep is the share of the known things in a range that must answer for the
// others to be called missing. Below it the sweep is taken to be at fault: a
// cable, a firewall, a password that was changed everywhere.
const goodSweep = 0.5

// Reconcile compares a sweep with the ledger. Whatever the sweep, nothing is
// deleted, retired or renamed, and what a person dismissed or retired is not
// proposed again. Each known thing is recognised by its strong keys first, then
// by its name and its address; one is never recognised twice.
//
// Things are missing only by a sweep that is complete, that could ask, and in
// which at least half of what is known in the ranges answered.
func Reconcile(ledger []Entry, swept Swept, ranges []netip.Prefix) []Proposal {
	byKey, byAddress := map[string]int{}, map[string]int{}
	for i, e := range ledger {
		for _, k := range e.Keys {
			byKey[k] = i
		}
		if e.Address != "" {
			byAddress[e.Address] = i
		}
	}
	seen := map[int]bool{}
	fresh := map[string]bool{}
	var out []Proposal
	for _, f := range swept.Found {
		i, because := recognise(f, ledger, byKey, byAddress)
		if because == "" || seen[i] {
			if because == "" {
				t := engine.Thing{Name: f.Name, Class: f.Class, Address: f.Address, Labels: f.Labels, Keys: f.Keys, State: engine.Proposed}
				if t.ID = newID(f); !fresh[t.ID] {
					fresh[t.ID] = true
					out = append(out, Proposal{Thing: t})
				}
			}
			continue // a second address of a thing: its first one stays
		}
		seen[i] = true
		e := ledger[i]
		if e.State == engine.Dismissed || e.State == engine.Retired {
			continue
		}
		t, changed := e.Thing, !e.MissingSince.IsZero()
		if t.Address != f.Address && because != "address" {
			t.Address, changed = f.Address, true
		}
		for _, k := range f.Keys {
			if _, taken := byKey[k]; !taken {
				t.Keys, changed = append(slices.Clone(t.Keys), k), true
				byKey[k] = i
			}
		}
		labels := maps.Clone(t.Labels)
		for name, v := range f.Labels {
			if labels[name] != v {
				if labels == nil {
					labels = map[string]string{}
				}
				labels[name], changed = v, true
			}
		}
		t.Labels = labels
		if changed {
			out = append(out, Proposal{Thing: t, Version: e.Version, Because: because})
		}
	}
	return append(out, missing(ledger, seen, swept, ranges)...)
}

func missing(ledger []Entry, seen map[int]bool, swept Swept, ranges []netip.Prefix) (out []Proposal) {
	if !swept.Complete || swept.Refused > 0 {
		return nil
	}
	known, answered := 0, 0
	for i, e := range ledger {
		if e.State != engine.Confirmed && e.State != engine.Proposed || !within(e.Address, ranges) {
			continue
		}
		if known++; seen[i] {
			answered++
		} else if e.MissingSince.IsZero() {
			out = append(out, Proposal{Thing: e.Thing, Version: e.Version, Missing: swept.Began, Because: "missing"})
		}
	}
	if float64(answered) < goodSweep*float64(known) {
		return nil
	}
	return out
}

func within(address string, ranges []netip.Prefix) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// recognise finds the thing of the ledger that was found; because is empty where
// there is none.
func recognise(f Found, ledger []Entry, byKey, byAddress map[string]int) (i int, because string) {
	for _, strong := range []bool{true, false} {
		for _, k := range f.Keys {
			if strings.HasPrefix(k, "name:") == strong {
				continue
			}
			if i, there := byKey[k]; there {
				return i, k
			}
		}
	}
	i, there := byAddress[f.Address]
	if !there {
		return 0, ""
	}
	// Another device took over the address of one that is known by other strong
	// keys of the same type.
	for _, k := range f.Keys {
		kind, _, _ := strings.Cut(k, ":")
		if kind != "name" && slices.ContainsFunc(ledger[i].Keys, func(o string) bool { return strings.HasPrefix(o, kind+":") && o != k }) {
			return 0, ""
		}
	}
	return i, "address"
}

// newID derives the id of a new thing from what recognises it best, so that a
// sweep that is repeated, or made at two places at once, proposes it once.
func newID(f Found) string {
	best := "address:" + f.Address
	for _, k := range f.Keys {
		if !strings.HasPrefix(k, "name:") {
			best = k
			break
		}
	}
	return loop.DerivedID("thing", best)
}

// Ledger reads and writes the things of a kernel.
type Ledger struct {
	Kernel *kernel.Kernel
	As     *identity.Principal // a loop of the house
	Source string              // who found what is new, as people read it: "发现 10.1.0.0/24"
}

// Entries reads all things, whatever their state.
func (l Ledger) Entries(ctx context.Context) ([]Entry, error) {
	var out []Entry
	q := search.Query{Kind: engine.ThingKind, Limit: 1000}
	for {
		page, err := l.Kernel.Search(ctx, l.As, q)
		if err != nil {
			return nil, errs.Wrap("read ledger", "", err)
		}
		for _, rec := range page.Records {
			t, err := engine.ThingOf(rec)
			if err != nil {
				return nil, err
			}
			var more struct {
				MissingSince time.Time `json:"missingSince"`
			}
			if err := json.Unmarshal(rec.Data, &more); err != nil {
				return nil, errs.Wrap("read ledger", rec.Key.String(), err)
			}
			out = append(out, Entry{Thing: t, Version: rec.Version, MissingSince: more.MissingSince})
		}
		if q.After = page.Next; q.After == "" {
			return out, nil
		}
	}
}

// Apply writes proposals, each on its own: one that lost against a person's
// change in the meantime (Conflict) is left out, and the next sweep will tell.
// It returns how many were written and the first other error.
func (l Ledger) Apply(ctx context.Context, list []Proposal, now time.Time) (written int, err error) {
	for _, p := range list {
		data := p.Thing.Data()
		c := kernel.Change{Op: record.Create, Key: record.Key{Kind: engine.ThingKind, ID: p.Thing.ID}}
		switch {
		case p.Version == 0:
			data["source"], data["foundAt"] = l.Source, now.UTC().Format(time.RFC3339)
		case !p.Missing.IsZero():
			data = map[string]any{"missingSince": p.Missing.UTC().Format(time.RFC3339)}
		default:
			delete(data, "name") // people name and class things
			delete(data, "class")
			delete(data, "on")
			data["missingSince"] = nil
		}
		if p.Version > 0 {
			c.Op, c.Verb, c.Expect = record.Verb, engine.Note, p.Version
		}
		raw, err := json.Marshal(data)
		if err != nil {
			return written, errs.Wrap("write ledger", p.Thing.ID, err)
		}
		c.Data = raw
		if _, err := l.Kernel.Write(ctx, l.As, c); err == nil {
			written++
		} else if !errs.Is(err, errs.Conflict) {
			return written, errs.Wrap("write ledger", p.Thing.ID, err)
		}
	}
	return written, nil
}
