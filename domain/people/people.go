// Package people knows who works here: users, their roles, groups, departments
// and organisations, how they sign in, and the tokens of services. It does not
// decide what anybody may do to a record: the grants of kinds do.
package people

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// People signs users in and tells who holds a secret. It is safe for concurrent
// use. Until Start runs, nothing is remembered between requests; from then on
// principals are kept until the feed says that something they depend on changed.
type People struct {
	kernel *kernel.Kernel
	clock  clock.Clock
	log    *slog.Logger
	hasher *hasher
	serial serial
	cache  *cache
	policy atomic.Pointer[Policy]
	setUp  atomic.Bool // all three administrators have been appointed
}

// New makes the domain over a kernel whose registry holds Kinds.
func New(k *kernel.Kernel, log *slog.Logger) *People {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &People{
		kernel: k, clock: k.Clock(), log: log,
		// One hash saturates a core; more at once would only wait in memory.
		hasher: newHasher(runtime.GOMAXPROCS(0)),
		serial: serial{held: map[string]*turn{}},
		cache:  newCache(),
	}
}

// user is the data of a user record.
type user struct {
	Name          string    `json:"name"`
	Login         string    `json:"login"`
	Title         string    `json:"title,omitempty"`
	Phone         string    `json:"phone,omitempty"`
	Person        string    `json:"person,omitempty"`
	Roles         []string  `json:"roles,omitempty"`
	Departments   []string  `json:"departments,omitempty"`
	Organisations []string  `json:"organisations,omitempty"`
	LockedUntil   time.Time `json:"lockedUntil,omitzero"`
}

// credential is the data of a credential record, whose id is its user's.
type credential struct {
	Hash    string    `json:"hash"`
	OneTime bool      `json:"oneTime"`
	Expires time.Time `json:"expires,omitzero"` // of a one-time password
}

// Policy says how sign-in is guarded. It is a record; these are its defaults
// until it is changed.
type Policy struct {
	Failures       int `json:"failures"`
	LockMinutes    int `json:"lockMinutes"`
	IdleMinutes    int `json:"idleMinutes"`
	SessionHours   int `json:"sessionHours"`
	PasswordLength int `json:"passwordLength"`
	OneTimeHours   int `json:"oneTimeHours"`
}

func (p Policy) lock() time.Duration    { return time.Duration(p.LockMinutes) * time.Minute }
func (p Policy) idle() time.Duration    { return time.Duration(p.IdleMinutes) * time.Minute }
func (p Policy) session() time.Duration { return time.Duration(p.SessionHours) * time.Hour }
func (p Policy) oneTime() time.Duration { return time.Duration(p.OneTimeHours) * time.Hour }

// policyKey is the one policy of a site.
var policyKey = record.Key{Kind: policyName, ID: "default"}

// Policy gives the rules of sign-in now in force.
func (s *People) Policy(ctx context.Context) (Policy, error) {
	if p := s.policy.Load(); p != nil {
		return *p, nil
	}
	gen := s.cache.generation()
	var p Policy
	if _, err := s.load(ctx, policyKey, &p); err != nil {
		return Policy{}, err
	}
	if s.cache.live(gen) {
		s.policy.Store(&p)
	}
	return p, nil
}

// inner is ctx for what this package looks up for itself: it discloses nothing
// to whoever asks, so it is not noted in the request's trail.
func inner(ctx context.Context) context.Context { return audit.WithTrail(ctx, nil) }

// acting is p with the trust of the program, for steps that the rules of this
// package permit though no grant does. The audit still names p.
func acting(p *identity.Principal) *identity.Principal {
	as := *p
	as.Type, as.Scopes = identity.System, nil
	return &as
}

// load reads a live record as the program itself.
func (s *People) load(ctx context.Context, key record.Key, into any) (record.Record, error) {
	r, err := s.kernel.Read(inner(ctx), identity.Root(), key)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(r.Data, into); err != nil {
		return r, errs.Wrap("people", key.String(), err)
	}
	return r, nil
}

// find searches as the program itself.
func (s *People) find(ctx context.Context, kindName string, limit int, where ...search.Clause) ([]record.Record, error) {
	page, err := s.kernel.Search(inner(ctx), identity.Root(), search.Query{Kind: kindName, Where: where, Limit: limit})
	return page.Records, err
}

func isToken(param, code string) search.Clause {
	return search.Clause{Param: param, Any: []search.Value{{AnySystem: true, Code: code}}}
}

func refersTo(param string, key record.Key) search.Clause {
	return search.Clause{Param: param, Any: []search.Value{{Ref: key}}}
}

// byLogin finds the user of a user name; ok is false where there is none.
func (s *People) byLogin(ctx context.Context, login string) (rec record.Record, u user, ok bool, err error) {
	found, err := s.find(ctx, userName, 1, isToken("login", login))
	if err != nil || len(found) == 0 {
		return rec, u, false, err
	}
	rec = found[0]
	if err := json.Unmarshal(rec.Data, &u); err != nil {
		return rec, u, false, errs.Wrap("people", rec.Key.String(), err)
	}
	return rec, u, true, nil
}

// encode gives what is written; the types of this package always can be.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
