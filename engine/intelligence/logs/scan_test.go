package logs

import (
	"strings"
	"testing"
)

// TestForms: messages of a row that differ only in what varies by its form have
// the same form, whatever system they are of; the template is the row's last.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		template string
		messages []string
	}{
		{"", []string{"", "  ", "\t"}},
		{"took <*>", []string{"took 5 ms", "took 1,250.5 seconds", "took <1 sec", "took 12ms", "took -3"}},
		{"<*> sent", []string{"403 bytes sent", "1293 bytes (1.26 KB) sent", "7,842,112 bytes (7.47 MB) sent"}},
		{"from <*> closed", []string{"from 10.0.0.7 closed", "from 10.0.0.7:443 closed"}},
		{"peer <*> up", []string{"peer fe80::1ff:fe23:4567:890a up", "peer 00:1b:44:11:3a:b7 up", "peer /10.1.2.3:99 up"}},
		{"open <*> failed", []string{"open /var/lib/x failed", `open C:\Windows\x.dll failed`, "open https://example.org/a?b=c failed", "open smb://nas/share failed"}},
		{"at <*> by <*>", []string{"at Sun Jul 10 03:55:15 2005 by 4", "at 2026-03-02T08:00:00Z by 77", "at 2026/03/02 08:00:00,123 by 0x1f"}},
		{"to <*> done", []string{"to 10.0.0.1, 10.0.0.2, 10.0.0.3 done", "to 10.0.0.1 done", "to 1 2 3 done"}},
		{"reg r24=<*> x=<*>", []string{"reg r24=0x0000 x=1", "reg r24=ffffffff x=abc"}},
		{"lock tag=<*>, ws=<*>", []string{`lock tag="View Lock", ws=null`, "lock tag=*launch*, ws=WorkSource{10113 com.example}", "lock tag=[a, b], ws={}"}},
		{"Surface(name=<*>) gone", []string{"Surface(name=Popup) gone", "Surface(name=Popup - a b) gone"}},
		{"to=<*>, relay=<*>", []string{"to=<root@here>, relay=local", "to=<a.b@example.org>, relay=none"}},
		{"state <*> of <*>", []string{"state true of 4", "state false of 12"}},
		{"nodes:<*> of <*>", []string{"nodes:node-[1-4,7] of 12", "nodes:node-12 of 9", "nodes:node-[0-7 9 12-15] of 1"}},
		{"wait enable...<*>", []string{"wait enable.......0", "wait enable..1"}},
		{"speeds ( <*> )", []string{"speeds ( 3552 3534 **** 3515 )", "speeds ( 1 2 )"}},
		{"call (<*>) at <*>", []string{"call () at 5", "call (10.0.0.1) at 5", "call (1:2.3-4) at 5"}},
		{"mail <*> sent", []string{"mail root@here sent", "mail a.b@example.org sent"}},
		{"Up::now <*>", []string{"Up::now 1", "Up::now 2"}},
		{`<*> "GET <*>" <*>`, []string{`10.0.0.1 "GET /a HTTP/1.1" 200`, `10.0.0.2 "GET /b/c?d=e HTTP/1.0" 404`}},
		{"用户<*>登录失败", []string{"用户1001登录失败", "用户7登录失败"}},
		{`{"level":"<*>","ms":<*>}`, []string{`{"level":"error","ms":5}`, `{"level":"info","ms":12}`}},
	} {
		var s scanner
		for _, m := range c.messages {
			key := string(appendKey(nil, s.scan(c.messages[0]), nil))
			tokens := s.scan(m)
			if got := string(appendKey(nil, tokens, nil)); got != key {
				t.Errorf("%q and %q have different forms:\n %q\n %q", c.messages[0], m, key, got)
				continue
			}
			for i := range tokens {
				if tokens[i].class == value {
					tokens[i].text = Wildcard
				}
			}
			if got := render(tokens); got != c.template {
				t.Errorf("%q: template %q, want %q", m, got, c.template)
			}
		}
	}
}

// TestFormsApart: what tells messages apart is not masked.
func TestFormsApart(t *testing.T) {
	var s scanner
	for _, c := range [][2]string{
		{"link up on 3", "link down on 3"},
		{"LOOKING", "FOLLOWING"},
		{`10.0.0.1 "GET /a HTTP/1.1" 200`, `10.0.0.1 "DELETE /a HTTP/1.1" 200`},
		{"reg r24=1", "reg r25=1"},
		{"init() ok", "exit() ok"},
		{"session opened by (uid=0)", "session opened by LOGIN(uid=0)"},
		{"A1::start 5", "A2::start 5"},
		{`{"error":5}`, `{"warning":5}`},
		{"磁盘已满 5", "磁盘恢复 5"},
	} {
		a := string(appendKey(nil, s.scan(c[0]), nil))
		if b := string(appendKey(nil, s.scan(c[1]), nil)); a == b {
			t.Errorf("%q and %q have the same form %q", c[0], c[1], strings.ReplaceAll(a, "\x00", " "))
		}
	}
}
