package rest

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"zhiwei/domain/people"
	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// Name of the product, as pages show it.
var productName = kind.T("治未", "Zhiwei")

// about answers anybody: what this is, and whether it has been set up.
func (d *Door) about(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	house, err := d.house(r)
	if err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, house)
}

func (d *Door) house(r *http.Request) (map[string]any, error) {
	done, err := d.people.SetUp(r.Context())
	if err != nil {
		return nil, err
	}
	lang := gate.Lang(r)
	return map[string]any{
		"name": productName.In(lang), "version": d.version, "site": d.kernel.Site(), "lang": lang,
		"setup": map[string]bool{"founder": !done},
	}, nil
}

// start answers in one go what a page needs before it can show anything: "about"
// as /api/about says it, "session" as /api/session and "catalogue" as /api/kinds
// but for the search parameters that no page draws. The latter two are null where
// nobody is signed in, which is no failure here.
func (d *Door) start(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	house, err := d.house(r)
	if err != nil {
		return err
	}
	out := map[string]any{"about": house, "session": nil, "catalogue": nil}
	if p.Type != identity.Nobody {
		s, err := d.people.Standing(r.Context(), p)
		if err != nil {
			return err
		}
		out["session"], out["catalogue"] = standing(p, s), d.catalogue(p).drawn()
	}
	return answer(w, r, http.StatusOK, out)
}

// signIn takes {"user","password"} and sets the session's cookie.
func (d *Door) signIn(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	if wait, ok := d.signIns.Allow(identity.RequestOf(r.Context()).Remote); !ok {
		w.Header().Set("Retry-After", seconds(wait))
		return errs.E(errs.Rate, "sign-in", "", "登录尝试太频繁，请稍等片刻再试。", "Too many sign-ins from here; wait a moment and try again.")
	}
	props, err := body(r, "user", "password")
	if err != nil {
		return err
	}
	var login, password string
	if err := into(props, "user", &login); err != nil {
		return err
	}
	if err := into(props, "password", &password); err != nil {
		return err
	}
	if login == "" || password == "" {
		return invalid("user", "请填写用户名和密码。", "Give a user name and a password.")
	}
	s, err := d.people.SignIn(r.Context(), login, password)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: gate.SessionCookie, Value: s.Secret, Path: "/", Expires: s.Expires, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: d.secure || gate.Encrypted(r),
	})
	return answer(w, r, http.StatusOK, standing(s.Principal, s.Standing))
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func standing(p *identity.Principal, s people.Standing) map[string]any {
	list := func(v []string) []string { return append([]string{}, v...) }
	return map[string]any{
		"user":               map[string]any{"id": p.ID, "name": p.Name, "roles": list(p.Roles), "depts": list(p.Depts)},
		"mustChangePassword": s.MustChange, "founder": s.Founder,
	}
}

// whoAmI answers who is signed in.
func (d *Door) whoAmI(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	s, err := d.people.Standing(r.Context(), p)
	if err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, standing(p, s))
}

func (d *Door) signOut(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := d.people.SignOut(r.Context(), p); err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: gate.SessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.secure || gate.Encrypted(r)})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// changePassword takes {"old","new"}.
func (d *Door) changePassword(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "old", "new")
	if err != nil {
		return err
	}
	var old, fresh string
	if err := into(props, "old", &old); err != nil {
		return err
	}
	if err := into(props, "new", &fresh); err != nil {
		return err
	}
	if err := d.people.ChangePassword(r.Context(), p, old, fresh); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// setup answers which administrators have been appointed.
func (d *Door) setup(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	list, err := d.people.Appointed(silent(r.Context()))
	if err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, map[string]any{"founder": p.Has(people.Founder), "appointed": list})
}

// appoint takes {"role","login","name"} and answers the user with a one-time
// password, which is shown once.
func (d *Door) appoint(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "role", "login", "name")
	if err != nil {
		return err
	}
	var role, login, name string
	for prop, v := range map[string]*string{"role": &role, "login": &login, "name": &name} {
		if err := into(props, prop, v); err != nil {
			return err
		}
	}
	if strings.TrimSpace(name) == "" {
		return invalid("name", "请填写姓名。", "Give the name of the person.")
	}
	a, password, err := d.people.Appoint(r.Context(), p, role, login, name)
	if err != nil {
		return err
	}
	return answer(w, r, http.StatusCreated, map[string]any{"role": a.Role, "user": a.User, "name": a.Name, "login": a.Login, "password": password})
}

// issuePassword answers a one-time password for a user, which is shown once.
func (d *Door) issuePassword(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if _, err := body(r); err != nil {
		return err
	}
	password, err := d.people.IssuePassword(r.Context(), p, r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, map[string]string{"password": password})
}

// createToken takes {"name","scopes","purpose","patient","roles","expires"} and answers
// the token, which is shown once, with its record.
func (d *Door) createToken(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	props, err := body(r, "name", "scopes", "purpose", "patient", "roles", "expires")
	if err != nil {
		return err
	}
	var req people.TokenRequest
	for prop, v := range map[string]any{"name": &req.Name, "scopes": &req.Scopes, "purpose": &req.Purpose, "patient": &req.Patient, "roles": &req.Roles, "expires": &req.Expires} {
		if err := into(props, prop, v); err != nil {
			return err
		}
	}
	token, key, err := d.people.CreateToken(r.Context(), p, req)
	if err != nil {
		return err
	}
	rec, err := d.kernel.Read(silent(r.Context()), p, key)
	if err != nil {
		return err
	}
	b := append([]byte(`{"token":`), appendString(nil, token)...)
	b = append(b, `,"record":`...)
	return answerBytes(w, r, http.StatusCreated, append(appendRecord(b, &rec), '}', '}'))
}
