package rest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

func keyOf(k *kind.Kind, r *http.Request) record.Key {
	return record.Key{Kind: k.Name, ID: r.PathValue("id")}
}

// offer is a verb that could be said now.
type offer struct {
	Name     string          `json:"name"`
	Title    kind.Text       `json:"title"`
	To       string          `json:"to,omitempty"`
	Primary  bool            `json:"primary,omitempty"`
	Confirm  bool            `json:"confirm,omitempty"`
	Input    []string        `json:"input,omitempty"`
	Evidence []kind.Evidence `json:"evidence,omitempty"`
	Allowed  bool            `json:"allowed"`
	Why      string          `json:"why,omitempty"` // the sentence of the guard that refuses now
}

// read answers one record with what can be done with it.
func (d *Door) read(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	rec, err := d.kernel.Read(r.Context(), p, keyOf(k, r))
	if err != nil {
		return err
	}
	if r.Header.Get("If-None-Match") == etag(rec.Version) && k.Lifecycle == nil {
		w.Header().Set("ETag", etag(rec.Version))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	said, err := d.kernel.Verbs(r.Context(), p, rec)
	if err != nil {
		return err
	}
	verbs := make([]offer, 0, len(said))
	for _, o := range said {
		v := offer{
			Name: o.Verb.Name, Title: o.Verb.Title, To: o.Verb.To, Primary: o.Verb.Primary, Confirm: o.Verb.Confirm,
			Input: o.Verb.Input, Evidence: o.Verb.Evidence, Allowed: o.Why == nil,
		}
		if o.Why != nil {
			v.Why = errs.Sentence(o.Why, gate.Lang(r))
		}
		verbs = append(verbs, v)
	}
	hidden := access.HiddenFields(p, k)
	if hidden == nil {
		hidden = []string{}
	}
	var can []string
	for _, what := range []string{"update", "delete"} {
		ok, err := d.kernel.May(r.Context(), p, &rec, what)
		if err != nil {
			return err
		}
		if ok {
			can = append(can, what)
		}
	}
	b := append(appendRecord(nil, &rec), `,"verbs":`...)
	for _, part := range []struct {
		name string
		v    any
	}{{"", verbs}, {`,"hidden":`, hidden}, {`,"can":`, append([]string{}, can...)}} {
		raw, err := json.Marshal(part.v)
		if err != nil {
			return errs.Wrap("rest", k.Name, err)
		}
		b = append(append(b, part.name...), raw...)
	}
	w.Header().Set("ETag", etag(rec.Version))
	return answerBytes(w, r, http.StatusOK, append(b, '}'))
}

// write does one change and answers the version it made.
func (d *Door) write(w http.ResponseWriter, r *http.Request, p *identity.Principal, status int, c kernel.Change) error {
	made, err := d.kernel.Write(r.Context(), p, c)
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		if k := d.kernel.Registry().Find(c.Key.Kind); k != nil {
			w.Header().Set("Location", "/api/"+k.Plural+"/"+made[0].ID)
		}
	}
	return answerRecord(w, r, status, &made[0])
}

// create takes {"data":{…}} and, where the writer gives the id, {"id","data"}.
func (d *Door) create(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "id", "data")
	if err != nil {
		return err
	}
	c := kernel.Change{Op: record.Create, Key: record.Key{Kind: k.Name}, Data: props["data"]}
	if err := into(props, "id", &c.Key.ID); err != nil {
		return err
	}
	if err := needData(c.Data); err != nil {
		return err
	}
	return d.write(w, r, p, http.StatusCreated, c)
}

func needData(data json.RawMessage) error {
	if len(data) == 0 {
		return invalid("data", "请把内容放在 data 里：{\"data\":{…}}。", "Put the content into data: {\"data\":{…}}.")
	}
	return nil
}

// update takes {"data":{…}}, all of it, and the version it was read at in
// If-Match; "*" overwrites whatever is there.
func (d *Door) update(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "data", "version")
	if err != nil {
		return err
	}
	c := kernel.Change{Op: record.Update, Key: keyOf(k, r), Data: props["data"]}
	if c.Expect, err = expected(r, props); err != nil {
		return err
	}
	if c.Expect == 0 {
		return invalid("If-Match", "请用 If-Match: \"版本\" 写明修改依据的版本，以免覆盖他人的修改。", "Say in If-Match: \"version\" which version you changed, so that nobody's change is overwritten.")
	}
	if err := needData(c.Data); err != nil {
		return err
	}
	return d.write(w, r, p, http.StatusOK, c)
}

// expected reads the version a change was made from: If-Match: "7", or version
// in the body. 0 where neither is there.
func expected(r *http.Request, props map[string]json.RawMessage) (int64, error) {
	h := strings.TrimSpace(r.Header.Get("If-Match"))
	if h == "*" {
		return kernel.AnyVersion, nil
	}
	if h != "" {
		n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(h, "W/"), `"`), 10, 64)
		if err != nil || n < 1 {
			return 0, invalid("If-Match", "If-Match 应为 \"版本号\"，例如 \"3\"。", "If-Match must be a version in quotes, such as \"3\".")
		}
		return n, nil
	}
	var n int64
	if err := into(props, "version", &n); err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, invalid("version", "version 应为读到的版本号。", "version must be the version that was read.")
	}
	return n, nil
}

// expectedOrAny is expected where the protocol does not insist.
func expectedOrAny(r *http.Request, props map[string]json.RawMessage) (int64, error) {
	n, err := expected(r, props)
	if n == 0 {
		n = kernel.AnyVersion
	}
	return n, err
}

func (d *Door) delete(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	expect, err := expectedOrAny(r, nil)
	if err != nil {
		return err
	}
	if _, err := d.kernel.Write(r.Context(), p, kernel.Change{Op: record.Delete, Key: keyOf(k, r), Expect: expect}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *Door) undelete(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "version")
	if err != nil {
		return err
	}
	expect, err := expectedOrAny(r, props)
	if err != nil {
		return err
	}
	return d.write(w, r, p, http.StatusOK, kernel.Change{Op: record.Undelete, Key: keyOf(k, r), Expect: expect})
}

// say takes {"version", "evidence":{…}, "data":{…}}, all of them optional where
// the verb asks for nothing. Without a version the verb is said on whatever
// version is there, if its state allows.
func (d *Door) say(k *kind.Kind, verb string, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "version", "evidence", "data")
	if err != nil {
		return err
	}
	c := kernel.Change{Op: record.Verb, Key: keyOf(k, r), Verb: verb, Data: props["data"]}
	if c.Expect, err = expectedOrAny(r, props); err != nil {
		return err
	}
	if err := into(props, "evidence", &c.Evidence); err != nil {
		return err
	}
	return d.write(w, r, p, http.StatusOK, c)
}

// history answers the versions of a record, newest first, each as a record with
// how it came about.
func (d *Door) history(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r, "limit", "after"); err != nil {
		return err
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	key := keyOf(k, r)
	page, err := d.kernel.History(r.Context(), p, store.HistoryQuery{Key: key, Limit: limit, Before: r.URL.Query().Get("after")})
	if err != nil {
		return err
	}
	if len(page.Versions) == 0 {
		return errs.NotFoundf("history", "%s", key)
	}
	b := []byte(`{"items":[`)
	for i := range page.Versions {
		v := &page.Versions[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRecord(b, v)
		mark, err := json.Marshal(struct {
			Op       string         `json:"op"`
			Verb     string         `json:"verb,omitempty"`
			From     string         `json:"from,omitempty"`
			Evidence map[string]any `json:"evidence,omitempty"`
		}{v.Mark.Op.String(), v.Mark.Verb, v.Mark.From, v.Mark.Evidence})
		if err != nil {
			return errs.Wrap("rest", key.String(), err)
		}
		b = append(b, ',')
		b = append(b, mark[1:]...)
	}
	return answerBytes(w, r, http.StatusOK, appendNext(b, page.Next, -1))
}

// appendNext closes a page of items.
func appendNext(b []byte, next string, total int64) []byte {
	b = append(b, `],"next":`...)
	if next == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, next)
	}
	if total >= 0 {
		b = append(b, `,"total":`...)
		b = strconv.AppendInt(b, total, 10)
	}
	return append(b, '}')
}

type step struct {
	At       string         `json:"at"`
	Op       string         `json:"op"`
	Verb     string         `json:"verb,omitempty"`
	From     string         `json:"from,omitempty"`
	State    string         `json:"state,omitempty"`
	By       string         `json:"by"`
	ByName   string         `json:"byName,omitempty"`
	Behalf   string         `json:"behalf,omitempty"`
	Evidence map[string]any `json:"evidence,omitempty"`
	Version  int64          `json:"version"`
	Changes  []fieldChange  `json:"changes"`
}

type fieldChange struct {
	Field string `json:"field"`
	From  any    `json:"from,omitempty"`
	To    any    `json:"to,omitempty"`
}

type stay struct {
	State string `json:"state"`
	MS    int64  `json:"ms"`
}

// timeline answers the replay of a record: its steps oldest first, the time it
// spent in each state, and when its present state's time is over.
func (d *Door) timeline(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	t, err := d.kernel.Timeline(r.Context(), p, keyOf(k, r))
	if err != nil {
		return err
	}
	out := struct {
		Steps   []step   `json:"steps"`
		InState []stay   `json:"inState"`
		Due     *string  `json:"due"`
		Remind  []string `json:"remind"`
		Paused  bool     `json:"paused,omitempty"`
	}{Steps: []step{}, InState: []stay{}, Remind: []string{}, Paused: t.Paused}
	for _, s := range t.Steps {
		line := step{
			At: moment(s.At), Op: s.Mark.Op.String(), Verb: s.Mark.Verb, From: s.Mark.From, State: s.State, By: s.Mark.By, ByName: s.Mark.ByName,
			Behalf: s.Mark.Behalf, Evidence: s.Mark.Evidence, Version: s.Version, Changes: []fieldChange{},
		}
		for _, c := range s.Changes {
			line.Changes = append(line.Changes, fieldChange(c))
		}
		out.Steps = append(out.Steps, line)
	}
	for _, s := range t.InState {
		out.InState = append(out.InState, stay{s.State, s.Time.Milliseconds()})
	}
	if !t.Due.IsZero() {
		due := moment(t.Due)
		out.Due = &due
	}
	for _, at := range t.Remind {
		out.Remind = append(out.Remind, moment(at))
	}
	return answer(w, r, http.StatusOK, out)
}

// found names a record for people.
type found struct {
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	Title string `json:"title"`
	Param string `json:"param,omitempty"`
}

// referring answers the visible records that refer to this one, at most limit.
func (d *Door) referring(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r, "limit"); err != nil {
		return err
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	key := keyOf(k, r)
	if _, err := d.kernel.Read(r.Context(), p, key); err != nil {
		return err
	}
	links, err := d.kernel.Referring(r.Context(), p, key, limit)
	if err != nil {
		return err
	}
	out := struct {
		Items []found `json:"items"`
	}{Items: []found{}}
	for _, l := range links {
		rec, err := d.kernel.Read(r.Context(), p, l.From)
		if errs.Is(err, errs.NotFound) {
			continue // deleted or hidden since
		}
		if err != nil {
			return err
		}
		out.Items = append(out.Items, found{l.From.Kind, l.From.ID, title(d.kernel.Registry().Find(l.From.Kind), &rec), strings.TrimPrefix(l.Param, "_")})
	}
	return answer(w, r, http.StatusOK, out)
}
