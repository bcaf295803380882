package automation

import (
	"context"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// takeBack undoes what succeeded, last first. A step without an undo stays; one
// whose undo fails stops what came before it from being undone, for that may
// stand on it.
func (w *worker) takeBack(ctx context.Context) verdict {
	w.mu.Lock()
	list := w.inOrder()
	w.mu.Unlock()
	// Undoing sees what the run saw: the outcomes of all its steps.
	for _, s := range list {
		if sc, v := w.scopeOf(ctx, s.data.Target); !v.ends() {
			sc.ended(s.data.Step, s.outcome())
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		if s.rec.State != engine.StepSucceeded {
			continue
		}
		def := findStep(w.book.Steps, s.data.Step)
		if def == nil || def.Undo == nil {
			continue
		}
		sc, v := w.scopeOf(ctx, s.data.Target)
		if v.ends() {
			return v
		}
		undo := *def.Undo
		undo.ID = "undo-" + def.ID
		if undo.Title.ZH == "" {
			undo.Title = kind.T("撤销："+titleOf(def), "Undo: "+titleOf(def))
		}
		if undo.Target == "" {
			undo.Target = def.Target
		}
		inner := sc.at(s.data.Item)
		if v := w.leaf(ctx, inner, s.data.Path+undoMark, s.data.Target, &undo); v.ends() {
			return v
		}
		if err := w.write(ctx, s, "undone", map[string]any{}); err != nil {
			return verdict{err: err}
		}
	}
	return verdict{}
}

// forecast says what a step would do, and does nothing.
func (w *worker) forecast(ctx context.Context, sc *scope, path, target string, def *engine.RunbookStep, cause error) verdict {
	s, err := w.reached(ctx, path, stepData{Step: def.ID, Title: titleOf(def), Type: def.Type, Target: target, Item: sc.item})
	if err != nil {
		return verdict{err: err}
	}
	if s.rec.State != engine.StepDue {
		return verdict{}
	}
	text := w.foresee(ctx, sc, target, def, cause)
	v, _ := w.end(ctx, s, "skip", map[string]any{"forecast": w.redact.text(text.ZH + "\n\n" + text.EN)})
	return v
}

func (w *worker) foresee(ctx context.Context, sc *scope, target string, def *engine.RunbookStep, cause error) kind.Text {
	later := func(err error) kind.Text {
		return kind.T("要看前面步骤的结果才能确定："+errs.Sentence(err, "zh"), "It depends on what earlier steps bring: "+errs.Sentence(err, "en"))
	}
	if cause != nil {
		return later(cause)
	}
	if def.Type == "" {
		return later(errs.E(errs.Invalid, "dry run", def.ID, "循环的对象还不知道。", "what it is repeated for is not known yet."))
	}
	holds, err := sc.holds(def.If, nil)
	if err == nil && !holds {
		return kind.T("会跳过：条件不成立。", "It would be skipped: its condition does not hold.")
	}
	t := w.e.registry.types[def.Type]
	call, callErr := w.call(ctx, sc, target, def.Target, t, def.With, "dry", defaultTimeout)
	if callErr != nil {
		return later(callErr)
	}
	said := t.Title
	if t.Forecast != nil {
		said = t.Forecast(call)
	}
	where := call.Target.Name
	if where == "" {
		said = kind.T("在本机"+said.ZH, "On this machine: "+said.EN)
	} else {
		said = kind.T("在 "+where+" 上"+said.ZH, "On "+where+": "+said.EN)
	}
	if err != nil { // the condition
		said.ZH, said.EN = "若条件成立，"+said.ZH, "If its condition holds: "+said.EN
	}
	if def.Approve != nil {
		said.ZH, said.EN = "经 "+def.Approve.Role+" 批准后，"+said.ZH, "Once "+def.Approve.Role+" approves. "+said.EN
	}
	return said
}
