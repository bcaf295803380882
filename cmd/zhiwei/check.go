package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/store"
)

func answerJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return errs.Wrap("answer", "", json.NewEncoder(w).Encode(v))
}

// finding is one line of a check: a damaged thing, a sign of life, or the end.
type finding struct {
	*store.Damage
	Alive bool   `json:"alive,omitempty"` // still reading
	Done  bool   `json:"done,omitempty"`
	Error string `json:"error,omitempty"` // why it could not go on
}

// checkRoute reads everything and answers one JSON line per damaged thing, then
// one that says it is done: an answer cut off is not a clean bill.
func (h *house) checkRoute(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	say := func(f finding) {
		if enc.Encode(f) == nil {
			_ = flush.Flush() // a client that went away is seen by the context
		}
	}
	found := make(chan store.Damage)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		ended <- h.check(ctx, func(d store.Damage) {
			select {
			case found <- d:
			case <-ctx.Done():
			}
		})
	}()
	life := time.NewTicker(5 * time.Second)
	defer life.Stop()
	for {
		select {
		case d := <-found:
			say(finding{Damage: &d})
		case <-life.C:
			say(finding{Alive: true})
		case err := <-ended:
			last := finding{Done: err == nil}
			if err != nil {
				last.Error = errs.Sentence(err, "zh") + " " + errs.Sentence(err, "en")
			}
			say(last)
			return nil
		}
	}
}

// check reads records, history, index, feed, audit and blobs.
func (h *house) check(ctx context.Context, report func(store.Damage)) error {
	if err := h.store.Check(ctx, report); err != nil {
		return err
	}
	return h.blobs.Each(ctx, func(addr string, _ int64, _ time.Time) error {
		if err := h.blobs.Verify(ctx, addr); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			report(store.Damage{What: "blob", Name: addr, Text: errs.Sentence(err, "zh") + " " + errs.Sentence(err, "en")})
		}
		return nil
	})
}

func check(ctx context.Context, e env, args []string) error {
	fs := flags(e, "check", "zhiwei check --data ./data")
	data := fs.String("data", "", "数据目录 data folder")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	damaged, done := 0, false
	err := withHouse(ctx, e, *data, func(c client) error {
		res, err := c.do(ctx, http.MethodPost, "/api/check", "", nil)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			var f finding
			if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
				return errs.Wrap("check", *data, err)
			}
			switch {
			case f.Damage != nil:
				damaged++
				fmt.Fprintf(e.stdout, "%s %s: %s\n", f.What, f.Name, f.Text)
			case f.Error != "":
				return errs.E(errs.Unavailable, "check", *data, f.Error, f.Error)
			case f.Done:
				done = true
			}
		}
		return errs.Wrap("check", *data, lines.Err())
	})
	if err != nil {
		return err
	}
	if !done {
		return errs.E(errs.Unavailable, "check", *data, "校验中断，没有完成。", "The check was cut off before its end.")
	}
	if damaged > 0 {
		fmt.Fprintf(e.stderr, "发现 %d 处损坏。 %d damaged.\n", damaged, damaged)
		return quiet(1)
	}
	return nil
}
