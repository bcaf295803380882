package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"zhiwei/door/gate"
	"zhiwei/kernel/audit"
)

func TestSignIn(t *testing.T) {
	w := open(t)
	w.user("anna", map[string]any{})
	nobody := w.anonymous()
	in := func(body any, h ...string) answer { return w.ask(nobody, "POST", "/api/session", body, h...) }
	for name, c := range map[string]struct {
		body any
		h    []string
		want int
		path string
	}{
		"wrong password":   {map[string]string{"user": "anna", "password": "nope"}, nil, 401, ""},
		"unknown user":     {map[string]string{"user": "nobody", "password": "nope"}, nil, 401, ""},
		"no password":      {map[string]string{"user": "anna"}, nil, 400, "user"},
		"unknown property": {map[string]string{"user": "anna", "password": password, "x": "y"}, nil, 400, "x"},
		"wrong type":       {map[string]any{"user": 7, "password": password}, nil, 400, "user"},
		"a form":           {`{"user":"anna","password":"` + password + `"}`, []string{"Content-Type", "text/plain"}, 400, "Content-Type"},
		"broken":           {`{"user":`, nil, 400, "user"},
	} {
		a := in(c.body, c.h...)
		p, _ := a.object(t)["path"].(string)
		if a.StatusCode != c.want || p != c.path || len(a.Cookies()) != 0 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.raw)
		}
		if a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", name, a.Header.Get("Content-Type"))
		}
	}
	a := in(map[string]string{"user": " Anna ", "password": password})
	if a.StatusCode != 200 || len(a.Cookies()) != 1 {
		t.Fatalf("%d %s", a.StatusCode, a.raw)
	}
	cookie := a.Cookies()[0]
	if cookie.Name != gate.SessionCookie || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Secure {
		t.Errorf("cookie %+v", cookie)
	}
	if strings.Contains(string(a.raw), cookie.Value[33:]) {
		t.Error("the secret is in the body")
	}
	anna := w.holding(cookie.Value)
	who := w.must(200, anna, "GET", "/api/session", nil).object(t)
	if u := who["user"].(map[string]any); u["id"] != "user/anna" || who["mustChangePassword"] != false || who["founder"] != false {
		t.Errorf("%v", who)
	}
	w.must(403, anna, "DELETE", "/api/session", nil, gate.CSRFHeader, "no")
	w.must(400, anna, "POST", "/api/session/password", map[string]string{"old": "wrong", "new": "Another-long-one-3"})
	w.must(204, anna, "POST", "/api/session/password", map[string]string{"old": password, "new": "Another-long-one-3"})
	w.must(204, anna, "DELETE", "/api/session", nil)
	w.must(401, anna, "GET", "/api/session", nil)
	w.must(401, nobody, "GET", "/api/session", nil)
	limited := 0
	for range 30 {
		if in(map[string]string{"user": "x", "password": "y"}).StatusCode == 429 {
			limited++
		}
	}
	if limited == 0 {
		t.Error("thirty sign-ins at once were all tried")
	}
	if s := w.log.String(); strings.Contains(s, password) || strings.Contains(s, cookie.Value[33:]) {
		t.Error("a secret is in the log")
	}
}

// The start tells the declarations but for the search parameters that no page draws.
func TestStart(t *testing.T) {
	w := open(t)
	porter := w.user("porter", map[string]any{"roles": []string{"role/porter"}})
	first := w.must(200, porter, "GET", "/api/start", nil).object(t)
	items := func(catalogue any) []any { return catalogue.(map[string]any)["items"].([]any) }
	short, whole := items(first["catalogue"]), items(w.must(200, porter, "GET", "/api/kinds", nil).object(t))
	if len(short) != len(whole) || len(short) == 0 {
		t.Fatalf("%d kinds at the start, %d in all", len(short), len(whole))
	}
	for i := range short {
		short, whole := short[i].(map[string]any), whole[i].(map[string]any)
		delete(short, "search")
		delete(whole, "search")
		if !reflect.DeepEqual(short, whole) {
			t.Fatalf("%v at the start, and %v", short, whole)
		}
	}
}

// The first start: the founder appoints three persons and has no power left.
func TestFirstStart(t *testing.T) {
	w := open(t)
	nobody := w.anonymous()
	if _, err := w.people.Bootstrap(context.Background(), password); err != nil {
		t.Fatal(err)
	}
	if a := w.must(200, nobody, "GET", "/api/about", nil).object(t); a["setup"].(map[string]any)["founder"] != true || a["site"] != "here" {
		t.Fatalf("%v", a)
	}
	enter := func(login, password string) *http.Client {
		a := w.must(200, nobody, "POST", "/api/session", map[string]string{"user": login, "password": password})
		return w.holding(a.Cookies()[0].Value)
	}
	founder := enter("admin", password)
	w.must(403, founder, "GET", "/api/parcels", nil)
	w.must(403, founder, "POST", "/api/users", map[string]any{"data": map[string]string{"name": "x", "login": "xx"}})
	w.must(403, founder, "POST", "/api/tokens", map[string]string{"name": "x"})
	w.must(400, founder, "POST", "/api/setup/administrators", map[string]string{"role": "system-admin", "login": "Not A Login", "name": "张"})
	handed := map[string]string{}
	for _, role := range []string{"system-admin", "security-admin", "audit-admin"} {
		a := w.must(201, founder, "POST", "/api/setup/administrators", map[string]string{"role": role, "login": role, "name": "王" + role})
		handed[role] = a.object(t)["password"].(string)
	}
	w.must(403, founder, "POST", "/api/setup/administrators", map[string]string{"role": "system-admin", "login": "more", "name": "多"})
	w.must(403, founder, "GET", "/api/setup", nil)
	if a := w.must(200, nobody, "GET", "/api/about", nil).object(t); a["setup"].(map[string]any)["founder"] != false {
		t.Fatalf("%v", a)
	}
	sec := enter("security-admin", handed["security-admin"])
	if a := w.must(200, sec, "GET", "/api/session", nil).object(t); a["mustChangePassword"] != true {
		t.Fatalf("%v", a)
	}
	// The start is the three answers in one, and no failure for nobody.
	first := w.must(200, sec, "GET", "/api/start", nil).object(t)
	for part, path := range map[string]string{"about": "/api/about", "session": "/api/session"} {
		if alone := w.must(200, sec, "GET", path, nil).object(t); !reflect.DeepEqual(first[part], alone) {
			t.Fatalf("%s: %v, and %s: %v", part, first[part], path, alone)
		}
	}
	if a := w.must(200, nobody, "GET", "/api/start", nil).object(t); a["session"] != nil || a["catalogue"] != nil || a["about"] == nil {
		t.Fatalf("%v", a)
	}
	w.must(403, sec, "GET", "/api/users", nil) // nothing before the password is changed
	w.must(204, sec, "POST", "/api/session/password", map[string]string{"old": handed["security-admin"], "new": "Yellow-Submarine-1"})
	made := w.must(201, sec, "POST", "/api/users", map[string]any{"data": map[string]any{"name": "赵医生", "login": "zhao", "roles": []string{"role/porter"}}}).object(t)
	pw := w.must(200, sec, "POST", "/api/users/"+made["id"].(string)+"/password", map[string]any{}).object(t)["password"].(string)
	enter("zhao", pw)
	if got := w.must(200, sec, "GET", "/api/users?q=zys", nil).items(t); len(got) != 1 { // 赵医生 by initials
		t.Errorf("%v", got)
	}
	w.must(403, sec, "GET", "/api/parcels", nil)
	w.must(403, sec, "GET", "/api/audits", nil)
	aud := enter("audit-admin", handed["audit-admin"])
	w.must(204, aud, "POST", "/api/session/password", map[string]string{"old": handed["audit-admin"], "new": "Yellow-Submarine-2"})
	seen := w.must(200, aud, "GET", "/api/audits?action=sign-in&limit=2", nil)
	if got := seen.items(t); len(got) != 2 || got[0]["who"] != "user/audit-admin" || got[0]["outcome"] != "ok" {
		t.Errorf("%s", seen.raw)
	}
	w.must(400, aud, "GET", "/api/audits?nonsense=1", nil)
	w.must(403, aud, "GET", "/api/tokens", nil)
	if users := w.must(200, aud, "GET", "/api/users", nil); strings.Contains(string(users.raw), "login") || strings.Contains(string(users.raw), "roles") {
		t.Errorf("the audit administrator sees accounts: %s", users.raw)
	}

	// Tokens work at once and stop when revoked.
	tok := w.must(201, sec, "POST", "/api/tokens", map[string]any{"name": "LIS", "scopes": []string{"system/parcel.rs"}, "purpose": "HOPERAT"}).object(t)
	rec := tok["record"].(map[string]any)
	if strings.Contains(fmt.Sprint(rec), "hash") {
		t.Errorf("%v", rec)
	}
	bearer := []string{"Authorization", "Bearer " + tok["token"].(string)}
	w.must(200, nobody, "GET", "/api/parcels", nil, bearer...)
	w.must(403, nobody, "POST", "/api/parcels", map[string]any{"data": map[string]string{"title": "x"}}, bearer...)
	w.must(403, nobody, "GET", "/api/users", nil, bearer...)
	w.must(200, sec, "POST", "/api/tokens/"+rec["id"].(string)+"/do/revoke", map[string]any{"evidence": map[string]string{"reason": "更换"}})
	began := time.Now()
	for w.ask(nobody, "GET", "/api/parcels", nil, bearer...).StatusCode != 401 {
		if time.Since(began) > 5*time.Second {
			t.Fatal("a revoked token still works")
		}
	}
}

func TestRecords(t *testing.T) {
	w := open(t)
	east, _, chief := w.staff()
	data := map[string]any{"title": "血样箱", "weight": 3, "price": "12.50", "tags": []string{"急", "冷链"}, "department": "department/east"}
	created := w.must(201, east, "POST", "/api/parcels", map[string]any{"data": data})
	one := created.object(t)
	id := one["id"].(string)
	if created.Header.Get("Location") != "/api/parcels/"+id || created.Header.Get("ETag") != `"1"` || one["state"] != "waiting" || one["kind"] != "parcel" || one["site"] != "here" || one["by"] != "user/emma" {
		t.Fatalf("%v %s", created.Header, created.raw)
	}
	path := "/api/parcels/" + id

	// What is not known is refused and named.
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		names        string
	}{
		{"GET", "/api/parcels?colour=red", nil, 400, "colour"},
		{"GET", "/api/parcels?sort=colour", nil, 400, "sort"},
		{"GET", "/api/parcels?limit=0", nil, 400, "limit"},
		{"GET", "/api/parcels?limit=5000", nil, 400, "limit"},
		{"GET", "/api/parcels?total=maybe", nil, 400, "total"},
		{"GET", "/api/parcels?after=junk", nil, 400, ""},
		{"GET", "/api/parcels?title:exactly=x", nil, 400, "title:exactly"},
		{"GET", "/api/parcels?weight=heavy", nil, 400, ""},
		{"GET", path + "?x=1", nil, 400, "x"},
		{"POST", "/api/parcels", map[string]any{"data": map[string]any{"title": "x", "colour": "red"}}, 400, "colour"},
		{"POST", "/api/parcels", map[string]any{"data": map[string]any{"title": "x"}, "extra": 1}, 400, "extra"},
		{"POST", "/api/parcels", map[string]any{}, 400, "data"},
		{"POST", "/api/parcels", `{"data":{"title":"a","title":"b"}}`, 400, "data.title"},
		{"POST", path + "/do/fly", map[string]any{}, 400, "fly"},
		{"POST", path + "/do/lapse", map[string]any{}, 400, "lapse"},
		{"POST", path + "/do/send", map[string]any{}, 400, "barcode"},
		{"POST", path + "/do/send", map[string]any{"evidence": map[string]string{"barcode": "1", "smell": "x"}}, 400, "smell"},
		{"POST", path + "/do/send", map[string]any{"evidence": map[string]string{"barcode": "1"}, "data": map[string]any{"title": "y"}}, 400, "title"},
		{"PUT", path, map[string]any{"data": data}, 400, "If-Match"},
		{"GET", path + "/stories", nil, 404, ""},
		{"GET", "/api/trucks", nil, 404, ""},
		{"PATCH", path, nil, 405, ""},
		{"GET", "/api/parcels/nothing", nil, 404, ""},
		{"GET", "/api/search?x=1", nil, 400, "x"},
		{"GET", "/api/kinds?x=1", nil, 400, "x"},
		{"GET", "/api/parcels/export?format=xlsx", nil, 400, "format"},
		{"GET", "/api/parcels?note=x", nil, 403, "note"},
		{"GET", "/api/parcels?sort=note", nil, 403, "note"},
	} {
		a := w.ask(east, c.method, c.path, c.body)
		if a.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, a.StatusCode, c.status, a.raw)
			continue
		}
		if p, _ := a.object(t)["path"].(string); c.names != "" && p != c.names {
			t.Errorf("%s %s names %q, want %q: %s", c.method, c.path, p, c.names, a.raw)
		}
	}

	// Read, with what can be done.
	detail := w.must(200, east, "GET", path, nil).object(t)
	verbs := detail["verbs"].([]any)
	if len(verbs) != 1 || verbs[0].(map[string]any)["name"] != "send" || verbs[0].(map[string]any)["allowed"] != true || fmt.Sprint(detail["hidden"]) != "[note]" || fmt.Sprint(detail["can"]) != "[update delete]" {
		t.Errorf("%v", detail)
	}
	for _, v := range w.must(200, chief, "GET", path, nil).object(t)["verbs"].([]any) {
		if v := v.(map[string]any); v["name"] == "burn" && (v["allowed"] != false || v["why"] != "Too light to burn.") {
			t.Errorf("%v", v)
		}
	}

	// Write only with the version it was read at.
	data["weight"] = 4
	w.must(409, east, "PUT", path, map[string]any{"data": data}, "If-Match", `"7"`)
	if a := w.must(200, east, "PUT", path, map[string]any{"data": data}, "If-Match", `"1"`).object(t); a["version"] != 2.0 {
		t.Errorf("%v", a)
	}
	w.must(409, east, "PUT", path, map[string]any{"data": data}, "If-Match", `"1"`)

	// A field one may not see survives one's writing.
	data["note"] = "易碎"
	w.must(200, chief, "PUT", path, map[string]any{"data": data}, "If-Match", `"2"`)
	delete(data, "note")
	if a := w.must(200, east, "PUT", path, map[string]any{"data": data}, "If-Match", `"3"`); strings.Contains(string(a.raw), "易碎") {
		t.Errorf("hidden field shown: %s", a.raw)
	}
	if a := w.must(200, chief, "GET", path, nil); !strings.Contains(string(a.raw), "易碎") {
		t.Errorf("hidden field lost: %s", a.raw)
	}
	for _, sub := range []string{"", "/history", "/timeline"} {
		if a := w.must(200, east, "GET", path+sub, nil); strings.Contains(string(a.raw), "易碎") {
			t.Errorf("%s shows a hidden field: %s", sub, a.raw)
		}
	}

	// A verb, with its evidence and the time in each state.
	w.clock.Move(20 * time.Minute)
	if a := w.must(200, east, "POST", path+"/do/send", map[string]any{"version": 4, "evidence": map[string]string{"barcode": "6901"}, "data": map[string]any{"weight": 5}}).object(t); a["state"] != "sent" || a["data"].(map[string]any)["weight"] != 5.0 {
		t.Errorf("%v", a)
	}
	w.must(409, east, "POST", path+"/do/send", map[string]any{"evidence": map[string]string{"barcode": "6901"}})
	line := w.must(200, east, "GET", path+"/timeline", nil).object(t)
	steps := line["steps"].([]any)
	last := steps[len(steps)-1].(map[string]any)
	if len(steps) != 5 || last["verb"] != "send" || last["from"] != "waiting" || last["state"] != "sent" || last["evidence"].(map[string]any)["barcode"] != "6901" || last["byName"] != "员工emma" {
		t.Errorf("%v", line)
	}
	if stay := line["inState"].([]any)[0].(map[string]any); stay["state"] != "waiting" || stay["ms"] != float64(20*time.Minute/time.Millisecond) {
		t.Errorf("%v", line["inState"])
	}
	if h := w.must(200, east, "GET", path+"/history?limit=2", nil); len(h.items(t)) != 2 || h.object(t)["next"] == nil || h.items(t)[0]["op"] != "verb" {
		t.Errorf("%s", h.raw)
	}

	// Delete and bring back; what is referred to stays.
	box := w.must(201, east, "POST", "/api/parcels", map[string]any{"id": "box-1", "data": map[string]any{"title": "大箱", "department": "department/east"}}).object(t)["id"].(string)
	w.must(409, east, "POST", "/api/parcels", map[string]any{"id": "box-1", "data": map[string]any{"title": "再来", "department": "department/east"}})
	inner := w.must(201, east, "POST", "/api/parcels", map[string]any{"data": map[string]any{"title": "小盒", "inside": "parcel/" + box, "department": "department/east"}}).object(t)["id"].(string)
	w.must(409, east, "DELETE", "/api/parcels/"+box, nil)
	if got := w.must(200, east, "GET", "/api/parcels/"+box+"/referring", nil).items(t); len(got) != 1 || got[0]["title"] != "小盒" || got[0]["param"] != "inside" {
		t.Errorf("%v", got)
	}
	if got := w.must(200, east, "GET", "/api/parcels?inside.title=daxiang", nil).items(t); len(got) != 1 { // chained, by pinyin
		t.Errorf("%v", got)
	}
	w.must(204, east, "DELETE", "/api/parcels/"+inner, nil, "If-Match", `"1"`)
	w.must(404, east, "GET", "/api/parcels/"+inner, nil)
	w.must(200, east, "POST", "/api/parcels/"+inner+"/undelete", map[string]any{})
	w.must(200, east, "GET", "/api/parcels/"+inner, nil)

	// Pages, order, totals, statistics.
	seen := map[string]bool{}
	next := ""
	for range 10 {
		a := w.must(200, east, "GET", "/api/parcels?limit=1&sort=weight,-_updated&total=true&after="+next, nil)
		for _, r := range a.items(t) {
			seen[r["id"].(string)] = true
		}
		o := a.object(t)
		if o["total"] != 3.0 {
			t.Errorf("total %v", o["total"])
		}
		if o["next"] == nil {
			break
		}
		next = o["next"].(string)
	}
	if len(seen) != 3 {
		t.Errorf("paged through %v", seen)
	}
	if got := w.must(200, east, "GET", "/api/parcels?weight=ge5&_state=sent&tag=%E6%80%A5&_id="+id, nil).items(t); len(got) != 1 {
		t.Errorf("%v", got)
	}
	w.clock.Move(49 * time.Hour)
	east = w.again("emma")
	stats := w.must(200, east, "GET", "/api/parcels/stats", nil).object(t)
	if fmt.Sprint(stats) != "map[overdue:2 states:[map[count:2 state:waiting] map[count:1 state:sent]]]" {
		t.Errorf("%v", stats)
	}
}

// again signs in a user of the world whose session has run out.
func (w *world) again(login string) *http.Client {
	w.t.Helper()
	s, err := w.people.SignIn(context.Background(), login, password)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.holding(s.Secret)
}

// What is hidden shows nowhere.
func TestHiddenRecordsShowNowhere(t *testing.T) {
	w := open(t)
	east, west, chief := w.staff()
	for i := range 7 {
		dept := "east"
		if i >= 3 {
			dept = "west"
		}
		w.must(201, chief, "POST", "/api/parcels", map[string]any{"id": fmt.Sprintf("%s-%d", dept, i), "data": map[string]any{"title": "箱子 " + dept, "department": "department/" + dept}})
	}
	w.must(201, chief, "POST", "/api/parcels", map[string]any{"id": "east-box", "data": map[string]any{"title": "东箱", "department": "department/east"}})
	w.must(201, chief, "POST", "/api/parcels", map[string]any{"id": "west-in-east", "data": map[string]any{"title": "西装东", "department": "department/west", "inside": "parcel/east-box"}})
	for _, path := range []string{
		"/api/parcels", "/api/parcels?_has:parcel:inside:title=x", "/api/parcels?inside=parcel/east-box", "/api/search?q=%E7%AE%B1%E5%AD%90", "/api/parcels/export?format=csv", "/api/parcels/export?format=ndjson",
		"/api/parcels/east-box/referring", "/api/parcels?q=west", "/api/parcels?department.name=west",
	} {
		if a := w.must(200, east, "GET", path, nil); strings.Contains(string(a.raw), "west-") {
			t.Errorf("%s shows what is hidden: %s", path, a.raw)
		}
	}
	if a := w.must(200, east, "GET", "/api/parcels?total=true&limit=1", nil).object(t); a["total"] != 4.0 {
		t.Errorf("total %v", a["total"])
	}
	if a := w.must(200, east, "GET", "/api/counts", nil).object(t); a["parcel"] != 4.0 {
		t.Errorf("counts %v", a)
	}
	if a := w.must(200, west, "GET", "/api/parcels/stats", nil).object(t); fmt.Sprint(a["states"]) != "[map[count:5 state:waiting] map[count:0 state:sent]]" {
		t.Errorf("stats %v", a)
	}
	for _, sub := range []string{"", "/history", "/timeline", "/referring"} {
		hidden := w.must(404, east, "GET", "/api/parcels/west-3"+sub, nil).object(t)
		absent := w.must(404, east, "GET", "/api/parcels/west-9"+sub, nil).object(t)
		if strings.ReplaceAll(hidden["detail"].(string), "west-3", "") != strings.ReplaceAll(absent["detail"].(string), "west-9", "") {
			t.Errorf("%s tells hidden from absent: %v, %v", sub, hidden, absent)
		}
	}
	w.must(404, east, "PUT", "/api/parcels/west-3", map[string]any{"data": map[string]any{"title": "x", "department": "department/east"}}, "If-Match", `"1"`)
	w.must(404, east, "DELETE", "/api/parcels/west-3", nil)
	w.must(404, east, "POST", "/api/parcels/west-3/do/send", map[string]any{"evidence": map[string]string{"barcode": "1"}})
	w.must(409, east, "POST", "/api/parcels", map[string]any{"data": map[string]any{"title": "x", "department": "department/east", "inside": "parcel/west-3"}})
	w.must(403, east, "POST", "/api/parcels", map[string]any{"data": map[string]any{"title": "x", "department": "department/west"}})
	kinds := w.must(200, east, "GET", "/api/kinds", nil)
	if s := string(kinds.raw); strings.Contains(s, "内部备注") || strings.Contains(s, "credential") || strings.Contains(s, `"except"`) {
		t.Errorf("kinds show what is hidden: %s", s)
	}
	if got := kinds.object(t)["menu"].([]any); fmt.Sprint(got) == "[]" {
		t.Error("no menu")
	}
}

func TestOneEntryForEachRequest(t *testing.T) {
	w := open(t)
	east, _, chief := w.staff()
	box := w.must(201, chief, "POST", "/api/parcels", map[string]any{"id": "box", "data": map[string]any{"title": "箱", "department": "department/east"}})
	requests := map[string]struct{ action, outcome string }{}
	note := func(a answer, action, outcome string) {
		id := a.Header.Get("X-Request-Id")
		if id == "" {
			t.Fatal("no request id")
		}
		requests[id] = struct{ action, outcome string }{action, outcome}
	}
	note(box, "create", "ok")
	note(w.must(200, east, "GET", "/api/parcels", nil), "search", "ok")
	note(w.must(200, east, "GET", "/api/parcels/box", nil), "read", "ok")
	note(w.must(404, east, "GET", "/api/parcels/none", nil), "read", "failed")
	note(w.must(400, east, "GET", "/api/parcels?x=y", nil), "search", "failed")
	note(w.must(403, east, "GET", "/api/tokens", nil), "search", "refused")
	note(w.must(401, w.anonymous(), "GET", "/api/parcels", nil), "search", "refused")
	note(w.must(200, east, "PUT", "/api/parcels/box", map[string]any{"data": map[string]any{"title": "箱二", "department": "department/east"}}, "If-Match", `"1"`), "update", "ok")
	note(w.must(409, east, "PUT", "/api/parcels/box", map[string]any{"data": map[string]any{"title": "箱三", "department": "department/east"}}, "If-Match", `"1"`), "update", "failed")
	note(w.must(400, east, "POST", "/api/parcels/box/do/send", map[string]any{}), "verb:send", "failed")
	note(w.must(403, east, "POST", "/api/parcels/box/do/burn", map[string]any{}), "verb:burn", "refused")
	note(w.must(200, east, "POST", "/api/parcels/box/do/send", map[string]any{"evidence": map[string]string{"barcode": "1"}}), "verb:send", "ok")
	note(w.must(400, east, "POST", "/api/parcels", map[string]any{"data": map[string]any{"title": 7}}), "create", "failed")
	note(w.must(200, east, "GET", "/api/parcels/box/history", nil), "history", "ok")
	note(w.must(200, east, "GET", "/api/parcels/export", nil), "export", "ok")
	note(w.must(200, east, "GET", "/api/search?q=x", nil), "search", "ok")
	note(w.must(401, w.anonymous(), "POST", "/api/session", map[string]string{"user": "emma", "password": "wrong"}), "sign-in", "refused")
	note(w.must(200, w.anonymous(), "POST", "/api/session", map[string]string{"user": "emma", "password": password}), "sign-in", "ok")
	note(w.must(204, east, "POST", "/api/session/password", map[string]string{"old": password, "new": "Silent-Snow-falls-6"}), "change-password", "ok")
	note(w.must(204, east, "DELETE", "/api/parcels/box", nil), "delete", "ok")
	note(w.must(204, east, "DELETE", "/api/session", nil), "sign-out", "ok")
	entries, err := w.kernel.Store().Audits(context.Background(), audit.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]audit.Entry{}
	for _, e := range entries {
		got[e.Request] = append(got[e.Request], e)
	}
	for id, want := range requests {
		if len(got[id]) != 1 {
			t.Errorf("%s %s: %d entries: %+v", want.action, want.outcome, len(got[id]), got[id])
			continue
		}
		e := got[id][0]
		if e.Action != want.action || string(e.Outcome) != want.outcome || e.Door != "rest" || e.Remote == "" {
			t.Errorf("want %v, got %+v", want, e)
		}
	}
	raw, err := json.Marshal(entries)
	if err != nil || strings.Contains(string(raw), password) || strings.Contains(string(raw), "Silent-Snow") {
		t.Error("a password is in the audit")
	}
}

// Every route names its permission, and nobody gets in without it.
func TestEveryRouteIsGuarded(t *testing.T) {
	w := open(t)
	plain := w.user("plain", map[string]any{})
	nobody := w.anonymous()
	for _, rt := range w.gate.Routes() {
		if err := rt.Check(); err != nil {
			t.Error(err)
		}
		name := rt.Permission.String()
		path := strings.NewReplacer("{id}", "x", "{address}", "sha256-0", "{verb}", "none").Replace(rt.Pattern)
		if name == "open" {
			continue
		}
		if a := w.ask(nobody, rt.Method, path, nil); a.StatusCode != 401 {
			t.Errorf("%s %s without signing in: %d", rt.Method, rt.Pattern, a.StatusCode)
		}
		if strings.HasPrefix(name, "role:") || strings.HasPrefix(name, "can:parcel") || strings.HasPrefix(name, "can:credential") {
			if a := w.ask(plain, rt.Method, path, nil); a.StatusCode != 403 && a.StatusCode != 404 {
				t.Errorf("%s %s without the role: %d", rt.Method, rt.Pattern, a.StatusCode)
			}
		}
	}
}

func TestExportAndImport(t *testing.T) {
	w := open(t)
	east, _, chief := w.staff()
	for i, title := range []string{"=1+1", "普通, \"引号\"", "-5", "'带撇号"} {
		w.must(201, chief, "POST", "/api/parcels", map[string]any{"id": fmt.Sprint("p", i), "data": map[string]any{"title": title, "weight": i, "price": "-1.50", "tags": []string{"a,b", "c"}, "department": "department/east", "note": "secret"}})
	}
	for _, format := range []string{"csv", "ndjson"} {
		out := w.must(200, east, "GET", "/api/parcels/export?_id=p0,p1,p2,p3&format="+format+"&sort=weight", nil)
		if strings.Contains(string(out.raw), "secret") {
			t.Fatalf("%s", out.raw)
		}
		if format == "csv" && (!strings.Contains(string(out.raw), "'=1+1") || !strings.HasPrefix(string(out.raw), "\ufeff")) {
			t.Errorf("%s", out.raw)
		}
		media := map[string]string{"csv": "text/csv", "ndjson": "application/x-ndjson"}[format]
		// The same ids again are wrong, and nothing is written.
		again := w.must(400, east, "POST", "/api/parcels/import", string(out.raw), "Content-Type", media).object(t)
		if again["created"] != 0.0 || len(again["failed"].([]any)) != 1 {
			t.Errorf("%v", again)
		}
		fresh := strings.NewReplacer("\np", "\n"+format+"-p", `"id":"p`, `"id":"`+format+`-p`).Replace(string(out.raw))
		if a := w.must(200, east, "POST", "/api/parcels/import?check=true", fresh, "Content-Type", media).object(t); a["created"] != 0.0 || a["rows"] != 4.0 {
			t.Errorf("%v", a)
		}
		if a := w.must(200, east, "POST", "/api/parcels/import", fresh, "Content-Type", media).object(t); a["created"] != 4.0 {
			t.Errorf("%v", a)
		}
		for i := range 4 {
			was := w.must(200, east, "GET", fmt.Sprint("/api/parcels/p", i), nil).object(t)["data"]
			is := w.must(200, east, "GET", fmt.Sprint("/api/parcels/", format, "-p", i), nil).object(t)["data"]
			if fmt.Sprint(was) != fmt.Sprint(is) {
				t.Errorf("%s: %v became %v", format, was, is)
			}
		}
		changed := strings.ReplaceAll(fresh, "普通", "改过")
		if a := w.must(200, east, "POST", "/api/parcels/import?update=true", changed, "Content-Type", media).object(t); a["updated"] != 4.0 {
			t.Errorf("%v", a)
		}
	}
	for name, c := range map[string]struct{ body, media, path string }{
		"unknown column": {"title,colour\nx,red\n", "text/csv", "colour"}, "column twice": {"title,title\nx,y\n", "text/csv", "title"}, "ragged": {"title,weight\nx\n", "text/csv", ""},
		"unknown property": {`{"data":{"title":"x"},"colour":1}`, "application/x-ndjson", "colour"}, "other kind": {`{"kind":"user","data":{"title":"x"}}`, "application/x-ndjson", "kind"},
		"no data": {`{}`, "application/x-ndjson", "data"}, "not JSON": {`title`, "application/x-ndjson", ""}, "other media": {"x", "text/plain", "Content-Type"},
	} {
		a := w.must(400, east, "POST", "/api/parcels/import", c.body, "Content-Type", c.media).object(t)
		if p, _ := a["path"].(string); p != c.path {
			t.Errorf("%s: %v", name, a)
		}
	}
	bad := w.must(400, east, "POST", "/api/parcels/import", "title,weight,department\na,1,department/east\nb,-1,department/east\nc,x,department/east\n", "Content-Type", "text/csv").object(t)
	if bad["detail"] == nil && len(bad["failed"].([]any)) == 0 {
		t.Errorf("%v", bad)
	}
	if n := w.must(200, east, "GET", "/api/parcels?total=true&title=a", nil).object(t)["total"]; n != 0.0 {
		t.Errorf("a part of a wrong file was kept: %v", n)
	}
}

func TestBlobsAreReadThroughTheRecordThatNamesThem(t *testing.T) {
	w := open(t)
	east, west, _ := w.staff()
	up := w.must(201, east, "POST", "/api/blobs", "一张<script>图</script>", "Content-Type", "image/png").object(t)
	address := up["address"].(string)
	w.must(201, east, "POST", "/api/parcels", map[string]any{"id": "with", "data": map[string]any{"title": "x", "department": "department/east", "file": address}})
	w.must(201, east, "POST", "/api/parcels", map[string]any{"id": "without", "data": map[string]any{"title": "x", "department": "department/east"}})
	got := w.must(200, east, "GET", "/api/parcels/with/blobs/"+address, nil)
	if string(got.raw) != "一张<script>图</script>" || got.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v %s", got.Header, got.raw)
	}
	if part := w.must(206, east, "GET", "/api/parcels/with/blobs/"+address, nil, "Range", "bytes=0-2"); string(part.raw) != "一" {
		t.Errorf("%q", part.raw)
	}
	w.must(404, west, "GET", "/api/parcels/with/blobs/"+address, nil)
	w.must(404, east, "GET", "/api/parcels/without/blobs/"+address, nil)
	w.must(404, east, "GET", "/api/parcels/with/blobs/sha256-x", nil)
}

func TestOpenAPI(t *testing.T) {
	w := open(t)
	_, _, chief := w.staff()
	doc := w.must(200, chief, "GET", "/api/openapi.json", nil).object(t)
	if doc["openapi"] != "3.1.0" {
		t.Fatal(doc["openapi"])
	}
	routes := map[string]bool{}
	for _, rt := range w.gate.Routes() {
		routes[strings.ToLower(rt.Method)+" "+rt.Pattern] = true
	}
	ids := map[string]bool{}
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if !routes[method+" "+path] {
				t.Errorf("%s %s is described and does not exist", method, path)
			}
			id := op.(map[string]any)["operationId"].(string)
			if ids[id] {
				t.Errorf("operation %s twice", id)
			}
			ids[id] = true
		}
	}
	for _, want := range []string{"send-parcel", "burn-parcel", "create-parcel", "list-user"} {
		if !ids[want] {
			t.Errorf("%s is not described", want)
		}
	}
	if ids["lapse-parcel"] || ids["create-user"] {
		t.Error("what the chief may not do is described as his")
	}
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			if ref, ok := x["$ref"].(string); ok {
				name, isSchema := strings.CutPrefix(ref, "#/components/schemas/")
				if isSchema && schemas[name] == nil {
					t.Errorf("%s points nowhere", ref)
				}
			}
			for _, e := range x {
				walk(e)
			}
		case []any:
			for _, e := range x {
				walk(e)
			}
		}
	}
	walk(doc)
}
