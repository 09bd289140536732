package clouds

import (
	"cmp"
	"net/http"
	"strings"
	"time"
)

// serveMetadata answers as the GCE metadata server does: the flavor is asked for
// and given, and the same token is handed out until shortly before its end.
func (g *Google) serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	w.Header().Set("Server", "Metadata Server for VM")
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	account, isAccount := strings.CutPrefix(path, "instance/service-accounts/")
	switch {
	case r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "Missing Metadata-Flavor:Google header, or X-Forwarded-For is present.", http.StatusForbidden)
	case g.cfg.Machine == "":
		http.NotFound(w, r)
	case path == "project/project-id":
		_, _ = w.Write([]byte(g.cfg.Project))
	case isAccount:
		g.serveMachine(w, r, account)
	default:
		http.NotFound(w, r)
	}
}

// serveMachine answers below instance/service-accounts/.
func (g *Google) serveMachine(w http.ResponseWriter, r *http.Request, path string) {
	if path == "" && r.URL.Query().Get("recursive") == "true" {
		g.write(w, http.StatusOK, map[string]any{"default": g.machine(), g.cfg.Machine: g.machine()})
		return
	}
	name, what, _ := strings.Cut(path, "/")
	if name != "default" && name != g.cfg.Machine {
		http.NotFound(w, r)
		return
	}
	switch what {
	case "":
		if r.URL.Query().Get("recursive") == "true" {
			g.write(w, http.StatusOK, g.machine())
			return
		}
		_, _ = w.Write([]byte("aliases\nemail\nidentity\nscopes\ntoken\n"))
	case "email":
		_, _ = w.Write([]byte(g.cfg.Machine))
	case "token":
		g.machineToken(w, r.URL.Query().Get("scopes"))
	case "identity":
		g.machineID(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (g *Google) machine() map[string]any {
	return map[string]any{
		"aliases": []string{"default"}, "email": g.cfg.Machine,
		"scopes": []string{cloudPlatform},
	}
}

// machineToken hands out the token it has while that lives a twelfth of its life
// more (5 min of an hour), else a new one.
func (g *Google) machineToken(w http.ResponseWriter, scopes string) {
	g.mu.Lock()
	value, life := g.kept[scopes], g.life
	g.mu.Unlock()
	now := g.cfg.Now()
	found, ok := g.lookup(value)
	if !ok || found.end.Sub(now) < life/12 {
		value, found.end = g.issue("ya29.c.", g.cfg.Machine, cmp.Or(scopes, cloudPlatform), 0)
		g.mu.Lock()
		g.kept[scopes] = value
		g.mu.Unlock()
	}
	g.write(w, http.StatusOK, map[string]any{
		"access_token": value, "token_type": "Bearer", "expires_in": int(found.end.Sub(now) / time.Second),
	})
}

func (g *Google) machineID(w http.ResponseWriter, r *http.Request) {
	audience := r.URL.Query().Get("audience")
	if audience == "" {
		http.Error(w, "non-empty audience parameter required", http.StatusBadRequest)
		return
	}
	jwt, err := g.signID(g.cfg.Machine, audience)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(jwt))
}
