package people

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// How long the watch rests before it takes up a feed that broke off, and how
// often the last use of sessions is made durable.
const (
	watchRetry = time.Second
	saveEvery  = time.Minute
)

// maxRoles bounds the walk through roles that include others.
const maxRoles = 200

// userPrincipal builds the principal of a user. lasting is false where it
// depends on more than the cache watches. A user who must change a handed-over
// password first is given an empty list of scopes, which allows nothing on any
// record; so is the founder, who may appoint and nothing else, and afterwards
// not even what everybody may. Unauthenticated where the user is gone or
// disabled.
func (s *People) userPrincipal(ctx context.Context, id string) (p *identity.Principal, mustChange, lasting bool, err error) {
	var u user
	rec, err := s.load(ctx, record.Key{Kind: userName, ID: id}, &u)
	if errs.Is(err, errs.NotFound) {
		return nil, false, false, notSignedIn()
	}
	if err != nil {
		return nil, false, false, err
	}
	// Locked is about signing in: somebody who guesses at a password must not be
	// able to throw its owner out of his work.
	if rec.State == disabled {
		return nil, false, false, notSignedIn()
	}
	var c credential
	if _, err := s.load(ctx, record.Key{Kind: credentialName, ID: id}, &c); err != nil && !errs.Is(err, errs.NotFound) {
		return nil, false, false, err
	}
	roles, err := s.roles(ctx, rec.Key, u.Roles)
	if err != nil {
		return nil, false, false, err
	}
	lasting = true
	if slices.Contains(roles, Founder) {
		// The founder's power ends with the third appointment, whatever the record
		// says; so it is asked anew each time.
		lasting = false
		done, err := s.appointed(ctx)
		if err != nil {
			return nil, false, false, err
		}
		if done {
			roles = slices.DeleteFunc(roles, func(r string) bool { return r == Founder })
		}
	}
	p = &identity.Principal{
		Type: identity.User, ID: rec.Key.String(), Name: u.Name, Roles: roles,
		Depts: ids(u.Departments), Orgs: ids(u.Organisations), Person: u.Person,
	}
	if c.OneTime || slices.Contains(u.Roles, roleName+"/"+Founder) || id == founderKey.ID && len(roles) == 0 {
		p.Scopes = []string{}
	}
	return p, c.OneTime, lasting, nil
}

// Of gives the principal behind an id ("user/anna", "token/7f…") as it stands
// now, for what is done in somebody's name while they are away, such as telling
// a subscriber. Unauthenticated where the user is gone or disabled, or the token
// gone, revoked or expired.
func (s *People) Of(ctx context.Context, id string) (*identity.Principal, error) {
	if root := identity.Root(); id == root.ID {
		return root, nil
	}
	key, ok := record.ParseKey(id)
	switch {
	case ok && key.Kind == userName:
		p, _, _, err := s.userPrincipal(ctx, key.ID)
		return p, err
	case ok && key.Kind == tokenName:
		e, err := s.openToken(ctx, key.ID, nil)
		if err != nil {
			return nil, err
		}
		if !e.holds(s.clock.Now()) {
			return nil, noToken()
		}
		return e.principal, nil
	}
	return nil, notSignedIn()
}

// roles are a user's own, those of the groups he is in, and all that these
// include. An administrator has his office alone: neither groups nor includes
// add to it.
func (s *People) roles(ctx context.Context, key record.Key, own []string) ([]string, error) {
	names := ids(own)
	for _, name := range names {
		if slices.Contains(Administrators, name) {
			return []string{name}, nil
		}
	}
	groups, err := s.find(ctx, groupName, 1000, refersTo("member", key))
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		var d struct {
			Roles []string `json:"roles"`
		}
		if err := json.Unmarshal(g.Data, &d); err != nil {
			return nil, errs.Wrap("people", g.Key.String(), err)
		}
		names = append(names, ids(d.Roles)...)
	}
	return s.withIncluded(ctx, names)
}

// withIncluded adds the roles that roles include, sorted and each once. Offices
// are never gained by inclusion.
func (s *People) withIncluded(ctx context.Context, names []string) ([]string, error) {
	seen := map[string]bool{}
	for i := 0; i < len(names) && len(seen) < maxRoles; i++ {
		if seen[names[i]] {
			continue
		}
		seen[names[i]] = true
		var d struct {
			Inherits []string `json:"inherits"`
		}
		_, err := s.load(ctx, record.Key{Kind: roleName, ID: names[i]}, &d)
		if errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, more := range ids(d.Inherits) {
			if !slices.Contains(Administrators, more) && more != Founder {
				names = append(names, more)
			}
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

// ids takes the ids out of references "kind/id".
func ids(refs []string) []string {
	var out []string
	for _, r := range refs {
		if _, id, ok := strings.Cut(r, "/"); ok {
			out = append(out, id)
		}
	}
	return out
}

// Watch keeps the memory of principals true until ctx ends: it forgets what the
// feed says has changed, by whichever process, and makes the last use of sessions
// durable. While it does not run, every request looks its principal up.
func (s *People) Watch(ctx context.Context) {
	defer s.listen(false)
	var saving sync.WaitGroup
	saving.Go(func() { s.saveSessions(ctx) })
	defer saving.Wait()
	for ctx.Err() == nil {
		if err := s.watch(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the feed broke off; principals are looked up anew until it is back", "error", err)
		}
		s.listen(false)
		retry, stop := s.clock.After(watchRetry)
		select {
		case <-retry:
		case <-ctx.Done():
		}
		stop()
	}
}

func (s *People) listen(on bool) {
	s.cache.listen(on)
	s.policy.Store(nil)
}

func (s *People) watch(ctx context.Context) error {
	from, err := s.kernel.Store().Position(ctx)
	if err != nil {
		return err
	}
	s.listen(true)
	return s.kernel.Follow(ctx, identity.Root(), from, func(e record.Entry) error {
		s.forget(e.Key)
		return nil
	}, nil)
}

// forget drops what depends on a record.
func (s *People) forget(key record.Key) {
	switch key.Kind {
	case sessionName, tokenName, userName, credentialName, roleName, groupName:
	case policyName:
		s.policy.Store(nil)
	default:
		return
	}
	s.cache.changed(key)
	if key.Kind == policyName {
		s.policy.Store(nil) // one read before the generation moved may have been kept since
	}
}

// saveSessions makes the last use of sessions durable every now and then.
func (s *People) saveSessions(ctx context.Context) {
	for {
		tick, stop := s.clock.After(saveEvery)
		select {
		case <-tick:
		case <-ctx.Done():
			stop()
			return
		}
		for id, e := range s.cache.unsaved() {
			s.save(ctx, id, e, s.clock.Now())
		}
	}
}

// holders counts the users, in any state, who hold a role by their own record.
func (s *People) holders(ctx context.Context, role string) ([]record.Record, error) {
	return s.find(ctx, userName, 2, refersTo("role", record.Key{Kind: roleName, ID: role}))
}

// appointed tells whether all three administrators exist. Once they did it stays
// true: the founder's power does not come back.
func (s *People) appointed(ctx context.Context) (bool, error) {
	if s.setUp.Load() {
		return true, nil
	}
	for _, role := range Administrators {
		found, err := s.holders(ctx, role)
		if err != nil || len(found) == 0 {
			return false, err
		}
	}
	s.setUp.Store(true)
	return true, nil
}
