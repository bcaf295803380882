package clinical

import (
	"context"
	"strings"
	"sync"

	"zhiwei/domain/terminology"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

var (
	_ kernel.Format    = (*Format)(nil)
	_ kernel.Validator = (*Format)(nil)
	_ kernel.Attacher  = (*Format)(nil)
)

// Attach lets what is written be checked against the profiles and value sets that
// k holds, and indexed by the search parameters it holds. Until then R4's own
// rules are checked. It implements kernel.Attacher.
func (f *Format) Attach(k *kernel.Kernel) {
	f.validator.Store(NewValidator(ValidatorOptions{
		Contains: inHospital(terminology.NewService(k)), Profiles: NewProfiles(k).Find, Now: k.Clock().Now,
	}))
	f.parameters.Store(attachParameters(f, k))
}

// inHospital asks what the program carries, and for value sets that are not the
// standard's own what the hospital has saved.
func inHospital(s *terminology.Service) func(valueSet, system, code string) (in, known bool) {
	return func(valueSet, system, code string) (in, known bool) {
		in, known = terminology.Standard().Contains(valueSet, system, code)
		if known || strings.HasPrefix(valueSet, "http://hl7.org/fhir/ValueSet/") {
			return in, known
		}
		// Value sets concern no person: whoever is bound by one need not be allowed
		// to read it.
		in, known, err := s.Contains(context.Background(), identity.Root(), valueSet, system, code)
		return in, known && err == nil
	}
}

// plain checks R4's own rules and asks no store.
var plain = sync.OnceValue(func() *Validator {
	return NewValidator(ValidatorOptions{Contains: terminology.Standard().Contains})
})

// Validate refuses a document that breaks the rules of R4 or of a profile its
// meta names and that is loaded: Invalid, a *Rejection with every issue. It
// implements kernel.Validator.
func (f *Format) Validate(_ context.Context, k *kind.Kind, doc map[string]any) error {
	v := f.validator.Load()
	if v == nil {
		v = plain()
	}
	if err := reject("write", k.Name, v.Check(k.Name, doc), true); err != nil {
		return err
	}
	if p := f.parameters.Load(); p != nil && k.Name == parameterKind {
		return p.check(doc)
	}
	return nil
}

// Check refuses a document that a verb changed and that now breaks a rule of R4.
// It runs inside a transaction and looks up no profiles there.
func (f *Format) Check(k *kind.Kind, doc map[string]any) error {
	return reject("write", k.Name, plain().Check(k.Name, doc), true)
}
