package data_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/store/storetest"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Proves A06: only the given range is asked, without what is excluded, and who
// listens there is found.
func TestSweep(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.7.9:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, p, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.ParseUint(p, 10, 16)
	outside, err := net.Listen("tcp", "127.0.8.9:"+p)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	knocked := make(chan struct{}, 10)
	go func() {
		for {
			c, err := outside.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			knocked <- struct{}{}
		}
	}()
	d := &data.Discovery{Ranges: prefixes("127.0.7.0/28", "127.0.7.8/29"), Exclude: prefixes("127.0.7.3/32"), Ports: []uint16{uint16(n)}, Clock: clock.System()}
	swept, err := d.Sweep(t.Context())
	if err != nil || !swept.Complete || swept.Asked != 13 || swept.Refused != 0 {
		t.Fatalf("%+v, %v", swept, err)
	}
	var open []string
	for _, f := range swept.Found {
		if len(f.Ports) > 0 {
			open = append(open, f.Address)
		}
		if f.Address == "127.0.7.3" {
			t.Error("an excluded address was asked")
		}
	}
	if fmt.Sprint(open) != "[127.0.7.9]" || len(knocked) > 0 {
		t.Errorf("open: %v; outside the range was asked %d times", open, len(knocked))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if swept, err := d.Sweep(ctx); err != nil || swept.Complete {
		t.Errorf("a sweep that was stopped: %+v, %v", swept, err)
	}
	for _, bad := range [][]netip.Prefix{nil, prefixes("10.0.0.0/8"), prefixes("10.0.0.0/16", "10.1.0.0/24")} {
		if _, err := (&data.Discovery{Ranges: bad, Clock: clock.System()}).Sweep(t.Context()); err == nil || errs.Is(err, errs.Internal) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func entry(id, address, state string, keys ...string) data.Entry {
	return data.Entry{Thing: engine.Thing{ID: id, Name: id, Class: engine.ClassSwitch, Address: address, State: state, Keys: keys}, Version: 1}
}

func told(list []data.Proposal) string {
	var out []string
	for _, p := range list {
		id := p.Thing.ID
		if p.Version == 0 {
			id = "new"
		}
		out = append(out, strings.TrimSpace(id+"@"+p.Thing.Address+" "+p.Because))
	}
	return strings.Join(out, ", ")
}

func TestReconcile(t *testing.T) {
	ranges := prefixes("10.0.0.0/24")
	ledger := []data.Entry{
		entry("a", "10.0.0.1", engine.Confirmed, "mac:aa"), entry("b", "10.0.0.2", engine.Confirmed), entry("c", "10.0.0.3", engine.Proposed, "name:c"),
		entry("gone", "10.0.0.4", engine.Retired, "mac:gg"), entry("not", "10.0.0.5", engine.Dismissed), entry("far", "10.9.0.1", engine.Confirmed),
	}
	at := func(address string, keys ...string) data.Found {
		return data.Found{Address: address, Name: address, Class: engine.ClassDevice, Keys: keys}
	}
	sweep := func(found ...data.Found) data.Swept { return data.Swept{Complete: true, Asked: 254, Found: found} }
	for name, c := range map[string]struct {
		swept data.Swept
		want  string
	}{
		"all as known":            {sweep(at("10.0.0.1", "mac:aa"), at("10.0.0.2"), at("10.0.0.3")), ""},
		"a moved":                 {sweep(at("10.0.0.7", "mac:aa"), at("10.0.0.2"), at("10.0.0.3")), "a@10.0.0.7 mac:aa"},
		"a stranger at a's place": {sweep(at("10.0.0.1", "mac:zz"), at("10.0.0.7", "mac:aa"), at("10.0.0.2"), at("10.0.0.3")), "new@10.0.0.1, a@10.0.0.7 mac:aa"},
		"b learns a key":          {sweep(at("10.0.0.1", "mac:aa"), at("10.0.0.2", "mac:bb"), at("10.0.0.3")), "b@10.0.0.2 address"},
		"one new, seen twice":     {sweep(at("10.0.0.1"), at("10.0.0.2"), at("10.0.0.3"), at("10.0.0.8", "mac:nn"), at("10.0.0.9", "mac:nn")), "new@10.0.0.8"},
		"dismissed and retired":   {sweep(at("10.0.0.1"), at("10.0.0.2"), at("10.0.0.3"), at("10.0.0.5"), at("10.0.0.77", "mac:gg")), ""},
		"c is missing":            {sweep(at("10.0.0.1"), at("10.0.0.2")), "c@10.0.0.3 missing"},
		"two of three missing":    {sweep(at("10.0.0.1")), ""},
		"nothing answers":         {sweep(), ""},
		"it was stopped":          {data.Swept{Found: []data.Found{at("10.0.0.1"), at("10.0.0.2")}}, ""},
		"it could not ask":        {data.Swept{Complete: true, Refused: 1, Found: []data.Found{at("10.0.0.1"), at("10.0.0.2")}}, ""},
	} {
		if got := told(data.Reconcile(ledger, c.swept, ranges)); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// Proves A06: what is found becomes proposed things of the ledger, once; a
// person confirms; a device that vanishes is marked and never deleted, and the
// mark goes when it is back.
func TestTheLedger(t *testing.T) {
	reg := kernel.NewRegistry()
	if err := reg.Kind(engine.Things()); err != nil {
		t.Fatal(err)
	}
	clk := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: storetest.NewModel("main", reg, clk), Registry: reg, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	l := data.Ledger{Kernel: k, As: &identity.Principal{Type: identity.Loop, ID: "loop/discovery", Name: "发现 Discovery"}, Source: "发现 10.0.0.0/24"}
	ranges := prefixes("10.0.0.0/24")
	sweep := func(found ...data.Found) (written int, all []data.Entry) {
		t.Helper()
		before, err := l.Entries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		written, err = l.Apply(t.Context(), data.Reconcile(before, data.Swept{Began: clk.Now(), Complete: true, Found: found}, ranges), clk.Now())
		if err != nil {
			t.Fatal(err)
		}
		all, err = l.Entries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return written, all
	}
	sw := data.Found{Address: "10.0.0.1", Name: "SW-1", Class: engine.ClassSwitch, Keys: []string{"mac:00:11:22:33:44:55"}, Labels: map[string]string{"location": "1F"}}
	srv := data.Found{Address: "10.0.0.2", Name: "10.0.0.2", Class: engine.ClassHost}
	if n, all := sweep(sw, srv); n != 2 || len(all) != 2 || all[0].State != engine.Proposed {
		t.Fatalf("%d written: %+v", n, all)
	}
	if n, _ := sweep(sw, srv); n != 0 {
		t.Errorf("the same sweep again wrote %d", n)
	}
	ops := &identity.Principal{Type: identity.User, ID: "user/o", Name: "样例运维", Roles: []string{engine.RoleOps}}
	_, all := sweep(sw, srv)
	for _, e := range all {
		if _, err := k.Write(t.Context(), ops, kernel.Change{Op: record.Verb, Key: record.Key{Kind: engine.ThingKind, ID: e.ID}, Expect: e.Version, Verb: engine.Confirm}); err != nil {
			t.Fatal(err)
		}
	}
	n, all := sweep(sw)
	if n != 1 || len(all) != 2 {
		t.Fatalf("%d written: %+v", n, all)
	}
	for _, e := range all {
		if e.State != engine.Confirmed || e.MissingSince.IsZero() != (e.Address == "10.0.0.1") {
			t.Errorf("%+v", e)
		}
	}
	if n, all := sweep(sw, srv); n != 1 || !all[0].MissingSince.IsZero() || !all[1].MissingSince.IsZero() {
		t.Errorf("back: %d written: %+v", n, all)
	}
}
