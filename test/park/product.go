package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zhiwei/engine"
)

// Product is the program under test: the real serve with a data folder of its
// own, spoken to over HTTP with a service token as any other system does.
type Product struct {
	w     *World
	base  string
	token string
	http  *http.Client
	names map[string]string // of things: id to name
	ids   map[string]string
}

// settings is the configuration of the program under test: as it comes, but for
// how often things are measured that do not say it themselves, and where it takes
// what devices tell by themselves.
func (w *World) settings(pace time.Duration) string {
	return fmt.Sprintf("watch:\n  services: []\noperations:\n  measure: %s\nintake:\n  syslog: {udp: %q}\n  traps: {address: %q, communities: [public]}\n", pace, w.net.at("zhiwei-syslog"), w.net.at("zhiwei-traps"))
}

// startProduct starts the program and writes the ledger.
func startProduct(ctx context.Context, w *World, program string, pace time.Duration) (*Product, error) {
	p := &Product{w: w, base: "http://" + w.net.at("zhiwei"), http: &http.Client{Timeout: 20 * time.Second}, names: map[string]string{}, ids: map[string]string{}}
	if err := w.put(w.settings(pace), "conf", "zhiwei.yaml"); err != nil {
		return nil, err
	}
	data := w.file("zhiwei")
	w.Units.Add(&Unit{
		Name: "zhiwei", Path: program, Args: []string{"serve", "--data", data, "--listen", w.net.at("zhiwei"), "--config", w.file("conf", "zhiwei.yaml")},
		// It listens before it is ready; the socket in its data folder comes last.
		Dir: w.Dir, Ready: func(ctx context.Context) error {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(data, "zhiwei.sock"))
			if err == nil {
				_ = c.Close()
			}
			return err
		},
	})
	if err := w.Units.Start(ctx, "zhiwei"); err != nil {
		return nil, err
	}
	out, err := w.Units.output(ctx, nil, nil, program, "token", "create", "--data", data, "--name", "park", "--scope", "system/*.cruds")
	if err != nil {
		return nil, err
	}
	p.token = strings.TrimSpace(out)
	if err := p.fill(ctx, pace); err != nil {
		return nil, fmt.Errorf("filling the ledger: %w", err)
	}
	return p, nil
}

// do asks the program; into may be nil. An answer that is no success is an error
// with what it says.
func (p *Product) do(ctx context.Context, method, path string, body, into any, header ...string) error {
	var r io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(raw)
	}
	q, err := http.NewRequestWithContext(ctx, method, p.base+path, r)
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+p.token)
	q.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	res, err := p.http.Do(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 32<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, res.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// kept is a record as the program gives it.
type kept struct {
	ID      string          `json:"id"`
	Version int64           `json:"version"`
	State   string          `json:"state"`
	At      time.Time       `json:"createdAt"`
	Data    json.RawMessage `json:"data"`
}

// fill writes the credentials, the things and how far the program may go by
// itself: to the end.
func (p *Product) fill(ctx context.Context, pace time.Duration) error {
	key, err := os.ReadFile(p.w.file("ssh", "operator"))
	if err != nil {
		return err
	}
	user := os.Getenv("USER")
	if p.w.Root || user == "" {
		user = "root"
	}
	for _, c := range []map[string]string{
		{"name": keyCredential, "user": user, "use": "key", "secret": string(key)},
		{"name": redfishCredential, "user": redfishUser, "use": "password", "secret": redfishPassword},
		{"name": ipmiCredential, "user": ipmiUser, "use": "password", "secret": ipmiPassword},
	} {
		if err := p.do(ctx, http.MethodPost, "/api/access-credentials", map[string]any{"data": c}, nil); err != nil {
			return err
		}
	}
	for _, e := range p.w.Ledger(pace.String()) {
		t := engine.Thing{Name: e.Name, Class: e.Class, Address: e.Address, Labels: e.Labels}
		for _, o := range e.On {
			id, there := p.ids[o.Name]
			if !there {
				return fmt.Errorf("%s stands on %s, which comes later or never", e.Name, o.Name)
			}
			t.On = append(t.On, engine.Link{Type: o.Type, Thing: id})
		}
		var made kept
		if err := p.do(ctx, http.MethodPost, "/api/things", map[string]any{"data": t.Data()}, &made); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		p.ids[e.Name], p.names[made.ID] = made.ID, e.Name
		if err := p.do(ctx, http.MethodPost, "/api/things/"+made.ID+"/do/confirm", map[string]any{}, nil, "If-Match", fmt.Sprintf("%q", fmt.Sprint(made.Version))); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	var pilot kept
	if err := p.do(ctx, http.MethodGet, "/api/autopilots/main", nil, &pilot); err != nil {
		return err
	}
	return p.do(ctx, http.MethodPut, "/api/autopilots/main", map[string]any{"data": map[string]any{
		"level": engine.LevelAct, "maxRisk": engine.RiskHigh, "perHour": 1000, "perThing": 60,
	}}, nil, "If-Match", fmt.Sprintf("%q", fmt.Sprint(pilot.Version)))
}

// newest lists the newest records of a kind.
func (p *Product) newest(ctx context.Context, plural string) ([]kept, error) {
	var page struct {
		Items []kept `json:"items"`
	}
	err := p.do(ctx, http.MethodGet, "/api/"+plural+"?"+url.Values{"sort": {"-_updated"}, "limit": {"200"}}.Encode(), nil, &page)
	return page.Items, err
}

// Raised is how many times alerts rose and how many occurrences of incidents
// people were told of, among the newest 200 of each.
func (p *Product) Raised(ctx context.Context) (alerts, told int, err error) {
	list, err := p.newest(ctx, "alerts")
	if err != nil {
		return 0, 0, err
	}
	for _, k := range list {
		var a struct {
			Rises int `json:"rises"`
		}
		if err := json.Unmarshal(k.Data, &a); err != nil {
			return 0, 0, err
		}
		alerts += max(a.Rises, 1)
	}
	incidents, err := p.Incidents(ctx)
	for _, t := range incidents {
		told += max(len(t.Occurrences), 1)
	}
	return alerts, told, err
}

// Trouble is an incident with its state.
type Trouble struct {
	engine.Trouble
	ID    string
	State string
}

// Incidents lists the incidents that changed last.
func (p *Product) Incidents(ctx context.Context) ([]Trouble, error) {
	list, err := p.newest(ctx, "incidents")
	if err != nil {
		return nil, err
	}
	out := make([]Trouble, len(list))
	for i, k := range list {
		if err := json.Unmarshal(k.Data, &out[i].Trouble); err != nil {
			return nil, err
		}
		out[i].ID, out[i].State = k.ID, k.State
	}
	return out, nil
}

// Run is a run of a runbook.
type Run struct {
	ID      string
	State   string
	Runbook string
	Thing   string // name of the thing it was for; empty: none
	Because string // reference of what asked for it
	Risk    string
	Dry     bool
	At      time.Time
}

// acts tells whether the run is a remedy that may have changed something. What
// the program does by the clock, such as keeping copies, is none.
func (r Run) acts() bool {
	return strings.HasPrefix(r.Because, engine.IncidentKind+"/") && !r.Dry && r.Risk != engine.RiskNone && r.Runbook != "runbook/call-person"
}

// Runs lists the runs that changed last.
func (p *Product) Runs(ctx context.Context) ([]Run, error) {
	list, err := p.newest(ctx, "runs")
	if err != nil {
		return nil, err
	}
	var out []Run
	for _, k := range list {
		var d struct {
			Runbook   string         `json:"runbook"`
			Inputs    map[string]any `json:"inputs"`
			Because   string         `json:"because"`
			Dry       bool           `json:"dry"`
			Risk      string         `json:"risk"`
			StartedAt time.Time      `json:"startedAt"`
		}
		if err := json.Unmarshal(k.Data, &d); err != nil {
			return nil, err
		}
		r := Run{ID: k.ID, State: k.State, Runbook: d.Runbook, Because: d.Because, Dry: d.Dry, Risk: d.Risk, At: d.StartedAt}
		for _, input := range []string{"thing", "things"} { // a runbook takes one or several
			if t, ok := d.Inputs[input].(string); ok {
				r.Thing = p.name(t)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// name is the name of a thing by its id or reference.
func (p *Product) name(id string) string {
	if n, there := p.names[strings.TrimPrefix(id, engine.ThingKind+"/")]; there {
		return n
	}
	return id
}
