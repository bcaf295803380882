package clinical

import "zhiwei/kernel/kind"

// guardSubscription limits Subscriptions to whoever made them: who could change
// another's would have what the other may read sent to himself, and its headers
// hold the secrets with which the receiver is spoken to. Source: FHIR R4
// Subscription, "Safety and Security". Other kinds are left as they are.
func guardSubscription(k *kind.Kind) {
	if k.Name != "Subscription" {
		return
	}
	for i := range k.Access {
		if k.Access[i].Role == RoleClinician {
			k.Access[i].When = kind.Own
		}
	}
	k.Private = []kind.Private{{Path: "channel.header", Except: []string{RoleAdmin}}}
}
