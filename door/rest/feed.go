package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// How a stream keeps its line: a sign of life so often, and so long for a
// client to take what is sent before it counts as gone.
const (
	heartbeat  = 15 * time.Second
	takeWithin = 30 * time.Second
	feedBatch  = 500
)

// change is one committed write as a stream tells it. It holds nothing of the
// record's data: a page that wants that reads it, and is asked for its right.
type change struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Version int64  `json:"version"`
	Op      string `json:"op"`
	Verb    string `json:"verb,omitempty"`
	From    string `json:"from,omitempty"`
	State   string `json:"state,omitempty"`
	At      string `json:"at"`
	By      string `json:"by"`
}

// feed streams the committed writes that p may see, in order and live, as
// Server-Sent Events (WHATWG HTML §9.2):
//
//   - "position" first, with the cursor of where the stream begins: what a page
//     loads after it, and the changes that follow, miss nothing between them;
//   - "change" for each write, with a cursor to resume after it;
//   - "position" again every 15 s, so that a resume need not pass again what was
//     not for p, and the line is known to live;
//   - "resync" where the given cursor is of an older epoch, has been trimmed away
//     or is not one of p's: load anew, then follow from the position given with it.
//
// It resumes after Last-Event-ID, or after=, with nothing missed and nothing
// twice.
func (d *Door) feed(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r, "after"); err != nil {
		return err
	}
	select {
	case <-d.hub.live:
	case <-r.Context().Done():
		return nil
	}
	head, err := d.kernel.Store().Position(r.Context())
	if err != nil {
		return err
	}
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("after")
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy must pass events on as they come
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	s := &stream{door: d, w: w, line: http.NewResponseController(w), p: p, who: p, at: head}
	if cursor == "" {
		err = s.position("position")
	} else if at, ok := d.open(p, head.Site, cursor); ok && at.Epoch == head.Epoch && at.Seq <= head.Seq {
		s.at = at
		err = s.position("position")
	} else {
		err = s.position("resync")
	}
	if err == nil {
		err = s.follow(r.Context())
	}
	if err != nil && r.Context().Err() == nil && !errs.Is(err, errs.Unauthenticated) {
		d.log.Debug("a stream of the feed ended", "who", p.ID, "error", err)
	}
	return nil // the status is sent; the client sees the end of the stream and comes back
}

// stream is one open connection.
type stream struct {
	door *Door
	w    http.ResponseWriter
	line *http.ResponseController
	p    *identity.Principal // to whom cursors are sealed
	who  *identity.Principal // the same as he stands now
	at   record.Position     // everything up to here is dealt with
	buf  []byte
}

// follow deals with entries in order: from the store until it has caught up,
// then from the hub, and again from the store whenever the hub let go of it.
func (s *stream) follow(ctx context.Context) error {
	beat, stop := s.door.clock.After(heartbeat)
	defer func() { stop() }()
	for {
		l := s.door.hub.listen()
		err := s.catchUp(ctx)
		for err == nil {
			select {
			case e, ok := <-l.queue:
				if !ok {
					break
				}
				if e.Seq <= s.at.Seq {
					continue // read from the store already
				}
				if e.Seq != s.at.Seq+1 {
					break // the feed has no gaps: what lies between is in the store
				}
				batch := []record.Entry{e}
				for len(batch) < feedBatch && len(l.queue) > 0 {
					if e, ok = <-l.queue; !ok {
						break
					}
					batch = append(batch, e)
				}
				if err = s.send(ctx, batch); err == nil && ok {
					continue
				}
			case <-beat:
				stop()
				beat, stop = s.door.clock.After(heartbeat)
				if err = s.stillHeld(ctx); err == nil {
					err = s.position("position")
				}
				if err == nil {
					continue
				}
			case <-s.door.hub.closed:
				s.door.hub.leave(l)
				return nil
			case <-ctx.Done():
				err = ctx.Err()
			}
			break
		}
		s.door.hub.leave(l)
		if err != nil {
			return err
		}
	}
}

// catchUp reads the feed from the store until nothing is left.
func (s *stream) catchUp(ctx context.Context) error {
	for {
		entries, err := s.door.kernel.Store().Feed(ctx, s.at.Seq, feedBatch)
		if errs.Is(err, errs.Unavailable) || errs.Is(err, errs.Conflict) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// Trimmed: what lay between is no longer told one by one.
			if s.at, err = s.door.kernel.Store().Position(ctx); err != nil {
				return err
			}
			if err := s.position("resync"); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		if err := s.send(ctx, entries); err != nil {
			return err
		}
	}
}

// stillHeld asks anew who is behind the stream: it ends with the session, and a
// role taken away takes what it showed along.
func (s *stream) stillHeld(ctx context.Context) error {
	who, err := s.door.people.Still(silent(ctx), s.who)
	if err == nil {
		s.who = who
	}
	return err
}

// send tells those entries that may be seen.
func (s *stream) send(ctx context.Context, entries []record.Entry) error {
	if err := s.stillHeld(ctx); err != nil {
		return err
	}
	s.buf = s.buf[:0]
	for i := range entries {
		e := &entries[i]
		s.at = e.Position
		ok, err := s.door.maySee(ctx, s.who, e.Key)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		data, err := json.Marshal(change{e.Kind, e.ID, e.Version, e.Op.String(), e.Verb, e.From, e.State, moment(e.At), e.By})
		if err != nil {
			return errs.Wrap("rest", "feed", err)
		}
		if err := s.event("change", data); err != nil {
			return err
		}
	}
	return s.flush()
}

// position tells where the stream stands.
func (s *stream) position(event string) error {
	s.buf = s.buf[:0]
	if err := s.event(event, []byte(`{}`)); err != nil {
		return err
	}
	return s.flush()
}

func (s *stream) event(name string, data []byte) error {
	cursor, err := s.door.seal(s.p, s.at)
	if err != nil {
		return err
	}
	s.buf = append(s.buf, "id: "+cursor+"\nevent: "+name+"\ndata: "...)
	s.buf = append(append(s.buf, data...), '\n', '\n')
	return nil
}

func (s *stream) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	// A transport without deadlines (a recorder in a test) cannot hang either.
	_ = s.line.SetWriteDeadline(time.Now().Add(takeWithin))
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	return s.line.Flush()
}

// maySee tells whether p may read the newest version of a record, deleted or
// not.
func (d *Door) maySee(ctx context.Context, p *identity.Principal, key record.Key) (bool, error) {
	pred := d.kernel.Rules().Predicate(p, key.Kind, "read")
	if pred.All || pred.None() {
		return pred.All, nil
	}
	_, err := d.kernel.Read(silent(ctx), p, key)
	switch {
	case err == nil, kernel.IsGone(err):
		return true, nil
	case errs.Is(err, errs.NotFound):
		return false, nil
	}
	return false, err
}
