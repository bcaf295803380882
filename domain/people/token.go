package people

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// token is the data of a token record.
type token struct {
	Name    string    `json:"name"`
	Hash    string    `json:"hash"`
	Scopes  []string  `json:"scopes"`
	Purpose string    `json:"purpose"`
	Patient string    `json:"patient,omitempty"`
	Roles   []string  `json:"roles,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// TokenRequest asks for a service token.
type TokenRequest struct {
	Name    string    // who will use it, for people
	Scopes  []string  // SMART scopes; none: all of the API
	Purpose string    // HL7 PurposeOfUse code; empty: TREAT
	Patient string    // whom scopes "patient/…" are about, e.g. Patient/1; required by them
	Roles   []string  // names of roles; none: Integration
	Expires time.Time // zero: never
}

// Defaults of a token: all of the API, for treatment.
const (
	AllScopes      = "system/*.cruds"
	DefaultPurpose = "TREAT"
)

// SeriesScope is what scopes call measurements over time, which are no kind:
// "system/series.c" lets a program push them and do nothing else.
const SeriesScope = "series"

// purposes are the codes a token may carry: the value set PurposeOfUse of HL7
// v3 ActReason (http://terminology.hl7.org/ValueSet/v3-PurposeOfUse).
var purposes = strings.Fields(`CAREMGT CLINTRCH COC COVERAGE DISASTER DONAT ETREAT FAMRQT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM
	HLEGAL HMARKT HOPERAT HOUTCOMS HPAYMT HPRGRP HQUALIMP HRESCH HSYSADMIN HTEST LABELING MEMADMIN METAMGT PATADMIN PATRQT PATSFTY
	PERFMSR POPHLTH PUBHLTH PWATRNY RECORDMGT REMITADV SUPNWK SYSDEV TRAIN TREAT TREATDS`)

// scopeForm is a scope of the system, or of one patient, of SMART App Launch
// 2.2.0 §3.0.2, or its version 1 form.
var scopeForm = regexp.MustCompile(`^(?:system|patient)/(\*|[A-Za-z][A-Za-z0-9-]*)\.(c?r?u?d?s?|\*|read|write)$`)

// CreateToken makes a service token and returns it in plain, with the key of its
// record: the plain form is kept nowhere and cannot be shown again. by must be a security administrator or the program
// itself. Errors: Forbidden, Invalid.
func (s *People) CreateToken(ctx context.Context, by *identity.Principal, req TokenRequest) (plain string, key record.Key, err error) {
	if !by.Trusted() && !by.Has(SecurityAdmin) {
		return "", key, forbidden("create-token", record.Key{Kind: tokenName, ID: req.Name})
	}
	if len(req.Scopes) == 0 {
		req.Scopes = []string{AllScopes}
	}
	if req.Purpose == "" {
		req.Purpose = DefaultPurpose
	}
	if len(req.Roles) == 0 {
		req.Roles = []string{Integration}
	}
	if err := s.checkToken(&req); err != nil {
		return "", key, err
	}
	b, err := newBearer()
	if err != nil {
		return "", key, err
	}
	data := token{Name: req.Name, Hash: b.hash(), Scopes: req.Scopes, Purpose: req.Purpose, Patient: req.Patient, Expires: req.Expires.UTC()}
	if req.Expires.IsZero() {
		data.Expires = time.Time{}
	}
	for _, r := range req.Roles {
		data.Roles = append(data.Roles, roleName+"/"+r)
	}
	key = record.Key{Kind: tokenName, ID: b.id}
	audit.TrailOf(ctx).Name("create-token", key.String())
	_, err = s.kernel.Write(ctx, acting(by), kernel.Change{Op: record.Create, Key: key, Data: encode(data)})
	if err != nil {
		return "", key, err
	}
	return b.token(), key, nil
}

func (s *People) checkToken(req *TokenRequest) error {
	bad := func(field, zh, en string) error {
		return errs.E(errs.Invalid, "create-token", field, zh, en).At(field)
	}
	if strings.TrimSpace(req.Name) == "" {
		return bad("name", "请写明令牌给谁使用。", "Say who will use the token.")
	}
	for i, scope := range req.Scopes {
		m := scopeForm.FindStringSubmatch(scope)
		if m == nil || m[2] == "" {
			return bad("scopes", "范围 "+scope+" 的格式不对，例如 system/Patient.rs 或 system/*.cruds。", "The scope "+scope+" has the wrong form; write system/Patient.rs or system/*.cruds.")
		}
		if m[1] != "*" && m[1] != SeriesScope && s.kernel.Registry().Find(m[1]) == nil {
			return bad("scopes", "范围 "+scope+" 指的记录类别不存在。", "The scope "+scope+" names a kind that does not exist.")
		}
		req.Scopes[i] = scope
	}
	one := slices.ContainsFunc(req.Scopes, func(s string) bool { return strings.HasPrefix(s, "patient/") })
	if key, ok := record.ParseKey(req.Patient); one != (req.Patient != "") || one && (!ok || key.Kind != "Patient") {
		return bad("patient", "patient/… 范围须同时写明一位患者（patient，例如 Patient/1）；没有这种范围则不写。", "Scopes patient/… need the one patient they are about (patient, such as Patient/1); without them leave it out.")
	}
	if !slices.Contains(purposes, req.Purpose) {
		return bad("purpose", "使用目的 "+req.Purpose+" 不是 HL7 PurposeOfUse 代码，例如 TREAT、HOPERAT。", "The purpose "+req.Purpose+" is not an HL7 PurposeOfUse code such as TREAT or HOPERAT.")
	}
	for _, r := range req.Roles {
		if r == Founder || slices.Contains(Administrators, r) {
			return bad("roles", "管理员角色只授予人，不能授予令牌。", "The roles of administrators are for persons, not for tokens.")
		}
	}
	if !req.Expires.IsZero() && !req.Expires.After(s.clock.Now()) {
		return bad("expires", "到期时间必须在将来。", "The expiry must lie in the future.")
	}
	return nil
}

func noToken() error {
	return errs.E(errs.Unauthenticated, actionSignIn, "token", "服务令牌无效、已到期或已吊销；请向安全管理员申请新的令牌。", "The service token is unknown, expired or revoked; ask the security administrator for a new one.")
}

// Token tells who holds a service token. A token made by another process works
// at once; a revoked one stops when the feed says so. It fails with
// Unauthenticated where the token is unknown, expired or revoked.
func (s *People) Token(ctx context.Context, secret string) (*identity.Principal, error) {
	b, ok := parseToken(secret)
	if !ok {
		return nil, noToken()
	}
	e := s.cache.get(b.id)
	if e == nil {
		var err error
		if e, err = s.openToken(ctx, b.id, &b); err != nil {
			return nil, err
		}
	}
	if e.user != "" || !b.is(e.hash) || !e.holds(s.clock.Now()) {
		return nil, noToken()
	}
	return e.principal, nil
}

// openToken builds the entry of a token from its record. b, where given, must
// hold its secret.
func (s *People) openToken(ctx context.Context, id string, b *bearer) (*entry, error) {
	gen := s.cache.generation()
	var data token
	rec, err := s.load(ctx, record.Key{Kind: tokenName, ID: id}, &data)
	if errs.Is(err, errs.NotFound) {
		return nil, noToken()
	}
	if err != nil {
		return nil, err
	}
	if rec.State != active || b != nil && !b.is(data.Hash) {
		return nil, noToken()
	}
	roles, err := s.withIncluded(ctx, ids(data.Roles))
	if err != nil {
		return nil, err
	}
	scopes := slices.Clone(data.Scopes)
	if scopes == nil {
		scopes = []string{} // nil would not limit it
	}
	e := &entry{hash: data.Hash, expires: data.Expires, principal: &identity.Principal{
		Type: identity.Service, ID: rec.Key.String(), Name: data.Name, Roles: roles, Purpose: data.Purpose, Scopes: scopes, Patient: data.Patient, Session: rec.ID,
	}}
	s.cache.put(id, e, gen)
	return e, nil
}
