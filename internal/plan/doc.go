// Package plan foresees, from the configuration alone, how long chains of
// credentials last: how long each link lives, who renews it, and when a chain
// ends because something outside does not.
//
//	chains, err := plan.Chains(cfg, plan.Files{}, nil)
//	for _, f := range chains[0].Judge(plan.Job{Length: 6 * time.Hour}) { … }
//
// It asks no service. What a service decides for itself is said to be not known,
// and what its vendor documents is said to come from there.
package plan
