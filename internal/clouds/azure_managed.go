package clouds

import (
	"cmp"
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// serveIMDS judges a request as the metadata service does: only GET with
// "Metadata: true" that no proxy forwarded, an api-version and a resource.
func (a *Azure) serveIMDS(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.Method != http.MethodGet:
		azureJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "method_not_allowed"})
	case r.Header.Get("Metadata") != "true":
		azureInvalid(w, "Required metadata header not specified")
	case r.Header.Get("X-Forwarded-For") != "":
		azureInvalid(w, "Required metadata header not specified or not correct: X-Forwarded-For")
	case q.Get("api-version") < "2018-02-01":
		azureInvalid(w, "The api-version is not supported")
	default:
		identity := cmp.Or(q.Get("client_id"), q.Get("object_id"), q.Get("msi_res_id"))
		a.grantManaged(w, identity, q.Get("resource"), false)
	}
}

// serveAppService judges a request as the endpoint of App Service does.
func (a *Azure) serveAppService(w http.ResponseWriter, r *http.Request) {
	q, secret := r.URL.Query(), r.Header.Get("X-Identity-Header")
	switch {
	case a.cfg.Header == "":
		http.NotFound(w, r)
	case subtle.ConstantTimeCompare([]byte(secret), []byte(a.cfg.Header)) != 1:
		azureJSON(w, http.StatusUnauthorized, map[string]any{"statusCode": 401, "message": "Unauthorized"})
	case q.Get("api-version") != "2019-08-01":
		azureInvalid(w, "The api-version is not supported")
	default:
		a.grantManaged(w, q.Get("client_id"), q.Get("resource"), true)
	}
}

// grantManaged answers with a token of a managed identity; numbers are strings,
// as both real endpoints write them, and App Service states no expires_in.
func (a *Azure) grantManaged(w http.ResponseWriter, client, resource string, appService bool) {
	if client == "" && len(a.cfg.Identities) > 0 {
		client = a.cfg.Identities[0]
	}
	switch {
	case resource == "":
		azureInvalid(w, "Required audience parameter not specified")
		return
	case !slices.Contains(a.cfg.Identities, client):
		azureInvalid(w, "Identity not found")
		return
	}
	value, g := a.managed(client, resource)
	answer := map[string]string{
		"access_token": value, "client_id": client, "resource": resource, "token_type": "Bearer",
		"expires_on": strconv.FormatInt(g.end.Unix(), 10),
	}
	if !appService {
		answer["expires_in"] = strconv.Itoa(int(g.end.Sub(a.cfg.Now()) / time.Second))
		answer["ext_expires_in"], answer["not_before"] = answer["expires_in"], strconv.FormatInt(g.from.Unix(), 10)
	}
	azureJSON(w, http.StatusOK, answer)
}

func azureInvalid(w http.ResponseWriter, description string) {
	azureJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": description})
}
