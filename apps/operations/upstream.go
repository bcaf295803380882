package operations

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/exchange"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// exchanges is the loop that takes from centres what does better here and tells
// them what became of it.
func (a *App) exchanges() loop.Loop {
	return loop.Loop{
		Name: "exchange", Title: kind.T("与上级中心交换知识、模型与意图", "Exchange of knowledge, models and intents with a centre"),
		Watch: []loop.Watch{{Kind: engine.UpstreamKind, States: []string{engine.UpstreamActive}}}, Look: a.lookUpstream,
	}
}

// news is what centres were told last, so that they are told again only what is
// new. It is forgotten with the process: then all is told once more.
type news struct {
	sync.Mutex
	last map[string]string
}

// noteEvery is how often it is written down that a centre is reached still.
const noteEvery = 10 * time.Minute

// round is one exchange with one centre.
type round struct {
	a   *App
	h   *loop.Handle
	rec record.Record
	u   engine.Upstream
	to  *exchange.Centre
	now time.Time
}

// lookUpstream exchanges what is due with one centre. What fails is written into
// the record and tried again; a line that is cut loses nothing, since both sides
// keep what they have.
func (a *App) lookUpstream(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	if err := a.awake(ctx); err != nil {
		return 0, err
	}
	rec, there, err := h.Read(ctx, key)
	if err != nil || !there || rec.State != engine.UpstreamActive {
		return 0, err
	}
	u, err := engine.UpstreamOf(rec)
	if err != nil {
		return 0, err
	}
	every, err := time.ParseDuration(u.Every)
	if err != nil || every < time.Second {
		every = time.Minute
	}
	was := u
	r := &round{a: a, h: h, rec: rec, u: u, now: ms(a.clock.Now())}
	if err = r.exchange(ctx); err == nil {
		r.u.Message = ""
		if r.now.Sub(was.ReachedAt) >= noteEvery || was.Message != "" {
			r.u.ReachedAt = r.now
		}
	} else {
		r.u.Message = errs.Sentence(err, "zh") + "\n\n" + errs.Sentence(err, "en")
	}
	if r.u.Message == was.Message && r.u.Pack == was.Pack && r.u.Refused == was.Refused && r.u.Given.Equal(was.Given) && r.u.ReachedAt.Equal(was.ReachedAt) {
		return every, nil
	}
	facts := map[string]any{"message": r.u.Message}
	for name, v := range map[string]string{"pack": r.u.Pack, "packVersion": r.u.PackVersion, "refused": r.u.Refused} {
		if v != "" {
			facts[name] = v
		}
	}
	for name, v := range map[string]time.Time{"reachedAt": r.u.ReachedAt, "given": r.u.Given} {
		if !v.IsZero() {
			facts[name] = v
		}
	}
	return every, ignoreConflict(h.Say(ctx, rec, engine.Note, facts))
}

// exchange does all of it, in the order of what costs least to lose.
func (r *round) exchange(ctx context.Context) error {
	token := ""
	if r.u.Credential != "" {
		var err error
		if _, token, err = secret(r.a.kernel, identity.Root(), r.u.Credential); err != nil {
			return err
		}
	}
	var err error
	if r.to, err = exchange.Open(r.u.URL, token, r.u.CA); err != nil {
		return err
	}
	for _, part := range []struct {
		list []string
		what string
		do   func(context.Context) error
	}{
		{r.u.Gives, engine.ExchangeKnowledge, r.giveCases},
		{r.u.Takes, engine.ExchangeKnowledge, r.takePack},
		{r.u.Takes, engine.ExchangeModel, r.takeModels},
		{r.u.Takes, engine.ExchangeIntent, r.takeIntents},
		{r.u.Gives, engine.ExchangeIntent, r.tellIntents},
	} {
		if !slices.Contains(part.list, part.what) {
			continue
		}
		if err := part.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tell tells the centre what became of something, where that is news.
func (r *round) tell(ctx context.Context, d engine.Delivery) error {
	d.By = r.u.As
	raw, err := json.Marshal(d)
	if err != nil {
		return errs.Wrap("tell", d.About, err)
	}
	key := r.rec.ID + "\x00" + d.What + "\x00" + d.About
	r.a.news.Lock()
	same := r.a.news.last[key] == string(raw)
	r.a.news.Unlock()
	if same {
		return nil
	}
	id := loop.DerivedID("delivery", r.u.As, d.What, d.About)
	timed := d
	timed.At = r.now
	if err := r.to.Put(ctx, "deliveries", id, timed); err != nil {
		return err
	}
	r.a.news.Lock()
	defer r.a.news.Unlock()
	if r.a.news.last == nil {
		r.a.news.last = map[string]string{}
	}
	r.a.news.last[key] = string(raw)
	return nil
}

// exported is the pack as it was written last, of the knowledge it was made of.
type exported struct {
	sync.Mutex
	of      *knowledge.Base
	version string
	text    []byte
}

// Pack is what this program reasons with as one pack that another may take, and
// its version: what came with it or from a centre of its own, what people wrote,
// what reviewed cases taught.
func (a *App) Pack(ctx context.Context) (version string, text []byte, err error) {
	if err := a.awake(ctx); err != nil {
		return "", nil, err
	}
	a.exported.Lock()
	defer a.exported.Unlock()
	b := a.mind.base()
	if a.exported.of == b {
		return a.exported.version, a.exported.text, nil
	}
	live, err := a.liveCases(ctx)
	if err != nil {
		return "", nil, err
	}
	p, _, err := a.original(ctx)
	if err != nil {
		return "", nil, err
	}
	p.Version, _, _ = strings.Cut(p.Version, "-")
	p = p.Taught(live)
	p.Version += "-" + p.Digest()
	var out bytes.Buffer
	if err := knowledge.Export(&out, p, nil); err != nil {
		return "", nil, err
	}
	a.exported.of, a.exported.version, a.exported.text = b, p.Version, out.Bytes()
	return p.Version, out.Bytes(), nil
}

func (a *App) liveCases(ctx context.Context) (live []knowledge.Case, err error) {
	err = each(ctx, a.kernel, a.system, search.Query{Kind: engine.CaseKind, Where: []search.Clause{inStates(engine.Live)}}, func(r record.Record) error {
		if c, err := knowledge.CaseOf(r); err == nil {
			live = append(live, c)
		}
		return nil
	})
	return live, err
}

// takePack takes the centre's pack where it finds the causes of our own reviewed
// cases at least as well as what we have.
func (r *round) takePack(ctx context.Context) error {
	text, err := r.to.Pack(ctx, r.u.PackVersion, r.u.Refused)
	if err != nil || text == nil {
		return err
	}
	p, err := knowledge.Import(bytes.NewReader(text))
	if err != nil {
		return err
	}
	d := engine.Delivery{What: engine.ExchangeKnowledge, About: p.Name + " " + p.Version}
	live, err := r.a.liveCases(ctx)
	if err != nil {
		return err
	}
	// Without what the cases themselves taught: that would find them whatever the pack.
	_, have, err := r.a.original(ctx)
	if err != nil {
		return err
	}
	_, then, err := r.a.withOwn(ctx, p)
	if err != nil {
		return err
	}
	if ours, theirs := have.Finds(live), then.Finds(live); theirs < ours {
		d.Outcome = engine.DeliveryRefused
		d.Say = kind.T(fmt.Sprintf("本地 %d 个审核过的案例，现有知识能找出 %d 个的原因，新知识包只能找出 %d 个，未采用。", len(live), ours, theirs),
			fmt.Sprintf("Of %d reviewed cases here what is known finds %d, the pack only %d: it was not taken.", len(live), ours, theirs))
		if err := r.tell(ctx, d); err != nil {
			return err
		}
		r.u.Refused = p.Version
		return nil
	}
	address, _, err := r.a.kernel.Blobs().Put(ctx, bytes.NewReader(text), 0)
	if err != nil {
		return err
	}
	r.a.taken.Store(&p)
	if err := r.a.relearn(ctx, r.a.mind); err != nil {
		return err
	}
	d.Outcome, d.Say = engine.DeliveryTaken, kind.T("已采用。", "It is in use.")
	if err := r.tell(ctx, d); err != nil { // else the line was cut: it comes, and is told, once more
		return err
	}
	r.u.Pack, r.u.PackVersion, r.u.Refused = address, p.Version, ""
	return nil
}

// takenPack opens the pack that was taken last from a centre that is still
// active; nil where none was.
func (a *App) takenPack(ctx context.Context) (*knowledge.Pack, error) {
	var address string
	err := each(ctx, a.kernel, a.system, search.Query{Kind: engine.UpstreamKind, Where: []search.Clause{inStates(engine.UpstreamActive)}}, func(r record.Record) error {
		u, err := engine.UpstreamOf(r)
		if err == nil && u.Pack != "" && slices.Contains(u.Takes, engine.ExchangeKnowledge) {
			address = u.Pack
		}
		return err
	})
	if err != nil || address == "" {
		return nil, err
	}
	f, _, err := a.kernel.Blobs().Open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := knowledge.Import(f)
	return &p, err
}

// known is the pack to begin with: what came with the program, or what a centre
// delivered where that is not older.
func (a *App) known() (knowledge.Pack, error) {
	p, err := delivered()
	if err != nil {
		return p, err
	}
	if t := a.taken.Load(); t != nil {
		if newer(t.Version, p.Version) {
			return *t, nil
		}
		return p.With(*t), nil
	}
	return p, nil
}

// newer tells whether a version of a pack ("2026.11.6-1a2b") is another's or later.
func newer(v, than string) bool {
	number := func(s string) []int {
		s, _, _ = strings.Cut(s, "-")
		var out []int
		for part := range strings.SplitSeq(s, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return nil
			}
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(number(v), number(than)) >= 0
}

// giveCases gives the centre the cases that people reviewed here, for review
// there.
func (r *round) giveCases(ctx context.Context) error {
	updated := search.Clause{Param: search.ParamUpdated, Any: []search.Value{{Compare: search.Ge, Lo: r.u.Given.UnixMilli(), Hi: r.u.Given.UnixMilli() + 1}}}
	where := []search.Clause{inStates(engine.Live)}
	if !r.u.Given.IsZero() {
		where = append(where, updated)
	}
	given := r.u.Given
	err := each(ctx, r.a.kernel, r.h.Principal(), search.Query{Kind: engine.CaseKind, Where: where}, func(rec record.Record) error {
		c, err := knowledge.CaseOf(rec)
		if err != nil {
			return nil // shown on its page, and teaches nothing
		}
		if c.Incident != "" { // which the centre has not
			c.Note, c.Incident = strings.TrimSpace(c.Note+"\n\n"+r.u.As+" "+c.Incident), ""
		}
		if err := r.to.Create(ctx, "cases", rec.ID, c); err != nil {
			return err
		}
		if rec.UpdatedAt.After(given) {
			given = rec.UpdatedAt
		}
		return nil
	})
	if err == nil {
		r.u.Given = ms(given)
	}
	return err
}

// from is the name by which records tell where they come from.
func (r *round) from() string {
	if u, err := url.Parse(r.u.URL); err == nil && r.u.Name == "" {
		return u.Host
	}
	return r.u.Name
}

// create makes a record here unless it is there.
func (r *round) create(ctx context.Context, key record.Key, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return errs.Wrap("take", key.String(), err)
	}
	_, err = r.a.kernel.Write(ctx, r.h.Principal(), kernel.Change{Op: record.Create, Key: key, Data: raw})
	return ignoreConflict(err)
}
