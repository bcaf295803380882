package snmp

import (
	"context"
	"fmt"

	"github.com/gosnmp/gosnmp"

	"zhiwei/kernel/errs"
)

// Port is a port as the device keeps it.
type Port struct {
	Index   string // ifIndex
	Name    string // as metrics have it in the label interface
	Enabled bool   // ifAdminStatus is up: a person wants it to work
	Up      bool   // ifOperStatus is up: it works
}

// Port finds a port by its name. Errors as Identify, NotFound where the device
// has none of that name.
func (t Target) Port(ctx context.Context, name string) (Port, error) {
	s, err := t.open(ctx)
	if err != nil {
		return Port{}, err
	}
	defer s.close()
	return s.port(name)
}

// EnablePort turns a port on or off for good (RFC 2863, ifAdminStatus up or
// down) and tells how it is then. It is said once. Errors as Port, and Forbidden
// where the device does not let this community or user write.
func (t Target) EnablePort(ctx context.Context, name string, on bool) (Port, error) {
	s, err := t.open(ctx)
	if err != nil {
		return Port{}, err
	}
	defer s.close()
	p, err := s.port(name)
	if err != nil {
		return p, err
	}
	value := 2
	if on {
		value = 1
	}
	if err := s.set(ifAdminStatus+"."+p.Index, value); err != nil {
		return p, err
	}
	return s.port(name)
}

func (s *session) port(name string) (Port, error) {
	r := &round{s: s}
	p := Port{Name: name}
	for index, n := range names(r) {
		if n == name {
			p.Index = index
		}
	}
	if r.err != nil {
		return p, r.err
	}
	if p.Index == "" {
		return p, errs.E(errs.NotFound, op, s.address, "设备 "+s.address+" 上没有端口 "+name+"。", "The device "+s.address+" has no port "+name+".")
	}
	got, err := s.get(ifAdminStatus+"."+p.Index, ifOperStatus+"."+p.Index)
	if err != nil {
		return p, err
	}
	admin, _ := got[ifAdminStatus+"."+p.Index].number()
	oper, _ := got[ifOperStatus+"."+p.Index].number()
	p.Enabled, p.Up = admin == 1, oper == 1
	return p, nil
}

// set writes one INTEGER.
func (s *session) set(oid string, value int) (err error) {
	defer func() { err = s.failed(err) }()
	defer decoded(&err)
	s.g.Retries = 0 // said once
	answer, err := s.g.Set([]gosnmp.SnmpPDU{{Name: "." + oid, Type: gosnmp.Integer, Value: value}})
	if err != nil {
		return err
	}
	switch answer.Error {
	case gosnmp.NoError:
		return nil
	case gosnmp.NoAccess, gosnmp.AuthorizationError, gosnmp.NotWritable, gosnmp.ReadOnly, gosnmp.NoCreation:
		return errs.E(errs.Forbidden, op, s.address, "设备 "+s.address+" 不许这样写；请检查可写的团体名或用户。", "The device "+s.address+" does not allow this to be written; check the community or user that may write.")
	}
	return errs.E(errs.Conflict, op, s.address, fmt.Sprintf("设备 %s 拒绝了设置（%s）。", s.address, answer.Error), fmt.Sprintf("The device %s refused the setting (%s).", s.address, answer.Error))
}
