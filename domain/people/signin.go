package people

import (
	"context"
	"strings"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Names in the audit.
const (
	actionSignIn   = "sign-in"
	actionPassword = "change-password"
	actionIssue    = "issue-password"
)

// failuresWithin bounds how far back failures in a row are counted.
const failuresWithin = 24 * time.Hour

// refused is the one answer to every failed sign-in: whether the user exists, is
// locked or disabled is told to nobody who has not proved who he is.
func refused() error {
	return errs.E(errs.Unauthenticated, actionSignIn, "", "用户名或密码不正确，或账号已被锁定。多次失败会暂时锁定账号；需要帮助请联系安全管理员。",
		"The user name or password is wrong, or the account is locked. Repeated failures lock it for a while; ask the security administrator if you need help.")
}

// SignIn checks a password and begins a session. Every attempt is in the audit;
// after a number of failures in a row (Policy) the account is locked for a
// while. The failures are counted from the audit itself, which keeps each one
// anyhow, in every process and over restarts: so guessing makes no record and
// cannot flood the feed, and the lock is one write.
//
// Errors: Unauthenticated, the same for every reason and after the same work;
// Unavailable.
func (s *People) SignIn(ctx context.Context, login, password string) (Session, error) {
	login = strings.ToLower(strings.TrimSpace(login))
	if len(login) > 64 {
		login = strings.ToValidUTF8(login[:64], "")
	}
	defer s.serial.enter(login)()
	rec, u, known, err := s.byLogin(ctx, login)
	if err != nil {
		return Session{}, err
	}
	policy, err := s.Policy(ctx)
	if err != nil {
		return Session{}, err
	}
	subject := "login/" + login
	if known {
		subject = rec.Key.String()
	}
	ok, why, err := s.prove(ctx, rec, u, known, password)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, s.refuse(ctx, rec, known, subject, why, policy)
	}
	p, mustChange, _, err := s.userPrincipal(ctx, rec.ID)
	if err != nil {
		return Session{}, err
	}
	audit.TrailOf(ctx).Name(actionSignIn, subject)
	session, err := s.begin(ctx, p, rec.ID)
	if err != nil {
		return Session{}, err
	}
	session.Standing = Standing{MustChange: mustChange, Founder: p.Has(Founder)}
	return session, nil
}

// prove does the same work for every user and password.
func (s *People) prove(ctx context.Context, rec record.Record, u user, known bool, password string) (ok bool, why string, err error) {
	var c credential
	why = "unknown user"
	if known {
		why = "wrong password"
		_, err = s.load(ctx, record.Key{Kind: credentialName, ID: rec.ID}, &c)
		if errs.Is(err, errs.NotFound) {
			err = nil
		}
		if err != nil {
			return false, "", err
		}
	}
	hash := c.Hash
	if len(password) > MaxPassword {
		password, hash = "", ""
	}
	right, err := s.hasher.verify(ctx, hash, password)
	now := s.clock.Now()
	switch {
	case err != nil:
		return false, "", err
	case !right:
		if known && rec.State != active {
			why = "wrong password, " + rec.State
		}
		return false, why, nil
	case rec.State == disabled:
		return false, disabled, nil
	case rec.State == locked && now.Before(u.LockedUntil):
		return false, locked, nil
	case rec.State == locked:
		// The clock is late; the lock is over all the same.
		_, err := s.kernel.Write(inner(ctx), identity.Root(), kernel.Change{Op: record.Verb, Key: rec.Key, Expect: rec.Version, Verb: "release"})
		s.forget(rec.Key)
		if err != nil && !errs.Is(err, errs.Conflict) {
			return false, "", err
		}
	case c.OneTime && !c.Expires.IsZero() && !now.Before(c.Expires):
		return false, "one-time password expired", nil
	}
	return true, "", nil
}

// refuse audits a failed attempt and locks the account where it is one too many.
func (s *People) refuse(ctx context.Context, rec record.Record, known bool, subject, why string, policy Policy) error {
	req := identity.RequestOf(ctx)
	err := s.kernel.Store().Audit(ctx, audit.Entry{
		At: s.clock.Now(), Who: identity.Anonymous().ID, Action: actionSignIn, Subject: subject, Outcome: audit.Refused,
		Detail: why, Request: req.ID, Door: req.Door, Remote: req.Remote,
	})
	if err != nil {
		return err
	}
	audit.TrailOf(ctx).Written()
	if !known || rec.State != active {
		return refused()
	}
	n, err := s.failures(ctx, rec, subject, policy)
	if err != nil {
		return err
	}
	if n >= policy.Failures {
		until := s.clock.Now().Add(policy.lock()).UTC()
		_, err := s.kernel.Write(inner(ctx), identity.Root(), kernel.Change{
			Op: record.Verb, Key: rec.Key, Expect: rec.Version, Verb: "lock", Data: encode(map[string]any{"lockedUntil": until}),
		})
		s.forget(rec.Key)
		// Conflict: somebody changed the user this instant; the next failure locks.
		if err != nil && !errs.Is(err, errs.Conflict) {
			return err
		}
		s.log.Warn("an account was locked after failed sign-ins", "user", rec.Key.String(), "until", until)
	}
	return refused()
}

// failures counts the refused sign-ins of a user since he last got in or was
// unlocked.
func (s *People) failures(ctx context.Context, rec record.Record, subject string, policy Policy) (int, error) {
	since := s.clock.Now().Add(-failuresWithin)
	if rec.EnteredAt.After(since) {
		since = rec.EnteredAt
	}
	page, err := s.kernel.Search(inner(ctx), identity.Root(), search.Query{Kind: sessionName, Where: []search.Clause{refersTo("user", rec.Key)}, Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(page.Records) > 0 && page.Records[0].CreatedAt.After(since) {
		since = page.Records[0].CreatedAt
	}
	entries, err := s.kernel.Store().Audits(ctx, audit.Query{Action: actionSignIn, Subject: subject, Outcome: audit.Refused, Since: since, Limit: policy.Failures + 50})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		if e.Subject == subject {
			n++
		}
	}
	return n, nil
}

// ChangePassword sets a new password for the user behind p, who must know the
// old one, and ends all other sessions of his. Errors: Invalid where the old one
// is wrong (At "old"), which counts as a failed sign-in, or the new one too weak
// (At "new"); Forbidden for what is not a user.
func (s *People) ChangePassword(ctx context.Context, p *identity.Principal, old, fresh string) error {
	key, ok := record.ParseKey(p.ID)
	if p.Type != identity.User || !ok {
		return errs.E(errs.Forbidden, actionPassword, p.ID, "只有用户才有密码。", "Only users have passwords.")
	}
	var u user
	rec, err := s.load(ctx, key, &u)
	if err != nil {
		return err
	}
	defer s.serial.enter(u.Login)()
	policy, err := s.Policy(ctx)
	if err != nil {
		return err
	}
	if err := CheckPassword(fresh, u.Login, u.Name, policy.PasswordLength); err != nil {
		return err
	}
	right, why, err := s.prove(ctx, rec, u, true, old)
	if err != nil {
		return err
	}
	if !right {
		// Not Unauthenticated: he is signed in, and the page must not send him away.
		if err := s.refuse(ctx, rec, true, key.String(), why, policy); !errs.Is(err, errs.Unauthenticated) {
			return err
		}
		return errs.E(errs.Invalid, actionPassword, key.String(), "旧密码不正确；多次输错会暂时锁定账号。", "The old password is wrong; repeated failures lock the account for a while.").At("old")
	}
	if old == fresh {
		return errs.E(errs.Invalid, actionPassword, key.String(), "新密码不能与旧密码相同。", "The new password must differ from the old one.").At("new")
	}
	audit.TrailOf(ctx).Name(actionPassword, key.String())
	return s.setPassword(ctx, p, key.ID, fresh, credential{}, p.Session)
}

// IssuePassword gives a user a one-time password, to be handed over in person
// and changed at the next sign-in, and ends all sessions of that user. by must
// be a security administrator and not the user himself. Errors: Forbidden,
// NotFound.
func (s *People) IssuePassword(ctx context.Context, by *identity.Principal, userID string) (string, error) {
	key := record.Key{Kind: userName, ID: userID}
	if !by.Trusted() && !by.Has(SecurityAdmin) {
		return "", forbidden(actionIssue, key)
	}
	if by.ID == key.String() {
		return "", errs.E(errs.Forbidden, actionIssue, key.String(), "请用“修改密码”更改自己的密码。", "Change your own password by “Change password”.")
	}
	var u user
	if _, err := s.load(ctx, key, &u); err != nil {
		return "", err
	}
	policy, err := s.Policy(ctx)
	if err != nil {
		return "", err
	}
	password, err := oneTime()
	if err != nil {
		return "", err
	}
	audit.TrailOf(ctx).Name(actionIssue, key.String())
	err = s.setPassword(ctx, by, userID, password, credential{OneTime: true, Expires: s.clock.Now().Add(policy.oneTime()).UTC()}, "")
	return password, err
}

func forbidden(op string, key record.Key) error {
	return errs.E(errs.Forbidden, op, key.String(), "这件事由安全管理员来做。", "This is for the security administrator to do.")
}

// setPassword writes the credential and ends the user's sessions but one, in one
// transaction.
func (s *People) setPassword(ctx context.Context, by *identity.Principal, userID, password string, c credential, keep string) error {
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	c.Hash = hash
	open, err := s.openSessions(ctx, userID, keep)
	if err != nil {
		return err
	}
	key := record.Key{Kind: credentialName, ID: userID}
	changes := []kernel.Change{{Op: record.Update, Key: key, Expect: kernel.AnyVersion, Upsert: true, Data: encode(c)}}
	for _, id := range open {
		changes = append(changes, kernel.Change{Op: record.Verb, Key: record.Key{Kind: sessionName, ID: id}, Expect: kernel.AnyVersion, Verb: "end"})
	}
	_, err = s.kernel.Write(ctx, acting(by), changes...)
	s.forget(key)
	for _, id := range open {
		s.forget(record.Key{Kind: sessionName, ID: id})
	}
	return err
}
