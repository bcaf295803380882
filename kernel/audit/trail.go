package audit

import (
	"context"
	"strconv"
	"sync"
)

// Trail gathers what one request does until its one entry is written. The door
// puts it in the context; the kernel's reads add what they disclose; the door
// makes the entry durable before the first byte of the answer. A write needs no
// entry from the door: the kernel audits it inside the transaction and says so
// with Written.
//
// All methods are safe for concurrent use, and do nothing on a nil Trail, so
// that code below a door need not ask whether there is one.
type Trail struct {
	mu       sync.Mutex
	action   string
	subject  string
	guessed  bool // by Guess: a later Name, or nothing at all, may replace it
	patient  string
	patients bool // more than one
	records  int
	written  bool
	detail   string
	opened   bool // something was read or written by breaking the glass
	reason   string
}

// BreakGlass is the purpose of use of what is done by breaking the glass: HL7 v3
// ActReason BTG.
const BreakGlass = "BTG"

// Opened notes that the request touches records of a person that were opened in
// an emergency, for the reason given then.
func (t *Trail) Opened(reason string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened, t.reason = true, reason
}

// opening puts the purpose and the reason of an opening into an entry.
func (t *Trail) opening(e *Entry) {
	if !t.opened {
		return
	}
	e.Purpose = BreakGlass
	if e.Reason == "" {
		e.Reason = t.reason
	}
}

// Name says what is being asked: the action ("read", "search", "sign-in") and
// what it is asked of ("Kind/id", "Kind?query", a route). The last call wins, so
// that a handler may say more precisely what its route only guessed.
func (t *Trail) Name(action, subject string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.action, t.subject, t.guessed = action, subject, false
}

// Guess is Name for code below a handler: it says what failed before anything
// was written, and stands only in the door's own entry, where no handler named
// anything.
func (t *Trail) Guess(action, subject string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.action == "" || t.guessed {
		t.action, t.subject, t.guessed = action, subject, true
	}
}

// Read notes one disclosed record and the person it is about ("Patient/1", empty
// where it is about nobody).
func (t *Trail) Read(patient string) { t.ReadMany(patient, 1) }

// ReadMany notes n disclosed records about one person.
func (t *Trail) ReadMany(patient string, n int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records += n
	switch {
	case patient == "" || patient == t.patient:
	case t.patient == "":
		t.patient = patient
	default:
		t.patients = true
	}
}

// Note sets the detail of the entry: a count, a reason; never contents, never
// secrets.
func (t *Trail) Note(detail string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detail = detail
}

// Written says that the store holds an entry of this request already, made in
// the transaction of its write (or kept alone when that was rolled back).
func (t *Trail) Written() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = true
}

// Named tells whether a handler named anything.
func (t *Trail) Named() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.action != "" && !t.guessed
}

// Due tells whether the door still owes an entry: always, except where the
// request only wrote and its write is audited already.
func (t *Trail) Due() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.written || t.records > 0
}

// Close puts what was gathered into the door's entry: Action and Subject where
// named or guessed, Patient where everything read was about one person, and the
// number of records read in Detail where the request did not set another.
func (t *Trail) Close(e *Entry) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.action != "" {
		e.Action, e.Subject = t.action, t.subject
	}
	if t.patient != "" && !t.patients {
		e.Patient = t.patient
	}
	t.opening(e)
	switch {
	case t.detail != "":
		e.Detail = t.detail
	case t.records > 0 && e.Detail == "":
		e.Detail = strconv.Itoa(t.records) + " records"
	}
}

// Fill puts into the entry of a write what a handler named for it: signing in
// writes a session, but it is signing in.
func (t *Trail) Fill(e *Entry) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.action != "" && !t.guessed {
		e.Action, e.Subject = t.action, t.subject
	}
	t.opening(e)
}

type trailKey struct{}

// WithTrail puts t in the context.
func WithTrail(ctx context.Context, t *Trail) context.Context {
	return context.WithValue(ctx, trailKey{}, t)
}

// TrailOf returns the trail in ctx; nil where there is none, which is ready to
// use.
func TrailOf(ctx context.Context) *Trail {
	t, _ := ctx.Value(trailKey{}).(*Trail)
	return t
}
