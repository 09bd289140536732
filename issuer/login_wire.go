package issuer

// browserRoutes are the endpoints that browsers visit, by their path below the
// issuer's URL.
func (is *Issuer) browserRoutes() map[string]route { return nil }
