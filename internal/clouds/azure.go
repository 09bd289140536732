package clouds

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/longcase/longcase/jwks"
)

// AzureConfig is a double of the Azure services that hand out credentials. It is
// a double: its tokens mean nothing to Azure. Federated JWTs are judged as Entra
// judges them, without leeway.
type AzureConfig struct {
	Now          func() time.Time   // required; the double's only clock, in its Date headers too
	Tenant       string             // of the applications
	Applications []AzureApplication // that trust federated issuers
	Identities   []string           // client, object or resource ids of the instance's managed identities, the default one first
	Header       string             // secret of the App Service endpoint; empty: there is no such endpoint
	Life         time.Duration      // of new tokens; default 1 h
	Cache        bool               // the managed identity endpoints hand out one token until half its life is over, as the real ones do
}

// AzureApplication is an application with one federated identity credential.
type AzureApplication struct {
	ClientID string
	Issuer   string
	Subject  string
	Audience string // default api://AzureADTokenExchange
	Keys     jwks.Set
	Scopes   []string // that Entra knows; empty: any that ends in /.default
}

// Azure is the double: GET /metadata/identity/oauth2/token (IMDS), GET /msi/token
// (App Service), POST /TENANT/oauth2/v2.0/token (Entra) and /api/NAME, which takes
// live tokens for the resource in its query only.
type Azure struct {
	cfg                             AzureConfig
	mux                             *http.ServeMux
	*ledger[azureGrant, azureFault] // endpoints: imds, appservice, entra, api; kept by identity and resource
}

// azureGrant is a token that is out.
type azureGrant struct {
	client, resource string
	from, end        time.Time
}

func (g azureGrant) over(now time.Time) bool { return !now.Before(g.end) }

// azureFault is how one call is to fail.
type azureFault struct {
	status     int
	retryAfter time.Duration
}

// NewAzure returns a double.
func NewAzure(cfg AzureConfig) *Azure {
	a := &Azure{cfg: cfg, mux: http.NewServeMux(), ledger: newLedger[azureGrant, azureFault](cfg.Life)}
	a.route("/metadata/identity/oauth2/token", "imds", a.serveIMDS)
	a.route("GET /msi/token", "appservice", a.serveAppService)
	a.route("POST /{tenant}/oauth2/v2.0/token", "entra", a.serveEntra)
	a.route("/api/{name}", "api", a.serveAPI)
	return a
}

func (a *Azure) route(pattern, endpoint string, serve func(http.ResponseWriter, *http.Request)) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", a.cfg.Now().UTC().Format(http.TimeFormat))
		f := a.count(endpoint)
		if f.status == 0 {
			serve(w, r)
			return
		}
		if f.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.retryAfter/time.Second)))
		}
		w.WriteHeader(f.status)
	})
}

// ServeHTTP implements http.Handler.
func (a *Azure) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Fail makes the next n calls of an endpoint answer with status and, if it is
// not zero, Retry-After.
func (a *Azure) Fail(endpoint string, n, status int, retryAfter time.Duration) {
	a.fail(endpoint, n, azureFault{status, retryAfter})
}

// issue makes a token for client and resource.
func (a *Azure) issue(client, resource string) (string, azureGrant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Now()
	value := "azure." + rand.Text() + rand.Text()
	g := azureGrant{client: client, resource: azureResource(resource), from: now, end: now.Add(a.life)}
	a.put(value, g, now)
	return value, g
}

// managed is issue for the endpoints that may hand out one token again.
func (a *Azure) managed(client, resource string) (string, azureGrant) {
	key := client + " " + azureResource(resource)
	a.mu.Lock()
	value := a.kept[key]
	g, ok := a.live[value]
	a.mu.Unlock()
	if a.cfg.Cache && ok && a.cfg.Now().Before(g.from.Add(g.end.Sub(g.from)/2)) {
		return value, g
	}
	value, g = a.issue(client, resource)
	a.mu.Lock()
	a.kept[key] = value
	a.mu.Unlock()
	return value, g
}

// azureResource is what a resource and its scope have in common.
func azureResource(s string) string {
	return strings.TrimRight(strings.TrimSuffix(s, "/.default"), "/")
}

// serveAPI stands for every Azure API: /api/NAME?resource=R.
func (a *Azure) serveAPI(w http.ResponseWriter, r *http.Request) {
	value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	g, ok := a.live[value]
	a.mu.Unlock()
	if !ok || g.over(a.cfg.Now()) || g.resource != azureResource(r.URL.Query().Get("resource")) {
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/`+a.cfg.Tenant+`", error="invalid_token"`)
		azureJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{
			"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}})
		return
	}
	azureJSON(w, http.StatusOK, map[string]string{"client": g.client})
}

func azureJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
