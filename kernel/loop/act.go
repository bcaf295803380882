package loop

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Handle is what a loop acts with.
type Handle struct {
	runner    *Runner
	loop      Loop
	principal *identity.Principal
}

// Kernel gives the way to records.
func (h *Handle) Kernel() *kernel.Kernel { return h.runner.kernel }

// Principal is the loop itself.
func (h *Handle) Principal() *identity.Principal { return h.principal }

// Clock is the time of the kernel.
func (h *Handle) Clock() clock.Clock { return h.runner.kernel.Clock() }

// Read reads a record. ok is false where there is none or it was deleted.
func (h *Handle) Read(ctx context.Context, key record.Key) (r record.Record, ok bool, err error) {
	r, err = h.Kernel().Read(ctx, h.principal, key)
	if errs.Is(err, errs.NotFound) {
		return r, false, nil
	}
	return r, err == nil, err
}

// Ensure creates a record with a derived id if it is not there yet. Doing it
// again changes nothing, also after the record was changed or deleted.
func (h *Handle) Ensure(ctx context.Context, key record.Key, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return errs.Wrap("ensure", key.String(), err)
	}
	if _, err := h.Kernel().Store().Get(ctx, h.Kernel().View(h.principal), key); err == nil {
		return nil
	}
	_, err = h.Kernel().Write(ctx, h.principal, kernel.Change{Op: record.Create, Key: key, Data: raw})
	if errs.Is(err, errs.Conflict) { // somebody was faster: look whether it is there now
		if _, e := h.Kernel().Store().Get(ctx, h.Kernel().View(h.principal), key); e == nil {
			return nil
		}
	}
	return err
}

// Say says a verb on the version that was read. Conflict is no error: somebody
// moved the record meanwhile and the feed brings it back.
func (h *Handle) Say(ctx context.Context, r record.Record, verb string, input any) error {
	var raw json.RawMessage
	if input != nil {
		var err error
		if raw, err = json.Marshal(input); err != nil {
			return errs.Wrap("say", verb, err)
		}
	}
	_, err := h.Kernel().Write(ctx, h.principal, kernel.Change{Op: record.Verb, Key: r.Key, Expect: r.Version, Verb: verb, Data: raw})
	return err
}

// Task is what a person is asked to do.
type Task struct {
	Title string `json:"title"`
	Text  string `json:"text,omitempty"`
	Role  string `json:"role"`
	About string `json:"about,omitempty"`
	Cause string `json:"cause,omitempty"` // reminder, overdue, refused, claim, call
}

// Call asks a person once: the same because gives the same task.
func (h *Handle) Call(ctx context.Context, t Task, because ...string) error {
	id := DerivedID("task", append([]string{h.loop.Name}, because...)...)
	return h.Ensure(ctx, record.Key{Kind: kernel.TaskKind, ID: id}, t)
}

// CallOff settles the open tasks about a record, those of this loop that were
// asked for because of keep left out: nobody needs to see to them any more.
func (h *Handle) CallOff(ctx context.Context, about record.Key, result kind.Text, keep ...string) error {
	page, err := h.Kernel().Search(ctx, h.Principal(), search.Query{Kind: kernel.TaskKind, Limit: 100, Where: []search.Clause{
		{Param: "about", Any: []search.Value{{Ref: about}}},
		{Param: search.ParamState, Any: []search.Value{{AnySystem: true, Code: "open"}, {AnySystem: true, Code: "claimed"}}},
	}})
	if err != nil {
		return err
	}
	kept := DerivedID("task", append([]string{h.loop.Name}, keep...)...)
	for _, t := range page.Records {
		if len(keep) > 0 && t.ID == kept {
			continue
		}
		err := h.Say(ctx, t, "settle", map[string]any{"result": result.ZH + " " + result.EN})
		if err != nil && !errs.Is(err, errs.Conflict) {
			return err
		}
	}
	return nil
}

// call tells a person that a key keeps failing.
func (h *Handle) call(ctx context.Context, key record.Key, cause error) {
	day := h.Clock().Now().Format(time.DateOnly) // at most one a day and key
	err := h.Call(ctx, Task{
		Title: "回路 " + h.loop.Name + " 处理 " + key.String() + " 多次失败",
		Text:  errs.Sentence(cause, "zh") + "\n\n" + errs.Sentence(cause, "en"),
		Role:  kernel.RoleSystemAdmin, Cause: "call",
	}, "failing", key.String(), day)
	if err != nil {
		h.runner.log.Error("a person could not be called", "loop", h.loop.Name, "key", key.String(), "err", err)
	}
}

// Step is one action with effects outside the records.
type Step struct {
	Key     record.Key // what it is about
	Version int64      // the version that asks for it: another version is another action
	Name    string
	Timeout time.Duration // 0 means one minute

	// Do acts. token is unique to the action and the same at every try: leave it
	// where Did finds it (a process's environment, a remote job's name).
	Do func(ctx context.Context, token string) (detail map[string]any, err error)
	// Did looks whether an earlier try, whose end is unknown, took effect. nil
	// declares that Do may be repeated without harm.
	Did func(ctx context.Context, token string) (done bool, detail map[string]any, err error)
}

// Outcome is how an action ended.
type Outcome struct {
	Busy   bool           // somebody else is at it: look again later
	Done   bool           // it took effect, now or in an earlier try
	Failed string         // why it failed, where it did; it is not tried again under this version and name
	Detail map[string]any // what Do or Did told
}

const actionLease = 10 * time.Second

type action struct {
	Loop   string         `json:"loop"`
	About  string         `json:"about"`
	Step   string         `json:"step"`
	Token  string         `json:"token"`
	Owner  string         `json:"owner"`
	Tries  int64          `json:"tries"`
	Detail map[string]any `json:"detail,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// Act does a step with lease and heartbeat. The action is a record, written
// before Do and after it; when an earlier try left its end unknown, Did is asked
// before anything is done again. It is never done twice knowingly.
//
// The error is of what could not be found out (store, Did); a Do that fails is
// an Outcome.
func (h *Handle) Act(ctx context.Context, s Step) (Outcome, error) {
	id := DerivedID("act", h.loop.Name, s.Key.String(), strconv.FormatInt(s.Version, 10), s.Name)
	key := record.Key{Kind: kernel.ActionKind, ID: id}
	st := h.Kernel().Store()
	owner := h.runner.owner
	_, ok, err := st.Acquire(ctx, "action/"+id, owner, actionLease)
	if err != nil {
		return Outcome{}, err
	}
	if !ok {
		return Outcome{Busy: true}, nil
	}
	defer func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := st.Release(c, "action/"+id, owner); err != nil {
			h.runner.log.Debug("release", "action", id, "err", err)
		}
	}()
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return Outcome{}, err
	}
	a := action{Loop: h.loop.Name, About: s.Key.String(), Step: s.Name, Token: id, Owner: h.runner.owner, Tries: 1}
	if !there {
		if rec, err = h.begin(ctx, key, a); err != nil {
			return Outcome{}, err
		}
		return h.do(ctx, s, rec, a, owner)
	}
	if err := json.Unmarshal(rec.Data, &a); err != nil {
		return Outcome{}, errs.Wrap("act", id, err)
	}
	switch rec.State {
	case "done":
		return Outcome{Done: true, Detail: a.Detail}, nil
	case "failed":
		return Outcome{Failed: a.Error}, nil
	}
	if s.Did != nil { // an earlier try began: look before doing anything
		done, detail, err := s.Did(ctx, a.Token)
		if err != nil {
			if rec.State == "leased" {
				if e := h.Say(ctx, rec, "lose", nil); e != nil {
					return Outcome{}, e
				}
			}
			return Outcome{}, err
		}
		if done {
			return Outcome{Done: true, Detail: detail}, h.Say(ctx, rec, "finish", map[string]any{"detail": orEmpty(detail)})
		}
	}
	a.Owner, a.Tries = h.runner.owner, a.Tries+1
	if err := h.Say(ctx, rec, "retake", map[string]any{"owner": a.Owner, "tries": a.Tries}); err != nil {
		return Outcome{}, err
	}
	if rec, _, err = h.Read(ctx, key); err != nil {
		return Outcome{}, err
	}
	return h.do(ctx, s, rec, a, owner)
}

func (h *Handle) begin(ctx context.Context, key record.Key, a action) (record.Record, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return record.Record{}, errs.Wrap("act", key.ID, err)
	}
	out, err := h.Kernel().Write(ctx, h.principal, kernel.Change{Op: record.Create, Key: key, Data: raw})
	if err != nil {
		return record.Record{}, err
	}
	return out[0], nil
}

// errLost ends a Do whose lease was lost: another owner may be at it.
var errLost = errors.New("lease lost")

func (h *Handle) do(ctx context.Context, s Step, rec record.Record, a action, owner string) (Outcome, error) {
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	doing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	alive, lost := context.WithCancelCause(doing)
	defer lost(nil)
	go h.heartbeat(alive, lost, rec.ID, owner)
	detail, err := s.Do(alive, a.Token)
	switch {
	case ctx.Err() != nil: // we are being stopped: the next owner asks Did
		return Outcome{}, ctx.Err()
	case errors.Is(context.Cause(alive), errLost):
		return Outcome{Busy: true}, nil
	case err != nil:
		why := errs.Sentence(err, "zh")
		var e *errs.Error
		if !errors.As(err, &e) {
			why = err.Error()
		}
		return Outcome{Failed: why}, h.Say(ctx, rec, "fail", map[string]any{"error": why})
	}
	return Outcome{Done: true, Detail: detail}, h.Say(ctx, rec, "finish", map[string]any{"detail": orEmpty(detail)})
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// heartbeat keeps the action's lease while it is being done.
func (h *Handle) heartbeat(ctx context.Context, lost context.CancelCauseFunc, id, owner string) {
	last := h.Clock().Now()
	for {
		pause(ctx, h.Clock(), actionLease/4)
		if ctx.Err() != nil {
			return
		}
		_, ok, err := h.Kernel().Store().Acquire(ctx, "action/"+id, owner, actionLease)
		if err == nil && ok {
			last = h.Clock().Now()
		} else if err == nil || h.Clock().Now().Sub(last) > actionLease*3/4 {
			lost(errLost)
			return
		}
	}
}

// First finds the first record by a sort parameter ("-" in front: the last)
// that matches "param=value&…"; nil where none does.
func (h *Handle) First(ctx context.Context, kindName, query, sort string) (*record.Record, error) {
	q := search.Query{Kind: kindName, Limit: 1, Sort: []search.Sort{{Param: strings.TrimPrefix(sort, "-"), Desc: strings.HasPrefix(sort, "-")}}}
	var err error
	if q.Where, err = h.Kernel().Parser().Query(kindName, query); err != nil {
		return nil, err
	}
	page, err := h.Kernel().Search(ctx, h.principal, q)
	if err != nil || len(page.Records) == 0 {
		return nil, err
	}
	return &page.Records[0], nil
}
