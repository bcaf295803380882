package clinical

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// ParameterIndexKind is the kind that says how far the index of a search
// parameter of one's own is.
const ParameterIndexKind = "parameter-index"

// The states of a ParameterIndex.
const (
	indexBuilding = "building"
	indexWhole    = "whole"
	indexRetired  = "retired"
)

// ParameterIndex declares the record of an index that is built: how many of how
// many records are done, for which version of which SearchParameter, and where
// it carries on after a crash. Its id is that of the SearchParameter.
func ParameterIndex() kind.Kind {
	progress := []string{"of", "code", "done", "total", "base", "after"}
	clock := func(name, to string, from []string, title kind.Text) kind.Verb {
		return kind.Verb{Name: name, Title: title, From: from, To: to, Clock: true, Input: progress}
	}
	return kind.Kind{
		Name: ParameterIndexKind, Plural: "parameter-indexes", App: Menu,
		Title: kind.T("查询参数索引", "Index of a search parameter"),
		Help:  kind.T("自定义查询参数的索引建到了哪里；建成之前不能用它查询。", "How far the index of a search parameter of one's own is; until it is whole nothing is searched by it."),
		Fields: []kind.Field{
			{Name: "code", Type: kind.String, Title: kind.T("参数名", "Code"), Required: true},
			{Name: "of", Type: kind.Int, Title: kind.T("定义的版本", "Version of the definition"), Required: true, Min: "1"},
			{Name: "done", Type: kind.Int, Title: kind.T("已建", "Done"), Required: true, Min: "0"},
			{Name: "total", Type: kind.Int, Title: kind.T("共计", "Of"), Required: true, Min: "0"},
			{Name: "base", Type: kind.String, Title: kind.T("正在建的类型", "Type under way")},
			{Name: "after", Type: kind.String, Title: kind.T("位置", "Place"), Help: kind.T("中断后从这里继续", "where it carries on after a break")},
		},
		Search: []kind.Param{{Name: "code", Type: kind.TokenParam, Path: "code"}},
		Access: []kind.Grant{{Role: RoleAdmin, Can: []string{"read", "history"}}, {Role: kernel.RoleSystemAdmin, Can: []string{"read", "history"}}},
		Lifecycle: &kind.Lifecycle{
			Start: indexBuilding,
			States: []kind.State{
				{Name: indexBuilding, Title: kind.T("正在建立", "Building"), Tone: "info"},
				{Name: indexWhole, Title: kind.T("已建成", "Whole"), Tone: "good"},
				{Name: indexRetired, Title: kind.T("已停用", "Retired"), Tone: "idle"},
			},
			Verbs: []kind.Verb{
				clock("advance", indexBuilding, []string{indexBuilding}, kind.T("推进", "Advance")),
				clock("complete", indexWhole, []string{indexBuilding}, kind.T("建成", "Complete")),
				clock("rebuild", indexBuilding, []string{"*"}, kind.T("重建", "Rebuild")),
				clock("retire", indexRetired, []string{indexBuilding, indexWhole}, kind.T("停用", "Retire")),
			},
		},
		View: kind.View{TitleField: "code", Columns: []string{"code", "done", "total", "state", "updatedAt"}, Filters: []string{"code", "_state"}, Menu: Menu, Icon: "Search", Order: 220},
	}
}

// building is the data of a ParameterIndex.
type building struct {
	Code  string `json:"code"`
	Of    int64  `json:"of"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Base  string `json:"base"`
	After string `json:"after"`
}

// progressEvery is after how many records the progress is written down: what a
// crash repeats at most.
const progressEvery = 5000

// parameterLoop builds the indexes of SearchParameters as they come into effect,
// and carries on where it was killed.
func parameterLoop(f *Format) loop.Loop {
	return loop.Loop{
		Name: "search-parameters", Title: kind.T("为自定义查询参数建立索引", "Builds the indexes of search parameters of one's own"),
		Watch: []loop.Watch{{Kind: parameterKind}},
		Look: func(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
			p := f.parameters.Load()
			if p == nil {
				return 0, nil // not attached to a kernel yet
			}
			if err := p.load(ctx); err != nil {
				return 0, err
			}
			return 0, p.build(ctx, h, key.ID)
		},
	}
}

// build makes the index of one SearchParameter whole, or retires it.
func (p *parameters) build(ctx context.Context, h *loop.Handle, id string) error {
	key := record.Key{Kind: ParameterIndexKind, ID: id}
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return err
	}
	own := p.find(id)
	if own == nil {
		if there && rec.State != indexRetired {
			return h.Say(ctx, rec, "retire", nil)
		}
		return nil
	}
	var at building
	if there {
		if err := json.Unmarshal(rec.Data, &at); err != nil {
			return errs.Wrap("search parameters", key.String(), err)
		}
	}
	if !there || at.Of != own.version || rec.State == indexRetired {
		counts, err := p.k.Counts(ctx, identity.Root())
		if err != nil {
			return err
		}
		at = building{Code: own.code, Of: own.version}
		for _, base := range own.bases {
			at.Total += counts[base]
		}
		if there {
			err = h.Say(ctx, rec, "rebuild", at)
		} else {
			err = h.Ensure(ctx, key, at)
		}
		if err != nil {
			return err
		}
	} else if rec.State == indexWhole {
		return nil
	}
	return p.carryOn(ctx, h, own, at)
}

// carryOn indexes from the place at on and writes down how far it is.
func (p *parameters) carryOn(ctx context.Context, h *loop.Handle, own *ownParameter, at building) error {
	say := func(verb string) error {
		rec, there, err := h.Read(ctx, record.Key{Kind: ParameterIndexKind, ID: own.id})
		if err != nil || !there {
			return err
		}
		return h.Say(ctx, rec, verb, at)
	}
	from := max(slices.Index(own.bases, at.Base), 0)
	for _, base := range own.bases[from:] {
		if base != at.Base {
			at.Base, at.After = base, ""
		}
		unsaid := 0
		err := p.k.Reindex(ctx, base, at.After, func(records int, after string) error {
			if now := p.find(own.id); now == nil || now.version != own.version {
				return errs.E(errs.Conflict, "search parameters", own.code, "参数定义已改变，从头再建。", "The definition changed; its index is begun again.")
			}
			at.Done += int64(records)
			at.After = after
			if unsaid += records; unsaid < progressEvery || after == "" {
				return nil
			}
			unsaid = 0
			return say("advance")
		})
		if err != nil {
			return err
		}
	}
	at.Base, at.After = "", ""
	return say("complete")
}
