package storetest

import (
	"errors"
	"slices"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

func testIntegrity(b *bench) {
	b.refuse(errs.Conflict, "ward/none", Draft{Key: person("p"), Index: refs(ref("ward", ward("none")))})
	_, err := b.s.Get(b.Context(), b.root, person("p"))
	b.fails(err, errs.NotFound, "")
	b.save(Draft{Key: ward("w")})
	b.save(Draft{Key: person("p"), Index: refs(ref("ward", ward("w")), search.Ref{Param: "friend", URL: "https://example.org/none"})})
	b.refuse(errs.Conflict, "person/none", Draft{Key: person("p"), Index: refs(ref("ward", ward("w")), ref("friend", person("none")))})
	if b.get(person("p")).Version != 1 {
		b.Error("a refused update left a version")
	}
	// What was deleted is not there either.
	b.save(Draft{Key: ward("gone")})
	b.save(Draft{Key: ward("gone"), Deleted: true})
	b.refuse(errs.Conflict, "ward/gone", Draft{Key: person("q"), Index: refs(ref("ward", ward("gone")))})
	b.save(Draft{Key: ward("gone")})
	b.save(Draft{Key: person("q"), Index: refs(ref("ward", ward("gone")))})
	b.whole()
}

// testIntegritySearched searches between the put and the end: what was put is
// in the tables by then, and must be looked at all the same.
func testIntegritySearched(b *bench) {
	b.save(Draft{Key: ward("w")}, Draft{Key: person("p"), Index: refs(ref("ward", ward("w")))})
	put := func(drafts ...Draft) error {
		_, err := b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
			for _, d := range drafts {
				if _, err := d.Put(tx); err != nil {
					return err
				}
				if _, err := tx.Search(b.root, search.Query{Kind: Person}); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}
	dangling := Draft{Key: person("q"), Index: refs(ref("ward", ward("none")))}
	b.fails(put(dangling), errs.Conflict, "ward/none")
	b.fails(put(Draft{Key: person("p"), Index: dangling.Index}), errs.Conflict, "ward/none")
	b.fails(put(Draft{Key: ward("w"), Deleted: true}), errs.Conflict, "person/p")
	b.ok(put(dangling, Draft{Key: ward("none")})) // the target comes later
	b.whole()
}

func testForward(b *bench) {
	// A circle, each naming one that is put later or earlier.
	b.save(
		Draft{Key: person("a"), Index: refs(ref("friend", person("b")), ref("ward", ward("w")))},
		Draft{Key: person("b"), Index: refs(ref("friend", person("a")))},
		Draft{Key: ward("w"), Index: refs(ref("partof", ward("w")))},
	)
	b.refuse(errs.Conflict, "person/none",
		Draft{Key: person("c"), Index: refs(ref("friend", person("d")))},
		Draft{Key: person("d"), Index: refs(ref("friend", person("none")))})
	b.whole()
}

func testLoose(b *bench) {
	ghost := ward("ghost")
	b.save(Draft{Key: person("p"), Index: refs(ref("ward", ghost)), Loose: true})
	_, err := b.s.Get(b.Context(), b.root, ghost)
	b.fails(err, errs.NotFound, "")
	_, err = b.s.History(b.Context(), b.root, store.HistoryQuery{Key: ghost})
	_, none := b.s.History(b.Context(), b.root, store.HistoryQuery{Key: ward("never")})
	if errs.KindOf(err) != errs.KindOf(none) || (err == nil) != (none == nil) {
		b.Errorf("the history of a dangling target gives %v, of what never was %v", err, none)
	}
	if got := b.ids(b.root, search.Query{Kind: Ward}); len(got) != 0 {
		b.Errorf("a dangling target is listed: %v", got)
	}
	counts, err := b.s.Counts(b.Context(), b.root)
	b.ok(err)
	if _, ok := counts[Ward]; ok {
		b.Errorf("a dangling target is counted: %v", counts)
	}
	_, err = b.s.Write(b.Context(), store.Person, nil, func(tx store.Tx) error {
		if _, ok, err := tx.Head(ghost); ok || err != nil {
			return errors.Join(errors.New("a dangling target has a head"), err)
		}
		return nil
	})
	b.ok(err)
	// One that dangles does not make another's reference good.
	b.refuse(errs.Conflict, ghost.String(), Draft{Key: person("q"), Index: refs(ref("ward", ghost))})

	inWard := search.Query{Kind: Person, Where: []search.Clause{{Param: "ward", Chain: &search.Chain{
		Kind: Ward, Where: []search.Clause{{Param: "code", Any: []search.Value{{AnySystem: true, Code: "x"}}}},
	}}}}
	if got := b.ids(b.root, inWard); len(got) != 0 {
		b.Errorf("a chain goes through a dangling reference: %v", got)
	}
	b.save(Draft{Key: ghost, Index: search.Index{Tokens: []search.Token{{Param: "code", Code: "x"}}}})
	if r := b.get(ghost); r.Version != 1 {
		b.Errorf("what dangled became version %d", r.Version)
	}
	if got := b.ids(b.root, inWard); !slices.Equal(got, []string{"p"}) {
		b.Errorf("after the target came, the chain finds %v", got)
	}
	b.save(Draft{Key: person("q"), Index: refs(ref("ward", ghost))})
	b.refuse(errs.Conflict, "person/", Draft{Key: ghost, Deleted: true})
	// A replica deletes what others still refer to.
	b.save(Draft{Key: ghost, Deleted: true, Loose: true})
	if got := b.ids(b.root, inWard); len(got) != 0 {
		b.Errorf("a chain goes through a deleted record: %v", got)
	}
	b.whole()
}

func testDeleteReferred(b *bench) {
	w, p := ward("w"), person("p")
	b.save(Draft{Key: w}, Draft{Key: p, Index: refs(ref("ward", w), ref("friend", p))})
	b.refuse(errs.Conflict, p.String(), Draft{Key: w, Deleted: true})
	if b.get(w).Deleted {
		b.Error("a refused deletion deleted")
	}
	// Both at once, the target first.
	b.save(Draft{Key: w, Deleted: true}, Draft{Key: p, Deleted: true})
	// An undeleted referrer needs its target again.
	b.refuse(errs.Conflict, w.String(), Draft{Key: p, Index: refs(ref("ward", w))})
	b.save(Draft{Key: w}, Draft{Key: p, Index: refs(ref("ward", w))})
	// A reference that an update dropped holds nothing.
	b.save(Draft{Key: p})
	b.save(Draft{Key: w, Deleted: true})
	// A record that refers only to itself may go.
	b.save(Draft{Key: p, Index: refs(ref("friend", p))})
	b.save(Draft{Key: p, Deleted: true})
	b.whole()
}

func testReferring(b *bench) {
	w := ward("w")
	b.save(Draft{Key: w})
	b.save(
		Draft{Key: person("p1"), Place: record.Placement{Dept: "d1"}, Index: refs(ref("ward", w), ref("ward", w))},
		Draft{Key: person("p2"), Place: record.Placement{Dept: "d2"}, Index: refs(ref("ward", w))},
		Draft{Key: reading("r"), Place: record.Placement{Dept: "d1"}, Index: refs(ref("ward", w), ref("subject", person("p1")))},
		Draft{Key: person("p3"), Place: record.Placement{Dept: "d1"}, Index: refs(ref("ward", w))},
		Draft{Key: person("p4"), Place: record.Placement{Dept: "d1"}, Index: refs(ref("ward", w))},
	)
	b.save(Draft{Key: person("p3"), Place: record.Placement{Dept: "d1"}}) // no longer refers
	b.save(Draft{Key: person("p4"), Place: record.Placement{Dept: "d1"}, Deleted: true})
	p1, p2, r := store.Link{From: person("p1"), Param: "ward"}, store.Link{From: person("p2"), Param: "ward"}, store.Link{From: reading("r"), Param: "ward"}
	got, err := b.s.Referring(b.Context(), b.root, w, 100)
	b.ok(err)
	SortLinks(got)
	if !slices.Equal(got, []store.Link{p1, p2, r}) {
		b.Errorf("referring to %v: %v", w, got)
	}
	got, err = b.s.Referring(b.Context(), AsDept("d1"), w, 100)
	b.ok(err)
	SortLinks(got)
	if !slices.Equal(got, []store.Link{p1, r}) {
		b.Errorf("department d1 sees referring: %v", got)
	}
	if got, err = b.s.Referring(b.Context(), b.root, w, 2); err != nil || len(got) != 2 {
		b.Errorf("at most 2 gave %v, %v", got, err)
	}
	if got, err = b.s.Referring(b.Context(), b.root, ward("never"), 2); err != nil || len(got) != 0 {
		b.Errorf("referring to nothing gave %v, %v", got, err)
	}
}

func testVisible(b *bench) {
	mine := Draft{Key: person("mine"), Data: `{"v":1}`, Place: record.Placement{Dept: "d1"}}
	theirs := Draft{Key: person("theirs"), Data: `{"v":1}`, Place: record.Placement{Dept: "d2"}}
	open := Draft{Key: person("nowhere")}
	b.save(mine, theirs, open)
	view := AsDept("d1")
	hidden := func(key record.Key) {
		b.Helper()
		_, err := b.s.Get(b.Context(), view, key)
		_, none := b.s.Get(b.Context(), view, person("never"))
		b.fails(err, errs.NotFound, "")
		if errs.Sentence(err, "zh") == "" || errs.KindOf(err) != errs.KindOf(none) {
			b.Errorf("hidden reads %v, not there reads %v", err, none)
		}
		_, err = b.s.Version(b.Context(), view, key, 1)
		b.fails(err, errs.NotFound, "")
	}
	if r, err := b.s.Get(b.Context(), view, mine.Key); err != nil || r.ID != "mine" {
		b.Errorf("one's own: %+v, %v", r, err)
	}
	hidden(theirs.Key)
	hidden(open.Key)
	if got := b.ids(view, search.Query{Kind: Person}); !slices.Equal(got, []string{"mine"}) {
		b.Errorf("d1 finds %v", got)
	}
	page, err := b.s.Search(b.Context(), view, search.Query{Kind: Person, Total: true})
	b.ok(err)
	counts, err := b.s.Counts(b.Context(), view)
	b.ok(err)
	if page.Total != 1 || counts[Person] != 1 {
		b.Errorf("d1 counts %d and %v, want 1", page.Total, counts)
	}
	if counts, err := b.s.Counts(b.Context(), AsNobody()); err != nil || len(counts) != 0 {
		b.Errorf("nobody counts %v, %v", counts, err)
	}
	// The newest version decides over all older ones, both ways.
	mine.Place.Dept, theirs.Place.Dept = "d2", "d1"
	b.save(mine, theirs)
	hidden(mine.Key)
	if r, err := b.s.Version(b.Context(), view, theirs.Key, 1); err != nil || r.Version != 1 {
		b.Errorf("version 1 of what is now one's own: %+v, %v", r, err)
	}
	// A deleted record is still hidden from whom it was hidden.
	mine.Deleted = true
	b.save(mine)
	hidden(mine.Key)

	for cond, p := range map[string]*identity.Principal{
		kind.Own:          {Type: identity.User, ID: "user/anna"},
		kind.Organisation: {Type: identity.User, ID: "user/x", Orgs: []string{"o1"}},
		kind.AtSite:       {Type: identity.User, ID: "user/x"},
	} {
		home := "elsewhere"
		if cond == kind.AtSite {
			home = Site
		}
		b.save(
			Draft{Key: reading(cond), Home: home, Place: record.Placement{Owner: "user/anna", Org: "o1"}},
			Draft{Key: reading(cond + "-not"), Home: "elsewhere", Place: record.Placement{Owner: "user/b", Org: "o2"}})
		got := b.ids(As(p, cond), search.Query{Kind: Reading, Where: []search.Clause{
			{Param: search.ParamID, Any: []search.Value{{AnySystem: true, Code: cond}, {AnySystem: true, Code: cond + "-not"}}},
		}})
		if !slices.Equal(got, []string{cond}) {
			b.Errorf("%s finds %v", cond, got)
		}
	}
	b.whole()
}

func testTreating(b *bench) {
	doctor, patient := person("doctor"), person("patient")
	b.save(Draft{Key: doctor}, Draft{Key: patient, Place: record.Placement{Subject: patient}},
		Draft{Key: reading("r"), Place: record.Placement{Subject: patient}, Index: refs(ref("subject", patient))},
		Draft{Key: reading("loose")})
	view := As(&identity.Principal{Type: identity.User, ID: "user/doc", Person: doctor.String()}, kind.Treating)
	sees := func(want ...string) {
		b.Helper()
		if got := b.ids(view, search.Query{Kind: Reading}); !slices.Equal(got, want) && len(got)+len(want) > 0 {
			b.Errorf("the doctor finds %v, want %v", got, want)
		}
		_, err := b.s.Get(b.Context(), view, reading("r"))
		if (err == nil) != (len(want) > 0) {
			b.Errorf("the doctor reads: %v", err)
		}
	}
	sees()
	relation := Draft{Key: tie("t"), State: "planned", Index: refs(ref("member", doctor), ref("whom", patient))}
	b.save(relation)
	sees()
	relation.State = "active"
	b.save(relation)
	sees("r")
	relation.Index = refs(ref("member", patient), ref("whom", doctor))
	b.save(relation)
	sees()
	relation.Index = refs(ref("member", doctor), ref("whom", patient))
	b.save(relation)
	sees("r")
	relation.Deleted = true
	b.save(relation)
	sees()
	b.whole()
}
