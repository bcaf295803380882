package kernel_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
	"zhiwei/store/storetest"
)

// refusals is the format of a kind whose field "rules" holds what a person
// denies, as index entries.
type refusals struct{ shape.Format }

func (f refusals) Index(k *kind.Kind, doc map[string]any) (search.Index, error) {
	ix, err := f.Format.Index(k, doc)
	if err != nil {
		return ix, err
	}
	whom, _ := record.ParseKey(fmt.Sprint(doc["whom"]))
	rules, _ := doc["rules"].([]any)
	for i, v := range rules {
		r := v.(map[string]any)
		occ := int32(i)
		ix.Refs = append(ix.Refs, search.Ref{Param: kind.DenyEntry, Target: whom, Occ: occ})
		ix.Tokens = append(ix.Tokens, search.Token{Param: kind.DenyEntry, Code: r["deny"].(string), Occ: occ})
		if spare, ok := r["spare"].(string); ok {
			ix.Tokens = append(ix.Tokens, search.Token{Param: kind.SpareEntry, Code: spare, Occ: occ})
		}
		if until, ok := r["until"].(string); ok {
			at, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return ix, err
			}
			ix.Dates = append(ix.Dates, search.Date{Param: kind.DenyEntry, Lo: search.MinTime, Hi: at.UnixMilli(), Occ: occ})
		}
	}
	return ix, nil
}

// privateHouse has persons, notes about one or several of them, and all that
// stands for or against seeing them.
func privateHouse(t *testing.T) (*kernel.Kernel, *clock.Manual) {
	t.Helper()
	T := kind.T
	reg := kernel.NewRegistry()
	reg.Format("refusals", refusals{})
	when := kind.Own + "|" + kind.Treating
	person := func(name string) kind.Field {
		return kind.Field{Name: name, Type: kind.Ref, Title: T(name, name), To: []string{"person"}}
	}
	byPerson := func(name string) kind.Param {
		return kind.Param{Name: name, Type: kind.ReferenceParam, Path: name, To: []string{"person"}}
	}
	also := person("also")
	also.Many = true
	relation := func(name string) kind.Kind {
		return kind.Kind{
			Name: name, Plural: name + "s", App: "test", Title: T(name, name),
			Fields: []kind.Field{person("member"), person("whom"), {Name: "until", Type: kind.Time, Title: T("止", "Until")}, kind.Line("reason", "理由", "Reason")},
			Search: []kind.Param{byPerson("member"), byPerson("whom"), {Name: "until", Type: kind.DateParam, Path: "until"}},
			Access: []kind.Grant{{Role: "nurse", Can: []string{"read"}, When: when}},
			Place:  kind.Place{Subject: "whom"},
			Lifecycle: &kind.Lifecycle{Start: "active", States: []kind.State{{Name: "active", Title: T("有效", "Active"), Edit: true}, {Name: "ended", Title: T("结束", "Ended")}}, Verbs: []kind.Verb{
				{Name: "end", Title: T("结束", "End"), From: []string{"active"}, To: "ended"},
			}},
		}
	}
	for _, k := range []kind.Kind{
		{
			Name: "person", Plural: "persons", App: "test", Title: T("人", "Person"), Fields: []kind.Field{kind.Line("name", "姓名", "Name")},
			Access: []kind.Grant{{Role: "nurse", Can: []string{"read", "create", "update"}, When: when}, {Role: "reader", Can: []string{"read"}, When: kind.Released}},
			Place:  kind.Place{Subject: "@self", Owner: "@creator"},
		},
		{
			Name: "note", Plural: "notes", App: "test", Title: T("记录", "Note"),
			Fields: []kind.Field{person("about"), also, {Name: "tags", Type: kind.Any, Title: T("密级", "Labels"), Many: true}},
			Search: []kind.Param{byPerson("about"), byPerson("also")},
			Access: []kind.Grant{{Role: "nurse", Can: []string{"read", "create", "update"}, When: when}, {Role: "reader", Can: []string{"read"}, When: kind.Released}},
			Place:  kind.Place{Subject: "about", Owner: "@creator", Compartment: kind.Compartment{Of: "person", Params: []string{"about", "also"}}, Label: "tags"},
		},
		{
			Name: "refusal", Plural: "refusals", App: "test", Title: T("拒绝", "Refusal"), Format: "refusals",
			Fields: []kind.Field{person("whom"), {Name: "rules", Type: kind.Any, Title: T("规则", "Rules"), Many: true}},
			Search: []kind.Param{byPerson("whom")}, Access: []kind.Grant{{Role: "nurse", Can: []string{"read"}, When: when}}, Place: kind.Place{Subject: "whom"},
		},
		relation("tie"), relation("opening"),
	} {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	reg.Relation(kind.Relation{Kind: "tie", Member: "member", Subject: "whom", States: []string{"active"}})
	reg.Privacy(kind.Privacy{
		Opening: kind.Relation{Kind: "opening", Member: "member", Subject: "whom", States: []string{"active"}, Until: "until"},
		Opener:  "opener",
		Denial:  kind.Denial{Kind: "refusal", Subject: "whom"},
		Labels: []kind.Label{
			{System: "s", Code: "R", When: []string{kind.Own, kind.Treating, kind.Opened}, Roles: []string{"cleared"}},
			{System: "s", Code: "V", When: []string{kind.Own, kind.Opened}},
		},
	})
	clk := clock.NewManual(start)
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", reg, clk), Registry: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, clk
}

// What the kernel judges of one record before it is written is what the store
// then shows: whoever may create it sees it, and nobody else does.
//
// Proves A02: nothing can be written to where it could not be seen.
func TestWhatMayBeWrittenIsWhatIsSeen(t *testing.T) {
	seed := storetest.Seed(t)
	g := rand.New(rand.NewPCG(uint64(seed), 0))
	pick := func(list ...string) string { return list[g.IntN(len(list))] }
	k, clk := privateHouse(t)
	root := identity.Root()
	write := func(p *identity.Principal, op record.Op, kindName, id string, data map[string]any) error {
		raw, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.Write(t.Context(), p, kernel.Change{Op: op, Key: record.Key{Kind: kindName, ID: id}, Expect: kernel.AnyVersion, Upsert: op == record.Update, Data: raw})
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	person := func() string { return "person/" + pick("a", "b", "c", "d") }
	for _, id := range []string{"a", "b", "c", "d", "m", "n"} {
		must(write(root, record.Create, "person", id, map[string]any{"name": id}))
	}
	made, refused := 0, 0
	for n := range 400 {
		clk.Move(time.Minute)
		// Relations, openings and refusals come and go.
		for _, name := range []string{"tie", "opening"} {
			if g.IntN(3) == 0 {
				until := clk.Now().Add(time.Duration(g.IntN(20)-8) * time.Minute).UTC().Format(time.RFC3339)
				must(write(root, record.Create, name, fmt.Sprint(name, n), map[string]any{"member": "person/" + pick("m", "n"), "whom": person(), "until": until, "reason": "r"}))
			}
			if g.IntN(4) == 0 {
				page, err := k.Search(t.Context(), root, search.Query{Kind: name, Where: []search.Clause{{Param: search.ParamState, Any: []search.Value{{AnySystem: true, Code: "active"}}}}})
				must(err)
				if len(page.Records) > 0 {
					r := page.Records[g.IntN(len(page.Records))]
					_, err := k.Write(t.Context(), root, kernel.Change{Op: record.Verb, Key: r.Key, Expect: r.Version, Verb: "end"})
					must(err)
				}
			}
		}
		if g.IntN(2) == 0 {
			who := func() string {
				return kind.DenialCode(pick("*", "*", "user/m", "person/m", "person/n"), pick("*", "note", "person"), pick("*", "TREAT", "HMARKT"))
			}
			rule := map[string]any{"deny": who()}
			if g.IntN(2) == 0 {
				rule["spare"] = who()
			}
			if g.IntN(2) == 0 {
				rule["until"] = clk.Now().Add(time.Duration(g.IntN(20)-8) * time.Minute).UTC().Format(time.RFC3339)
			}
			rules := []any{rule}
			if g.IntN(3) == 0 {
				rules = nil
			}
			must(write(root, record.Update, "refusal", pick("x", "y", "z"), map[string]any{"whom": person(), "rules": rules}))
		}
		m := pick("m", "n")
		p := &identity.Principal{Type: identity.User, ID: "user/" + m, Person: "person/" + m, Roles: []string{"nurse"}}
		if g.IntN(3) == 0 {
			p.Roles = []string{"cleared", "nurse"}
		}
		if g.IntN(4) == 0 {
			p.Scopes, p.Patient = []string{"patient/note.cruds"}, person()
		}
		note := map[string]any{}
		if g.IntN(4) > 0 {
			note["about"] = person()
		}
		if g.IntN(3) == 0 {
			note["also"] = []string{person(), person()}
		}
		if g.IntN(4) == 0 {
			note["tags"] = []any{map[string]any{"system": pick("s", "other"), "code": pick("R", "V", "N")}}
		}
		// As another wrote it, nobody sees it as its author.
		theirs := record.Key{Kind: "note", ID: fmt.Sprint("theirs", n)}
		must(write(root, record.Create, "note", theirs.ID, note))
		r, err := k.Read(t.Context(), root, theirs)
		must(err)
		may, err := k.May(t.Context(), p, &r, "read")
		must(err)
		_, err = k.Read(t.Context(), p, theirs)
		if seen := err == nil; seen != may {
			t.Fatalf("%s: %s sees it: %v (%v), but the kernel judges %v", r.Data, p.ID, seen, err, may)
		}
		// Its author sees what he was let write.
		mine := record.Key{Kind: "note", ID: fmt.Sprint("mine", n)}
		if err := write(p, record.Create, "note", mine.ID, note); err != nil {
			if errs.Is(err, errs.Internal) {
				t.Fatal(err)
			}
			refused++
			continue
		}
		made++
		if _, err := k.Read(t.Context(), p, mine); err != nil {
			t.Fatalf("%s was let write %v and does not see it: %v", p.ID, note, err)
		}
	}
	if made < 40 || refused < 20 {
		t.Errorf("%d written, %d refused: the test asks too little", made, refused)
	}
}
