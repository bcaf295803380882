package operations

import (
	"context"
	"fmt"
	"time"

	"zhiwei/engine"
)

const (
	// answered is how long the answer to a check counts, and how soon the same check
	// is made again.
	answered = 15 * time.Second
	// maxAsked is how many checks one look makes.
	maxAsked = 4
)

// ask makes the checks that would tell most and that a machine can make by
// itself: a script that changes nothing. It reports whether anything new was
// learnt.
func (s *step) ask(ctx context.Context, th *thought) bool {
	news, made := false, 0
	for _, c := range th.verdict.Next {
		if c.Ask == "" || made == maxAsked || !s.app.senses.mayAsk(c.Thing, c.Sign, s.now) {
			continue
		}
		made++
		code, said, err := s.app.runs.Inspect(ctx, s.app.kernel, c.Thing, c.Ask, c.With)
		y := engine.Symptom{Thing: c.Thing, Source: engine.FromState, Name: engine.AnswerName, Text: c.Sign, Since: s.now, At: s.app.clock.Now()}
		zh, en := "没有", "no"
		switch {
		case err != nil || code != 0 && code != 1:
			s.app.senses.answer(y, false)
			continue
		case code == 0:
			zh, en = "是", "yes"
		default:
			y.Absent = true
		}
		s.app.senses.answer(y, true)
		news = true
		if said != "" {
			said = "（" + cut(said, 200) + "）"
		}
		if s.said(engine.MomentAsked, fmt.Sprintf("查看“%s”：%s？%s", s.name(c.Thing), c.Title.ZH, zh)) {
			continue // it was told when it was first seen so
		}
		s.tell(engine.MomentAsked, "", fmt.Sprintf("查看“%s”：%s？%s%s", s.name(c.Thing), c.Title.ZH, zh, said), fmt.Sprintf("Looked at “%s”: %s? %s", s.name(c.Thing), c.Title.EN, en))
	}
	return news
}

type asked struct {
	at      time.Time
	symptom *engine.Symptom // nil: nothing could be told
}

// mayAsk tells whether a check is due: it was not made lately.
func (s *senses) mayAsk(thing, sign string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, there := s.answers[signOf{thing, sign}]
	return !there || now.Sub(last.at) > answered
}

// answer keeps what a check told.
func (s *senses) answer(y engine.Symptom, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := asked{at: y.At}
	if told {
		a.symptom = &y
	}
	s.answers[signOf{y.Thing, y.Text}] = a
}
