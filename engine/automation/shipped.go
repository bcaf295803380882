package automation

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// The runbooks that come with the program.
//
//go:embed runbooks/*.yaml
var shipped embed.FS

// Shipped reads the runbooks that come with the program, checked against r.
// Invalid naming the file and the place.
func Shipped(r *Registry) ([]engine.Runbook, error) {
	var out []engine.Runbook
	err := fs.WalkDir(shipped, "runbooks", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := shipped.ReadFile(name)
		if err != nil {
			return err
		}
		rb, err := Parse(text)
		if err == nil {
			err = r.Validate(rb)
		}
		if err == nil && "runbooks/"+rb.Name+".yaml" != name {
			err = badRunbook("name", "标识与文件名不一致。", "its name is not that of its file.")
		}
		if err != nil {
			return errs.Wrap("shipped runbook", name, err)
		}
		out = append(out, rb)
		return nil
	})
	return out, err
}

// Written is the rules of runbooks as records: what is written can be run as far
// as its words go, so that a mistake shows to whoever makes it, and not when the
// runbook is ordered.
func (r *Registry) Written() kernel.Validator { return written{r} }

type written struct{ *Registry }

// Validate implements kernel.Validator. Errors as of Registry.Validate.
func (w written) Validate(_ context.Context, _ *kind.Kind, doc map[string]any) error {
	at := func(err error) error {
		var e *errs.Error
		if errors.As(err, &e) {
			return e.At(strings.TrimSuffix("definition."+e.Path, "."))
		}
		return err
	}
	raw, err := json.Marshal(doc["definition"])
	if err != nil {
		return errs.Wrap("check runbook", "", err)
	}
	rb, err := Decode(raw)
	if err != nil {
		return at(err)
	}
	if rb.Name != doc["name"] {
		return at(badRunbook("name", "内容里的标识应与记录的标识相同。", "the name in its definition is not that of the record."))
	}
	return at(w.Registry.Validate(rb))
}

// Deliver brings runbooks into the records: new ones live, those that came with
// the program before brought up to date. What people wrote or changed stays:
// a record that is not marked as shipped is theirs. Errors as of kernel.Write.
func Deliver(ctx context.Context, k *kernel.Kernel, p *identity.Principal, books []engine.Runbook) error {
	for _, rb := range books {
		data := map[string]any{"name": rb.Name, "title": rb.Title.ZH, "titleEn": rb.Title.EN, "risk": rb.Risk, "definition": rb, "shipped": true}
		if len(rb.Tags) > 0 {
			data["tags"] = rb.Tags
		}
		raw, err := json.Marshal(data)
		if err != nil {
			return errs.Wrap("deliver", rb.Name, err)
		}
		key := record.Key{Kind: engine.RunbookKind, ID: rb.Name}
		rec, err := k.Read(ctx, p, key)
		switch {
		case errs.Is(err, errs.NotFound) && strings.Contains(err.Error(), "deleted"):
			continue
		case errs.Is(err, errs.NotFound):
			out, err := k.Write(ctx, p, kernel.Change{Op: record.Create, Key: key, Data: raw})
			if errs.Is(err, errs.Conflict) {
				continue // it was deleted by a person
			}
			if err != nil {
				return err
			}
			rec = out[0]
		case err != nil:
			return err
		}
		var old, now map[string]any
		if err := json.Unmarshal(rec.Data, &old); err != nil {
			return errs.Wrap("deliver", rb.Name, err)
		}
		if err := json.Unmarshal(raw, &now); err != nil {
			return errs.Wrap("deliver", rb.Name, err)
		}
		if old["shipped"] != true || rec.State == engine.RunbookRetired || rec.State == engine.RunbookLive && reflect.DeepEqual(old, now) {
			continue
		}
		if _, err := k.Write(ctx, p, kernel.Change{Op: record.Verb, Key: key, Expect: rec.Version, Verb: "deliver", Data: raw}); err != nil && !errs.Is(err, errs.Conflict) {
			return err
		}
	}
	return nil
}
