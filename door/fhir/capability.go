package fhir

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"sync"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// metadata answers GET /fhir/metadata. It is made from the registry and the
// routes, so it says what is true.
func (d *Door) metadata(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	query := r.URL.Query()
	for name := range query {
		if name != "_format" && name != "_pretty" && name != "mode" && name != "_summary" && name != "_elements" {
			return unknownParameter(name)
		}
	}
	if err := acceptable(r, query); err != nil {
		return err
	}
	switch mode := query.Get("mode"); mode {
	case "", "full", "normative":
	case "terminology":
		return d.terminologyCapabilities(w, r, p)
	default:
		return errs.E(errs.Invalid, "capabilities", mode, "mode 只能是 full、normative 或 terminology。", "mode takes full, normative or terminology.").At("mode")
	}
	b, err := d.capabilities.get(d)
	if err != nil {
		return errs.Wrap("capabilities", d.k.Site(), err)
	}
	b = bytes.ReplaceAll(b, []byte(basePlace), []byte(d.baseURL(r)))
	send(w, r, http.StatusOK, bytes.ReplaceAll(b, []byte(socketPlace), []byte(d.SocketURL(r))))
	return nil
}

// statement is the CapabilityStatement, made when it is first asked for and
// again when what can be searched for has changed.
type statement struct {
	mu   sync.Mutex
	of   uint64 // fingerprint of what it was made from
	body []byte
}

func (s *statement) get(d *Door) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := d.declared()
	if s.body != nil && s.of == of {
		return s.body, nil
	}
	b, err := json.Marshal(d.capability())
	if err != nil {
		return nil, err
	}
	s.of, s.body = of, b
	return b, nil
}

// declared is a fingerprint of the search parameters that answer.
func (d *Door) declared() uint64 {
	h := fnv.New64a()
	for _, name := range clinical.ResourceTypes() {
		k := d.k.Registry().Find(name)
		if k == nil {
			continue
		}
		for i := range k.Search {
			if d.k.Registry().Ready(name, k.Search[i].Name) {
				_, _ = io.WriteString(h, k.Search[i].Name) // a hash takes everything
			}
		}
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// These stand in the cached statement for the URLs of the server and of its
// WebSocket, which each client knows by its own name.
const (
	basePlace   = "urn:zhiwei:base"
	socketPlace = "urn:zhiwei:socket"
)

type object = map[string]any

func codes(list ...string) []object {
	out := make([]object, len(list))
	for i, c := range list {
		out[i] = object{"code": c}
	}
	return out
}

// paramTypes are the kernel's types of parameters in FHIR's words.
var paramTypes = map[kind.ParamType]string{
	kind.TokenParam: "token", kind.StringParam: "string", kind.WordsParam: "string", kind.DateParam: "date", kind.NumberParam: "number",
	kind.QuantityParam: "quantity", kind.ReferenceParam: "reference", kind.URIParam: "uri", kind.CompositeParam: "composite", kind.NearParam: "special",
}

// capability is the CapabilityStatement of R4 of what is there.
func (d *Door) capability() object {
	operations, systemWide := d.operations()
	standard := map[string]bool{} // "Type-code" of the parameters R4 gives
	for _, k := range clinical.Kinds() {
		for i := range k.Search {
			standard[k.Name+"-"+k.Search[i].Name] = true
		}
	}
	reverse := d.reverseIncludes()
	var resources []object
	for _, name := range clinical.ResourceTypes() {
		k := d.k.Registry().Find(name)
		if k == nil {
			continue
		}
		params := []object{
			{"name": "_id", "type": "token", "definition": definitionURL(name, "_id")},
			{"name": "_lastUpdated", "type": "date", "definition": definitionURL(name, "_lastUpdated")},
		}
		include := []string{"*"}
		for i := range k.Search {
			p := &k.Search[i]
			if !d.k.Registry().Ready(name, p.Name) {
				continue // refused until its index is whole
			}
			param := object{"name": p.Name, "type": paramTypes[p.Type]}
			if standard[name+"-"+p.Name] {
				param["definition"] = definitionURL(name, p.Name)
			}
			params = append(params, param)
			if p.Type == kind.ReferenceParam {
				include = append(include, name+":"+p.Name)
			}
		}
		resource := object{
			"type":              name,
			"profile":           "http://hl7.org/fhir/StructureDefinition/" + name,
			"interaction":       codes("read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"),
			"versioning":        "versioned-update",
			"readHistory":       true,
			"updateCreate":      true,
			"conditionalCreate": true,
			"conditionalRead":   "full-support",
			"conditionalUpdate": true,
			"conditionalDelete": "multiple",
			"referencePolicy":   []string{"literal", "enforced", "local"},
			"searchInclude":     include,
			"searchParam":       params,
		}
		if list := reverse[name]; len(list) > 0 {
			resource["searchRevInclude"] = list
		}
		if list := operations[name]; len(list) > 0 {
			resource["operation"] = list
		}
		if name == "Subscription" && d.subscriptions != nil {
			resource["supportedProfile"] = []string{"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription"}
		}
		resources = append(resources, resource)
	}
	rest := d.rest()
	rest["resource"], rest["operation"] = resources, systemWide
	out := object{
		"resourceType": "CapabilityStatement", "status": "active", "date": d.k.Clock().Now().UTC().Format(instant), "kind": "instance",
		"publisher": "Zhiwei", "fhirVersion": "4.0.1", "format": []string{"json", ContentType}, "patchFormat": []string{JSONPatchType, ContentType},
		"software":       object{"name": "Zhiwei 治未", "version": d.versionName()},
		"implementation": object{"description": "Zhiwei at " + d.k.Site(), "url": basePlace},
		"rest":           []object{rest},
	}
	var follows []string
	if d.exports != nil {
		follows = append(follows, "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data")
	}
	if d.subscriptions != nil {
		follows = append(follows, "http://hl7.org/fhir/uv/subscriptions-backport/CapabilityStatement/backport-subscription-server-r4")
	}
	if follows != nil {
		out["instantiates"] = follows
	}
	return out
}

// rest is what the statement says of the server as a whole.
func (d *Door) rest() object {
	out := object{
		"mode": "server",
		"documentation": "JSON alone (XML and Turtle: 406). A DELETE by criteria that match several needs _count, the most that may go; without it the answer is 412. " +
			"A Bundle holds at most 64 MB, a page at most " + strconv.Itoa(maxCount) + " resources.",
		"security":    d.security(),
		"interaction": codes("transaction", "batch", "history-system", "search-system"),
		"searchParam": []object{{"name": "_type", "type": "special"}, {"name": "_id", "type": "token"}, {"name": "_lastUpdated", "type": "date"}},
		"compartment": []string{
			"http://hl7.org/fhir/CompartmentDefinition/patient", "http://hl7.org/fhir/CompartmentDefinition/encounter", "http://hl7.org/fhir/CompartmentDefinition/practitioner",
			"http://hl7.org/fhir/CompartmentDefinition/relatedPerson", "http://hl7.org/fhir/CompartmentDefinition/device",
		},
	}
	if d.subscriptions != nil {
		out["extension"] = []object{{"url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket", "valueUri": socketPlace}}
	}
	return out
}

// reverseIncludes lists, for each type, the "Type:param" by which others refer to
// it.
func (d *Door) reverseIncludes() map[string][]string {
	out := map[string][]string{}
	for _, from := range clinical.ResourceTypes() {
		k := d.k.Registry().Find(from)
		if k == nil {
			continue
		}
		for i := range k.Search {
			if p := &k.Search[i]; p.Type == kind.ReferenceParam && d.k.Registry().Ready(from, p.Name) {
				to := p.To
				if to == nil {
					to = clinical.ResourceTypes()
				}
				for _, name := range to {
					out[name] = append(out[name], from+":"+p.Name)
				}
			}
		}
	}
	return out
}

func (d *Door) versionName() string {
	if d.version == "" {
		return "dev"
	}
	return d.version
}
