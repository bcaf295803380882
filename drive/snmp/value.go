package snmp

import (
	"context"

	"zhiwei/kernel/errs"
)

// Integer reads one INTEGER by its object identifier, such as
// "1.2.840.10036.4.5.1.1.3". Errors as Identify, NotFound where the device has no
// such number.
func (t Target) Integer(ctx context.Context, oid string) (int, error) {
	s, err := t.open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.close()
	return s.integer(oid)
}

// SetInteger writes one INTEGER and tells what it was and what it is then. It is
// said once. Errors as Integer, and Forbidden where the device does not let this
// community or user write.
func (t Target) SetInteger(ctx context.Context, oid string, value int) (former, now int, err error) {
	s, err := t.open(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer s.close()
	if former, err = s.integer(oid); err != nil {
		return 0, 0, err
	}
	if err := s.set(oid, value); err != nil {
		return former, former, err
	}
	now, err = s.integer(oid)
	return former, now, err
}

func (s *session) integer(oid string) (int, error) {
	got, err := s.get(oid)
	if err != nil {
		return 0, err
	}
	v, ok := got[oid].number()
	if !ok {
		return 0, errs.E(errs.NotFound, op, s.address, "设备 "+s.address+" 上没有数值 "+oid+"。", "The device "+s.address+" has no number "+oid+".")
	}
	return int(v), nil
}
