package clouds

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// iamRequest is that of generateAccessToken and generateIdToken.
type iamRequest struct {
	Scope     []string `json:"scope"`
	Lifetime  string   `json:"lifetime"`
	Delegates []string `json:"delegates"`
	Audience  string   `json:"audience"`
	Email     bool     `json:"includeEmail"`
}

// serveIAM answers generateAccessToken and generateIdToken of IAM Service
// Account Credentials v1.
func (g *Google) serveIAM(w http.ResponseWriter, r *http.Request) {
	email, method, _ := strings.Cut(r.PathValue("method"), ":")
	by, ok := g.bearer(r)
	if !ok {
		g.unauthenticated(w)
		return
	}
	if !strings.Contains(by.scopes, cloudPlatform) && !strings.Contains(by.scopes, "https://www.googleapis.com/auth/iam") {
		g.refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
		return
	}
	account, ok := g.account(email)
	if !ok {
		g.refuse(w, http.StatusNotFound, "NOT_FOUND", "Not found; Gaia id not found for email %s", email)
		return
	}
	var req iamRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&req); err != nil {
		g.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
		return
	}
	if !g.may(by.who, account, req.Delegates) {
		g.refuse(w, http.StatusForbidden, "PERMISSION_DENIED",
			"Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
		return
	}
	switch method {
	case "generateAccessToken":
		g.accessToken(w, account, req)
	case "generateIdToken":
		g.idToken(w, account, req)
	default:
		g.refuse(w, http.StatusNotFound, "NOT_FOUND", "Method not found.")
	}
}

// may walks the chain of delegates: each must let the one before it in.
func (g *Google) may(who string, target GoogleAccount, delegates []string) bool {
	for _, d := range delegates {
		email, ok := strings.CutPrefix(d, "projects/-/serviceAccounts/")
		between, known := g.account(email)
		if !ok || !known || !slices.Contains(between.Members, who) {
			return false
		}
		who = email
	}
	return slices.Contains(target.Members, who)
}

func (g *Google) accessToken(w http.ResponseWriter, account GoogleAccount, req iamRequest) {
	life, most := time.Hour, account.MaxLife
	if most == 0 {
		most = time.Hour
	}
	if req.Lifetime != "" {
		d, err := time.ParseDuration(req.Lifetime)
		if err != nil || !strings.HasSuffix(req.Lifetime, "s") || d <= 0 || d > most {
			g.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The lifetime is not a duration, or too long for this account.")
			return
		}
		life = d
	}
	if len(req.Scope) == 0 {
		g.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The scope is missing.")
		return
	}
	value, end := g.issue("ya29.c.", account.Email, strings.Join(req.Scope, " "), life)
	g.write(w, http.StatusOK, map[string]string{"accessToken": value, "expireTime": end.UTC().Format(time.RFC3339)})
}

func (g *Google) idToken(w http.ResponseWriter, account GoogleAccount, req iamRequest) {
	if req.Audience == "" {
		g.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The audience is missing.")
		return
	}
	jwt, err := g.signID(account.Email, req.Audience)
	if err != nil {
		g.refuse(w, http.StatusNotFound, "NOT_FOUND", "This double has no signer for ID tokens.")
		return
	}
	g.write(w, http.StatusOK, map[string]string{"token": jwt})
}
