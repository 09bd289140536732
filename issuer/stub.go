package issuer

import "net/http"

func (is *Issuer) serveToken(w http.ResponseWriter, r *http.Request)      {}
func (is *Issuer) serveIntrospect(w http.ResponseWriter, r *http.Request) {}
func (is *Issuer) serveRevoke(w http.ResponseWriter, r *http.Request)     {}
func (is *Issuer) serveJWKS(w http.ResponseWriter, r *http.Request)       {}
func (is *Issuer) serveMetadata(w http.ResponseWriter, r *http.Request)   {}
func (is *Issuer) serveFeed(w http.ResponseWriter, r *http.Request)       {}
func (is *Issuer) metadataPaths() []string                                { return nil }
