package access

import (
	"slices"

	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// PrivatePaths lists the private paths of a kind that p may not see in a record
// of that owner.
func PrivatePaths(p *identity.Principal, k *kind.Kind, owner string) []string {
	if len(k.Private) == 0 || p.Trusted() || p != nil && owner != "" && slices.Contains(selves(p), owner) {
		return nil
	}
	var out []string
	for _, f := range k.Private {
		if !slices.ContainsFunc(f.Except, p.Has) {
			out = append(out, f.Path)
		}
	}
	return out
}
