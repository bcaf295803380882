package people_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/people"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/store/storetest"
)

// hospital is a kernel over a store, with people and nothing else.
type hospital struct {
	*people.People
	kernel *kernel.Kernel
	clock  *clock.Manual
}

func open(t *testing.T) *hospital {
	t.Helper()
	clk := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	reg := kernel.NewRegistry()
	for _, k := range people.Kinds() {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	st := storetest.NewModel("here", reg, clk)
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "here", Store: st, Registry: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close(); _ = st.Close() })
	h := &hospital{people.New(k, nil), k, clk}
	if err := h.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// watched is open with the feed followed, as while serving.
func watched(t *testing.T) *hospital {
	h := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Watch(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

const founderPassword = "early-bird-gets-it-7"

// founded is a hospital whose founder has signed in.
func (h *hospital) founder(t *testing.T) *identity.Principal {
	t.Helper()
	first, err := h.Bootstrap(t.Context(), founderPassword)
	if err != nil || first.Login != "admin" || first.OneTime {
		t.Fatalf("bootstrap: %+v, %v", first, err)
	}
	s, err := h.SignIn(t.Context(), "admin", founderPassword)
	if err != nil {
		t.Fatal(err)
	}
	return h.whose(t, s.Secret)
}

func (h *hospital) whose(t *testing.T, secret string) *identity.Principal {
	t.Helper()
	p, err := h.Session(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// securityAdmin appoints all three and signs the security administrator in.
func (h *hospital) securityAdmin(t *testing.T) *identity.Principal {
	t.Helper()
	f := h.founder(t)
	var password string
	for _, role := range people.Administrators {
		_, pw, err := h.Appoint(t.Context(), f, role, role, "张"+role)
		if err != nil {
			t.Fatal(err)
		}
		if role == people.SecurityAdmin {
			password = pw
		}
	}
	return h.enter(t, "security-admin", password, "Quite-a-long-one-8")
}

// enter signs in with a one-time password and changes it.
func (h *hospital) enter(t *testing.T, login, oneTime, fresh string) *identity.Principal {
	t.Helper()
	s, err := h.SignIn(t.Context(), login, oneTime)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Standing.MustChange {
		t.Fatal("a one-time password need not be changed")
	}
	if err := h.ChangePassword(t.Context(), h.whose(t, s.Secret), oneTime, fresh); err != nil {
		t.Fatal(err)
	}
	return h.whose(t, s.Secret)
}

// user makes a user as by and returns his key.
func (h *hospital) user(t *testing.T, by *identity.Principal, login string, roles ...string) record.Key {
	t.Helper()
	rec, err := h.makeUser(t.Context(), by, login, roles...)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Key
}

func (h *hospital) makeUser(ctx context.Context, by *identity.Principal, login string, roles ...string) (record.Record, error) {
	refs := []string{}
	for _, r := range roles {
		refs = append(refs, "role/"+r)
	}
	raw, _ := json.Marshal(map[string]any{"name": "李" + login, "login": login, "roles": refs})
	out, err := h.kernel.Write(ctx, by, kernel.Change{Op: record.Create, Key: record.Key{Kind: "user"}, Data: raw})
	if err != nil {
		return record.Record{}, err
	}
	return out[0], nil
}

func wantKind(t *testing.T, err error, kind errs.Kind) {
	t.Helper()
	if !errs.Is(err, kind) || err == nil {
		t.Fatalf("got %v, want %s", err, kind)
	}
}

func TestLockOut(t *testing.T) {
	h := open(t)
	admin := h.securityAdmin(t)
	key := h.user(t, admin, "anna", people.Integration)
	pw, err := h.IssuePassword(t.Context(), admin, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.enter(t, "anna", pw, "Blue-Kingfisher-42")
	try := func(password string) error {
		_, err := h.SignIn(t.Context(), "anna", password)
		return err
	}
	for range 4 {
		wantKind(t, try("wrong"), errs.Unauthenticated)
	}
	if err := try("Blue-Kingfisher-42"); err != nil {
		t.Fatalf("four failures locked the account: %v", err)
	}
	h.clock.Move(time.Second)
	working, err := h.SignIn(t.Context(), "anna", "Blue-Kingfisher-42")
	if err != nil {
		t.Fatal(err)
	}
	h.clock.Move(time.Second)
	var last error
	for range 5 {
		last = try("wrong")
	}
	locked := try("Blue-Kingfisher-42")
	wantKind(t, locked, errs.Unauthenticated)
	unknown := func() error { _, err := h.SignIn(t.Context(), "nobody", "wrong"); return err }()
	for _, lang := range []string{"zh", "en"} {
		if errs.Sentence(locked, lang) != errs.Sentence(last, lang) || errs.Sentence(unknown, lang) != errs.Sentence(last, lang) {
			t.Fatal("the answers tell a locked or unknown user from a wrong password")
		}
	}
	rec, err := h.kernel.Read(t.Context(), identity.Root(), key)
	if err != nil || rec.State != "locked" {
		t.Fatalf("state %q, %v", rec.State, err)
	}
	h.whose(t, working.Secret) // guessing throws nobody out of his work
	h.clock.Move(14 * time.Minute)
	wantKind(t, try("Blue-Kingfisher-42"), errs.Unauthenticated)
	h.clock.Move(time.Minute)
	if err := try("Blue-Kingfisher-42"); err != nil {
		t.Fatalf("the lock did not end: %v", err)
	}
	// A security administrator ends it earlier.
	h.clock.Move(time.Second)
	for range 5 {
		wantKind(t, try("wrong"), errs.Unauthenticated)
	}
	if _, err := h.kernel.Write(t.Context(), admin, kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: "unlock", Evidence: map[string]any{"reason": "本人到场核实"}}); err != nil {
		t.Fatal(err)
	}
	if err := try("Blue-Kingfisher-42"); err != nil {
		t.Fatalf("unlocking did not help: %v", err)
	}
	// Every attempt is in the audit, and guessing wrote nothing but the locks.
	entries, err := h.kernel.Store().Audits(t.Context(), audit.Query{Action: "sign-in", Subject: key.String(), Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, e := range entries {
		if e.Outcome == audit.Refused {
			refused++
		}
	}
	if refused != 4+5+1+1+5 {
		t.Errorf("%d refused attempts in the audit, want 16", refused)
	}
}

// Another process over the same store: its tokens work here at once, and what it
// revokes stops here when the feed says so.
func TestTwoProcesses(t *testing.T) {
	h := watched(t)
	other := people.New(h.kernel, nil)
	plain, key, err := other.CreateToken(t.Context(), identity.Root(), people.TokenRequest{Name: "PACS"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Token(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if _, err := h.kernel.Write(t.Context(), identity.Root(), kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: "revoke", Evidence: map[string]any{"reason": "x"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Token(t.Context(), plain); err == nil {
		t.Fatal("a process that remembers nothing takes a revoked token")
	}
	began := time.Now()
	for {
		if _, err := h.Token(t.Context(), plain); err != nil {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("a revoked token still works")
		}
	}
	t.Logf("revoked %v after the write", time.Since(began))
	a, err := h.Seal(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := other.Seal(t.Context(), "x"); err != nil || string(a) != string(b) || len(a) != 32 {
		t.Fatal("two processes seal with two keys", err)
	}
}

func TestUnknownUserIsCountedInTheAudit(t *testing.T) {
	h := open(t)
	_, err := h.SignIn(t.Context(), " NoBody ", "x")
	wantKind(t, err, errs.Unauthenticated)
	entries, err := h.kernel.Store().Audits(t.Context(), audit.Query{Subject: "login/nobody"})
	if err != nil || len(entries) != 1 || entries[0].Outcome != audit.Refused || strings.Contains(entries[0].Detail, "x") && entries[0].Detail != "unknown user" {
		t.Fatalf("%+v, %v", entries, err)
	}
}

func TestThreeAdministrators(t *testing.T) {
	h := open(t)
	f := h.founder(t)
	if !f.Has(people.Founder) {
		t.Fatal("the founder is none")
	}
	if _, err := h.makeUser(t.Context(), f, "eve"); err == nil {
		t.Fatal("the founder made an ordinary user")
	}
	if _, _, err := h.Appoint(t.Context(), f, "manager", "mo", "莫"); !errs.Is(err, errs.Invalid) {
		t.Fatal(err)
	}
	passwords := map[string]string{}
	for i, role := range people.Administrators {
		done, err := h.SetUp(t.Context())
		if err != nil || done {
			t.Fatalf("set up after %d appointments: %v, %v", i, done, err)
		}
		a, pw, err := h.Appoint(t.Context(), f, role, "adm"+string(rune('a'+i)), "张三")
		if err != nil {
			t.Fatal(err)
		}
		passwords[a.Login] = pw
		if _, _, err := h.Appoint(t.Context(), f, role, "again", "再"); err == nil {
			t.Fatal("an office was filled twice")
		}
	}
	if done, err := h.SetUp(t.Context()); err != nil || !done {
		t.Fatal(done, err)
	}
	// The power is gone: at a new sign-in, and for the old principal too.
	s, err := h.SignIn(t.Context(), "admin", founderPassword)
	if err != nil {
		t.Fatal(err)
	}
	after := h.whose(t, s.Secret)
	if len(after.Roles) != 0 || s.Standing.Founder {
		t.Fatalf("the founder still holds %v", after.Roles)
	}
	for _, p := range []*identity.Principal{f, after} {
		if h.kernel.Rules().MayEver(p, "department", "read") || h.kernel.Rules().MayEver(p, "user", "read") {
			t.Fatal("the founder may read what everybody may")
		}
	}
	if _, _, err := h.Appoint(t.Context(), h.whose(t, s.Secret), people.SystemAdmin, "more", "多"); !errs.Is(err, errs.Forbidden) {
		t.Fatal(err)
	}
	if again, err := h.Bootstrap(t.Context(), "another-password-1"); err != nil || again.Password != "" {
		t.Fatalf("a second start made %+v, %v", again, err)
	}
	sys := h.enter(t, "adma", passwords["adma"], "Grey-Heron-flies-9")
	sec := h.enter(t, "admb", passwords["admb"], "Grey-Heron-flies-9")
	aud := h.enter(t, "admc", passwords["admc"], "Grey-Heron-flies-9")
	rules := h.kernel.Rules()
	for _, c := range []struct {
		p         *identity.Principal
		kind, can string
		want      bool
	}{
		{sys, "user", "create", false},
		{sys, "department", "create", true},
		{sys, "token", "read", false},
		{sys, "session", "history", false},
		{sec, "user", "create", true},
		{sec, "department", "create", false},
		{sec, "token", "revoke", true},
		{sec, "kind", "read", false},
		{aud, "user", "update", false},
		{aud, "token", "read", false},
		{aud, "credential", "read", false},
		{sec, "credential", "read", false},
	} {
		if got := rules.MayEver(c.p, c.kind, c.can); got != c.want {
			t.Errorf("%v %s %s: %v, want %v", c.p.Roles, c.can, c.kind, got, c.want)
		}
	}
}

func TestNobodyGrantsHimself(t *testing.T) {
	h := open(t)
	admin := h.securityAdmin(t)
	key, _ := record.ParseKey(admin.ID)
	own, err := h.kernel.Read(t.Context(), admin, key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(op record.Op, key record.Key, data map[string]any) error {
		raw, _ := json.Marshal(data)
		_, err := h.kernel.Write(t.Context(), admin, kernel.Change{Op: op, Key: key, Expect: kernel.AnyVersion, Data: raw})
		return err
	}
	var data map[string]any
	if err := json.Unmarshal(own.Data, &data); err != nil {
		t.Fatal(err)
	}
	for _, roles := range [][]string{{"role/security-admin", "role/audit-admin"}, {"role/audit-admin"}, {"role/security-admin", "role/integration"}, {"role/integration"}} {
		data["roles"] = roles
		wantKind(t, write(record.Update, key, data), errs.Conflict)
	}
	wantKind(t, write(record.Create, record.Key{Kind: "user"}, map[string]any{"name": "二", "login": "two", "roles": []string{"role/system-admin", "role/audit-admin"}}), errs.Conflict)
	wantKind(t, write(record.Create, record.Key{Kind: "user"}, map[string]any{"name": "元", "login": "three", "roles": []string{"role/founder"}}), errs.Conflict)
	wantKind(t, write(record.Create, record.Key{Kind: "user"}, map[string]any{"name": "同", "login": "security-admin"}), errs.Conflict)
	wantKind(t, write(record.Create, record.Key{Kind: "group"}, map[string]any{"name": "组", "members": []string{admin.ID}, "roles": []string{"role/integration"}}), errs.Conflict)
	wantKind(t, write(record.Create, record.Key{Kind: "group"}, map[string]any{"name": "组", "roles": []string{"role/audit-admin"}}), errs.Conflict)
	wantKind(t, write(record.Create, record.Key{Kind: "role"}, map[string]any{"name": "全", "inherits": []string{"role/system-admin"}}), errs.Conflict)
	wantKind(t, write(record.Update, record.Key{Kind: "role", ID: "security-admin"}, map[string]any{"name": "安", "inherits": []string{"role/integration"}}), errs.Conflict)
	_, err = h.IssuePassword(t.Context(), admin, key.ID)
	wantKind(t, err, errs.Forbidden)
	_, err = h.kernel.Write(t.Context(), admin, kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: "disable", Evidence: map[string]any{"reason": "x"}})
	wantKind(t, err, errs.Conflict)
}

func TestRolesOfGroupsAndIncludedOnes(t *testing.T) {
	h := watched(t)
	admin := h.securityAdmin(t)
	write := func(op record.Op, key record.Key, data map[string]any) record.Record {
		raw, _ := json.Marshal(data)
		out, err := h.kernel.Write(t.Context(), admin, kernel.Change{Op: op, Key: key, Expect: kernel.AnyVersion, Data: raw})
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	write(record.Create, record.Key{Kind: "role", ID: "nurse"}, map[string]any{"name": "护士"})
	write(record.Create, record.Key{Kind: "role", ID: "head-nurse"}, map[string]any{"name": "护士长", "inherits": []string{"role/nurse"}})
	key := h.user(t, admin, "anna")
	g := write(record.Create, record.Key{Kind: "group"}, map[string]any{"name": "三病区", "members": []string{key.String()}, "roles": []string{"role/head-nurse"}})
	pw, err := h.IssuePassword(t.Context(), admin, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.SignIn(t.Context(), "anna", pw)
	if err != nil {
		t.Fatal(err)
	}
	if p := h.whose(t, s.Secret); !p.Has("nurse") || !p.Has("head-nurse") || p.Scopes == nil {
		t.Fatalf("%+v", p)
	}
	// Leaving the group takes the roles away, as soon as the feed says so.
	write(record.Update, g.Key, map[string]any{"name": "三病区", "roles": []string{"role/head-nurse"}})
	deadline := time.Now().Add(5 * time.Second)
	for h.whose(t, s.Secret).Has("nurse") {
		if time.Now().After(deadline) {
			t.Fatal("a role taken away is still held")
		}
	}
}

func TestSessionEnds(t *testing.T) {
	for _, follow := range []bool{false, true} {
		h := open(t)
		if follow {
			h = watched(t)
		}
		if _, err := h.Bootstrap(t.Context(), founderPassword); err != nil {
			t.Fatal(err)
		}
		in := func() string {
			s, err := h.SignIn(t.Context(), "admin", founderPassword)
			if err != nil {
				t.Fatal(err)
			}
			return s.Secret
		}
		holds := func(secret string, want bool) {
			t.Helper()
			_, err := h.Session(t.Context(), secret)
			if want != (err == nil) {
				t.Fatalf("follow %v: %v, want held %v", follow, err, want)
			}
		}
		idle := in()
		holds(idle, true)
		h.clock.Move(29 * time.Minute)
		holds(idle, true)
		h.clock.Move(29 * time.Minute)
		holds(idle, true)
		h.clock.Move(30 * time.Minute)
		holds(idle, false)
		long := in()
		for range 12*3 - 1 {
			h.clock.Move(20 * time.Minute)
			holds(long, true)
		}
		h.clock.Move(20 * time.Minute)
		holds(long, false)
		out := in()
		p := h.whose(t, out)
		if err := h.SignOut(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		holds(out, false)
		holds(out[:len(out)-1], false)
		holds(strings.Repeat("0", 32)+out[32:], false)
	}
}

func TestTokens(t *testing.T) {
	h := watched(t)
	admin := h.securityAdmin(t)
	_, _, err := h.CreateToken(t.Context(), identity.Anonymous(), people.TokenRequest{Name: "x"})
	wantKind(t, err, errs.Forbidden)
	for _, bad := range []people.TokenRequest{
		{},
		{Name: "x", Scopes: []string{"everything"}},
		{Name: "x", Scopes: []string{"system/Nothing.rs"}},
		{Name: "x", Scopes: []string{"system/user."}},
		{Name: "x", Scopes: []string{"patient/*.rs"}},
		{Name: "x", Scopes: []string{"system/*.rs"}, Patient: "Patient/1"},
		{Name: "x", Scopes: []string{"patient/*.rs"}, Patient: "department/1"},
		{Name: "x", Purpose: "FUN"},
		{Name: "x", Roles: []string{"audit-admin"}},
		{Name: "x", Expires: h.clock.Now()},
	} {
		_, _, err := h.CreateToken(t.Context(), admin, bad)
		wantKind(t, err, errs.Invalid)
	}
	plain, key, err := h.CreateToken(t.Context(), admin, people.TokenRequest{Name: "LIS", Scopes: []string{"system/department.rs"}, Purpose: "HOPERAT", Expires: h.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := h.kernel.Read(t.Context(), identity.Root(), key)
	if err != nil || !strings.HasPrefix(plain, people.TokenPrefix) || strings.Contains(string(kept.Data), plain[36:]) {
		t.Fatal(plain, string(kept.Data), err)
	}
	p, err := h.Token(t.Context(), plain)
	if err != nil || p.Purpose != "HOPERAT" || p.Type != identity.Service || !p.Has(people.Integration) {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, _, err := h.CreateToken(t.Context(), admin, people.TokenRequest{Name: "agent", Scopes: []string{"system/series.c"}}); err != nil {
		t.Fatal(err) // series are no kind and can still be pushed
	}
	one, _, err := h.CreateToken(t.Context(), admin, people.TokenRequest{Name: "app", Scopes: []string{"patient/*.rs"}, Patient: "Patient/1"})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := h.Token(t.Context(), one); err != nil || p.Patient != "Patient/1" {
		t.Fatalf("%+v, %v", p, err)
	}
	rules := h.kernel.Rules()
	for _, c := range []struct {
		kind, can string
		want      bool
	}{{"department", "read", true}, {"department", "create", false}, {"user", "read", false}, {"credential", "read", false}} {
		if got := rules.MayEver(p, c.kind, c.can); got != c.want {
			t.Errorf("%s %s: %v", c.can, c.kind, got)
		}
	}
	seen, err := h.kernel.Read(t.Context(), admin, key)
	if err != nil || strings.Contains(string(seen.Data), "hash") {
		t.Fatalf("the hash of a token is shown: %s, %v", seen.Data, err)
	}
	// All of the API by default, but no appointments.
	full, _, err := h.CreateToken(t.Context(), identity.Root(), people.TokenRequest{Name: "HIS"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.Token(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.makeUser(t.Context(), all, "hr-made", people.Integration); err != nil {
		t.Fatal(err)
	}
	_, err = h.makeUser(t.Context(), all, "hr-boss", people.AuditAdmin)
	wantKind(t, err, errs.Conflict)
	if rules.MayEver(all, "credential", "read") || rules.MayEver(all, "user", "purge") {
		t.Fatal("a token may do what nobody is granted")
	}
	// Another process revokes it.
	if _, err := h.kernel.Write(t.Context(), admin, kernel.Change{Op: record.Verb, Key: key, Expect: kernel.AnyVersion, Verb: "revoke", Evidence: map[string]any{"reason": "更换厂商"}}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, err = h.Token(t.Context(), plain); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a revoked token still works")
		}
	}
	wantKind(t, err, errs.Unauthenticated)
	h.clock.Move(2 * time.Hour)
	if _, err := h.Token(t.Context(), full); err != nil {
		t.Fatal(err)
	}
}

func TestMustChangeAllowsNothingElse(t *testing.T) {
	h := open(t)
	admin := h.securityAdmin(t)
	key := h.user(t, admin, "anna", people.Integration)
	pw, err := h.IssuePassword(t.Context(), admin, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.SignIn(t.Context(), "anna", pw)
	if err != nil {
		t.Fatal(err)
	}
	p := h.whose(t, s.Secret)
	if h.kernel.Rules().MayEver(p, "department", "read") {
		t.Fatal("a handed-over password opens more than the change of it")
	}
	wantKind(t, h.ChangePassword(t.Context(), p, "wrong", "Long-enough-12"), errs.Invalid)
	wantKind(t, h.ChangePassword(t.Context(), p, pw, "short"), errs.Invalid)
	wantKind(t, h.ChangePassword(t.Context(), p, pw, "anna-is-here-99"), errs.Invalid)
	if err := h.ChangePassword(t.Context(), p, pw, "Long-enough-12"); err != nil {
		t.Fatal(err)
	}
	if !h.kernel.Rules().MayEver(h.whose(t, s.Secret), "department", "read") {
		t.Fatal("nothing is allowed after the change")
	}
	// A one-time password that nobody used in time is worth nothing.
	if pw, err = h.IssuePassword(t.Context(), admin, key.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Move(73 * time.Hour)
	_, err = h.SignIn(t.Context(), "anna", pw)
	wantKind(t, err, errs.Unauthenticated)
}
