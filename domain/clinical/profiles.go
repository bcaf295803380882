package clinical

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

// Profiles finds the profiles among the StructureDefinitions of a kernel. What
// this process writes counts at once, what another one writes over the same
// store within profileAge. It is safe for concurrent use.
type Profiles struct {
	k *kernel.Kernel

	mu       sync.Mutex
	byName   map[string]*Profile      // url or url|version → profile; nil: there is none
	compiled map[record.Key]*compiled // the newest version of each definition
	until    time.Time                // when byName is asked anew
	epoch    int                      // counts the changes
}

type compiled struct {
	version int64
	profile *Profile // nil: it is no profile that can be checked against
}

const (
	// profileAge is how old an answer may be where another process may have
	// written.
	profileAge = 5 * time.Second
	// maxNames bounds what is remembered: names come from outside.
	maxNames = 4096
)

// NewProfiles makes the profiles of k.
func NewProfiles(k *kernel.Kernel) *Profiles {
	p := &Profiles{k: k, byName: map[string]*Profile{}, compiled: map[record.Key]*compiled{}}
	k.Watch("StructureDefinition", p.forget)
	return p
}

func (p *Profiles) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	clear(p.byName)
	clear(p.compiled) // a profile may build on the one that changed
}

// Find gives the profile of a canonical URL, with or without |version; without
// one the newest that is not retired. ok is false where there is none.
func (p *Profiles) Find(name string) (*Profile, bool) { return p.find(name, 0) }

func (p *Profiles) find(name string, chain int) (*Profile, bool) {
	now := p.k.Clock().Now()
	p.mu.Lock()
	if now.After(p.until) || len(p.byName) >= maxNames {
		clear(p.byName)
		p.until = now.Add(profileAge)
	}
	found, known := p.byName[name]
	epoch := p.epoch
	p.mu.Unlock()
	if known || chain > maxProfileChain {
		return found, found != nil
	}
	found, ok := p.load(name, chain)
	if !ok {
		return nil, false // the store cannot say now; it is asked again
	}
	p.mu.Lock()
	if p.epoch == epoch {
		p.byName[name] = found
	}
	p.mu.Unlock()
	return found, found != nil
}

// load searches the store; ok is false where it cannot be asked.
func (p *Profiles) load(name string, chain int) (_ *Profile, ok bool) {
	url, version, _ := strings.Cut(name, "|")
	escaped := strings.NewReplacer(`\`, `\\`, ",", `\,`, "|", `\|`, "$", `\$`).Replace(url)
	where, err := p.k.Parser().Clause("StructureDefinition", "url", escaped)
	if err != nil {
		return nil, true // no URL that anything could have
	}
	// Definitions concern no person: whoever is bound by them need not be allowed
	// to read them.
	page, err := p.k.Search(context.Background(), identity.Root(), search.Query{Kind: "StructureDefinition", Where: []search.Clause{where}, Limit: 100})
	if err != nil {
		return nil, false
	}
	var best map[string]any
	var key record.Key
	var at int64
	for i := range page.Records {
		r := &page.Records[i]
		doc, err := shape.Object(r.Data)
		if err != nil || version != "" && str(doc, "version") != version {
			continue
		}
		if best == nil || preferred(doc, best) {
			best, key, at = doc, r.Key, r.Version
		}
	}
	if best == nil {
		return nil, true
	}
	p.mu.Lock()
	c, epoch := p.compiled[key], p.epoch
	p.mu.Unlock()
	if c != nil && c.version == at {
		return c.profile, true
	}
	profile, err := CompileProfile(best, func(url string) (*Profile, bool) { return p.find(url, chain+1) })
	if err != nil {
		profile = nil // a logical model, or what CompileProfile refuses; $validate on it says why
	}
	p.mu.Lock()
	if p.epoch == epoch {
		p.compiled[key] = &compiled{at, profile}
	}
	p.mu.Unlock()
	return profile, true
}

// preferred tells whether definition a is to be used rather than b: not
// retired, then of the higher version.
func preferred(a, b map[string]any) bool {
	if ra, rb := a["status"] == "retired", b["status"] == "retired"; ra != rb {
		return rb
	}
	return compareVersions(str(a, "version"), str(b, "version")) > 0
}

// compareVersions orders versions such as 1.10.0 by their parts.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		if d := len(x) - len(y); d != 0 && strings.Trim(x+y, "0123456789") == "" {
			return d
		}
		return strings.Compare(x, y)
	})
}
