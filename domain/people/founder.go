package people

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// founderKey is the user of the first start.
var founderKey = record.Key{Kind: userName, ID: "admin"}

// FirstStart is how to sign in for the first time.
type FirstStart struct {
	Login    string
	Password string // as given, else made; empty where this was not the first start
	OneTime  bool   // it was made and must be changed
}

// Bootstrap makes the user "admin" on a store that never had one: the founder,
// who appoints the three administrators. password is what the operator chose;
// empty: one is made, to be printed once. On any later start it does nothing and
// returns the zero value: a lost password is not recovered by restarting.
func (s *People) Bootstrap(ctx context.Context, password string) (FirstStart, error) {
	var was user
	_, err := s.load(ctx, founderKey, &was)
	if err == nil || kernel.IsGone(err) {
		return FirstStart{}, nil
	}
	if !errs.Is(err, errs.NotFound) {
		return FirstStart{}, err
	}
	first := FirstStart{Login: founderKey.ID, Password: password}
	c := credential{}
	if password == "" {
		if first.Password, err = oneTime(); err != nil {
			return FirstStart{}, err
		}
		first.OneTime, c.OneTime = true, true
	}
	if c.Hash, err = s.hasher.hash(ctx, first.Password); err != nil {
		return FirstStart{}, err
	}
	_, err = s.kernel.Write(ctx, identity.Root(),
		kernel.Change{Op: record.Create, Key: founderKey, Data: encode(user{Name: "系统启用人", Login: founderKey.ID, Roles: []string{roleName + "/" + Founder}})},
		kernel.Change{Op: record.Create, Key: record.Key{Kind: credentialName, ID: founderKey.ID}, Data: encode(c)},
	)
	if errs.Is(err, errs.Conflict) { // another process over the same store was first
		return FirstStart{}, nil
	}
	return first, err
}

// Seed makes the records that the declarations presuppose: a role record for
// every role that some kind grants something to or that is shown a label, and the
// sign-in policy. What is
// there already, or was deleted on purpose, is left alone.
func (s *People) Seed(ctx context.Context) error {
	names := map[string]bool{Founder: true, Integration: true}
	for _, a := range Administrators {
		names[a] = true
	}
	for _, k := range s.kernel.Registry().Kinds() {
		for _, g := range k.Access {
			if g.Role != "*" {
				names[g.Role] = true
			}
		}
	}
	for _, l := range s.kernel.Rules().Privacy.Labels {
		for _, role := range l.Roles {
			names[role] = true
		}
	}
	var changes []kernel.Change
	want := func(key record.Key, data any) error {
		_, err := s.kernel.Read(inner(ctx), identity.Root(), key)
		if errs.Is(err, errs.NotFound) && !kernel.IsGone(err) {
			changes = append(changes, kernel.Change{Op: record.Create, Key: key, Data: encode(data)})
			return nil
		}
		if kernel.IsGone(err) {
			return nil
		}
		return err
	}
	for name := range names {
		title, ok := titles[name]
		if !ok {
			title = kind.T(name, name)
		}
		if err := want(record.Key{Kind: roleName, ID: name}, map[string]string{"name": title.ZH, "english": title.EN}); err != nil {
			return err
		}
	}
	if err := want(policyKey, map[string]any{}); err != nil {
		return err
	}
	if len(changes) == 0 {
		return nil
	}
	slices.SortFunc(changes, func(a, b kernel.Change) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	_, err := s.kernel.Write(ctx, identity.Root(), changes...)
	if errs.Is(err, errs.Conflict) { // another process over the same store was first
		return nil
	}
	return err
}

var validLogin = regexp.MustCompile("^" + loginForm + "$")

// Appointment is one administrator.
type Appointment struct {
	Role  string `json:"role"`
	User  string `json:"user"` // reference
	Name  string `json:"name"`
	Login string `json:"login"`
}

// SetUp tells whether all three administrators have been appointed.
func (s *People) SetUp(ctx context.Context) (bool, error) { return s.appointed(ctx) }

// Appointed lists the administrators that have been appointed so far.
func (s *People) Appointed(ctx context.Context) ([]Appointment, error) {
	out := []Appointment{}
	for _, role := range Administrators {
		found, err := s.holders(ctx, role)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			var u user
			if err := json.Unmarshal(r.Data, &u); err != nil {
				return nil, errs.Wrap("people", r.Key.String(), err)
			}
			out = append(out, Appointment{role, r.Key.String(), u.Name, u.Login})
		}
	}
	return out, nil
}

// Appoint makes one administrator: a new user with that office alone and a
// one-time password. Only the founder may, each office once; with the third one
// the founder's own role is taken away in the same transaction. Errors:
// Forbidden, Invalid (no such office), Conflict (held already, user name taken).
func (s *People) Appoint(ctx context.Context, by *identity.Principal, role, login, name string) (Appointment, string, error) {
	none := Appointment{}
	if !by.Has(Founder) {
		return none, "", errs.E(errs.Forbidden, "appoint", role, "只有首次启动的启用人可以任命三员，任命完成后此权力即告终止。", "Only the founder of the first start appoints the three administrators, and that power ends with the third.")
	}
	if !slices.Contains(Administrators, role) {
		return none, "", errs.E(errs.Invalid, "appoint", role, "职位应为 system-admin、security-admin 或 audit-admin。", "The office is one of system-admin, security-admin and audit-admin.").At("role")
	}
	login = strings.ToLower(strings.TrimSpace(login))
	if !validLogin.MatchString(login) {
		return none, "", errs.E(errs.Invalid, "appoint", login, "用户名应为 2–32 个小写字母、数字、点、横线或下划线。", "A user name is 2–32 lower-case letters, digits, dots, hyphens or underscores.").At("login")
	}
	defer s.serial.enter("/appoint")() // no user name has a slash
	missing := 0
	for _, office := range Administrators {
		found, err := s.holders(ctx, office)
		if err != nil {
			return none, "", err
		}
		if len(found) == 0 {
			missing++
			continue
		}
		if office == role {
			return none, "", errs.E(errs.Conflict, "appoint", role, "这个职位已经任命过；以后的更换由安全管理员办理。", "This office is filled already; later changes are the security administrator's.").At("role")
		}
	}
	policy, err := s.Policy(ctx)
	if err != nil {
		return none, "", err
	}
	password, err := oneTime()
	if err != nil {
		return none, "", err
	}
	c := credential{OneTime: true, Expires: s.clock.Now().Add(policy.oneTime()).UTC()}
	if c.Hash, err = s.hasher.hash(ctx, password); err != nil {
		return none, "", err
	}
	id := strings.ReplaceAll(login, "_", "-")
	key := record.Key{Kind: userName, ID: id}
	changes := []kernel.Change{
		{Op: record.Create, Key: key, Data: encode(user{Name: strings.TrimSpace(name), Login: login, Roles: []string{roleName + "/" + role}})},
		{Op: record.Create, Key: record.Key{Kind: credentialName, ID: id}, Data: encode(c)},
	}
	if missing == 1 {
		var founder user
		rec, err := s.load(ctx, record.Key{Kind: userName, ID: strings.TrimPrefix(by.ID, userName+"/")}, &founder)
		if err != nil {
			return none, "", err
		}
		founder.Roles = slices.DeleteFunc(founder.Roles, func(r string) bool { return r == roleName+"/"+Founder })
		changes = append(changes, kernel.Change{Op: record.Update, Key: rec.Key, Expect: rec.Version, Data: encode(founder)})
	}
	audit.TrailOf(ctx).Name("appoint", key.String())
	_, err = s.kernel.Write(ctx, acting(by), changes...)
	for _, ch := range changes {
		s.forget(ch.Key)
	}
	if err != nil {
		return none, "", err
	}
	return Appointment{role, key.String(), strings.TrimSpace(name), login}, password, nil
}
