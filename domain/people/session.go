package people

import (
	"context"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// session is the data of a session record.
type session struct {
	User    string    `json:"user"`
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires"`
	Seen    time.Time `json:"seen"`
	Remote  string    `json:"remote,omitempty"`
	Agent   string    `json:"agent,omitempty"`
}

// Session is one completed sign-in.
type Session struct {
	Secret    string // for the cookie; shown nowhere else
	Expires   time.Time
	Principal *identity.Principal
	Standing  Standing
}

// Standing is what the pages must know of a signed-in user.
type Standing struct {
	MustChange bool // the password was handed over and must be changed before anything else
	Founder    bool // may appoint the administrators, and they are not all appointed yet
}

func notSignedIn() error {
	return errs.E(errs.Unauthenticated, "sign-in", "session", "登录已到期或已结束，请重新登录。", "This session has expired or ended; sign in again.")
}

// Session tells who holds a session's secret and notes that it was used. It
// fails with Unauthenticated where the session is unknown, ended, expired or was
// idle too long.
func (s *People) Session(ctx context.Context, secret string) (*identity.Principal, error) {
	e, err := s.session(ctx, secret)
	if err != nil {
		return nil, err
	}
	return e.principal, nil
}

// Standing tells the pages how the holder of p stands.
func (s *People) Standing(ctx context.Context, p *identity.Principal) (Standing, error) {
	st := Standing{Founder: p.Has(Founder)}
	if p.Type != identity.User {
		return st, nil
	}
	key, ok := record.ParseKey(p.ID)
	if !ok {
		return st, nil
	}
	var c credential
	_, err := s.load(ctx, record.Key{Kind: credentialName, ID: key.ID}, &c)
	if errs.Is(err, errs.NotFound) {
		return st, nil
	}
	st.MustChange = c.OneTime
	return st, err
}

// Still gives the principal behind p as it stands now, without counting as use
// of the session: for answers that last, such as a stream. Unauthenticated where
// the session or token has ended since. Principals of the program itself stand.
func (s *People) Still(ctx context.Context, p *identity.Principal) (*identity.Principal, error) {
	if p.Session == "" {
		return p, nil
	}
	e := s.cache.get(p.Session)
	if e == nil {
		var err error
		switch p.Type {
		case identity.User:
			e, err = s.openSession(ctx, p.Session, nil)
		case identity.Service:
			e, err = s.openToken(ctx, p.Session, nil)
		default:
			return p, nil
		}
		if err != nil {
			return nil, err
		}
	}
	if !e.holds(s.clock.Now()) {
		return nil, notSignedIn()
	}
	return e.principal, nil
}

func (s *People) session(ctx context.Context, secret string) (*entry, error) {
	b, ok := parseSession(secret)
	if !ok {
		return nil, notSignedIn()
	}
	now := s.clock.Now()
	e := s.cache.get(b.id)
	if e == nil {
		var err error
		if e, err = s.openSession(ctx, b.id, &b); err != nil {
			return nil, err
		}
	}
	if e.user == "" || !b.is(e.hash) || !e.holds(now) {
		return nil, notSignedIn()
	}
	if ms := now.UnixMilli(); ms > e.seen.Load() {
		e.seen.Store(ms)
	}
	return e, nil
}

// openSession builds the entry of a session from its record. b, where given, must
// hold its secret.
func (s *People) openSession(ctx context.Context, id string, b *bearer) (*entry, error) {
	gen := s.cache.generation()
	var data session
	rec, err := s.load(ctx, record.Key{Kind: sessionName, ID: id}, &data)
	if errs.Is(err, errs.NotFound) {
		return nil, notSignedIn()
	}
	if err != nil {
		return nil, err
	}
	if rec.State != active || b != nil && !b.is(data.Hash) {
		return nil, notSignedIn()
	}
	policy, err := s.Policy(ctx)
	if err != nil {
		return nil, err
	}
	key, _ := record.ParseKey(data.User)
	p, _, lasting, err := s.userPrincipal(ctx, key.ID)
	if err != nil {
		return nil, err
	}
	p.Session = rec.ID
	e := &entry{principal: p, hash: data.Hash, user: key.ID, expires: data.Expires, idle: policy.idle()}
	e.seen.Store(data.Seen.UnixMilli())
	e.kept.Store(data.Seen.UnixMilli())
	switch {
	case lasting && s.cache.put(id, e, gen):
	case b != nil && e.holds(s.clock.Now()):
		// Not remembered: then each use is noted at once, or it would look idle.
		s.save(ctx, id, e, s.clock.Now())
	}
	return e, nil
}

// save makes the last use of a session durable, where that is due.
func (s *People) save(ctx context.Context, id string, e *entry, now time.Time) {
	if now.UnixMilli()-e.kept.Load() <= e.idle.Milliseconds()/6 {
		return
	}
	var data session
	key := record.Key{Kind: sessionName, ID: id}
	rec, err := s.load(ctx, key, &data)
	if err != nil || rec.State != active {
		return
	}
	data.Seen = now.UTC()
	if _, err := s.kernel.Write(inner(ctx), identity.Root(), kernel.Change{Op: record.Update, Key: key, Expect: rec.Version, Data: encode(data)}); err != nil && !errs.Is(err, errs.Conflict) {
		s.log.Warn("the last use of a session could not be kept; it may end early", "session", id, "error", err)
		return
	}
	e.kept.Store(now.UnixMilli())
}

// begin makes a session for a user who has proved who he is.
func (s *People) begin(ctx context.Context, p *identity.Principal, userID string) (Session, error) {
	policy, err := s.Policy(ctx)
	if err != nil {
		return Session{}, err
	}
	b, err := newBearer()
	if err != nil {
		return Session{}, err
	}
	now := s.clock.Now().UTC()
	req := identity.RequestOf(ctx)
	data := session{User: userName + "/" + userID, Hash: b.hash(), Expires: now.Add(policy.session()), Seen: now, Remote: req.Remote, Agent: req.Agent}
	as := acting(p)
	as.Session = b.id
	if _, err := s.kernel.Write(ctx, as, kernel.Change{Op: record.Create, Key: record.Key{Kind: sessionName, ID: b.id}, Data: encode(data)}); err != nil {
		return Session{}, err
	}
	who := *p
	who.Session = b.id
	return Session{Secret: b.session(), Expires: data.Expires, Principal: &who}, nil
}

// SignOut ends the session p came with; a principal without one has nothing to
// end.
func (s *People) SignOut(ctx context.Context, p *identity.Principal) error {
	if p.Type != identity.User || p.Session == "" {
		return nil
	}
	key := record.Key{Kind: sessionName, ID: p.Session}
	audit.TrailOf(ctx).Name("sign-out", p.ID)
	_, err := s.kernel.Write(ctx, acting(p), kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: "end"})
	s.forget(key)
	return err
}

// openSessions lists the ids of a user's sessions that have not ended, but one.
func (s *People) openSessions(ctx context.Context, userID, but string) ([]string, error) {
	found, err := s.find(ctx, sessionName, 1000, refersTo("user", record.Key{Kind: userName, ID: userID}), isToken(search.ParamState, active))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range found {
		if r.ID != but {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}
