package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// environment is what the command gets: env less what would lead it elsewhere,
// vars, and no proxy on the way to this machine.
func environment(env, vars []string) []string {
	return direct(append(without(env, vars), vars...))
}

// stronger are variables that clients prefer to the ones that exec sets: they
// would go on with credentials that end.
var stronger = map[string][]string{
	"AWS_CONTAINER_CREDENTIALS_FULL_URI": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"},
	"GCE_METADATA_HOST": {"GOOGLE_APPLICATION_CREDENTIALS"},
	"IDENTITY_ENDPOINT": {"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "MSI_ENDPOINT", "MSI_SECRET"},
}

// ours are secrets for longcase itself: the command has its credentials.
var ours = []string{"LONGCASE_CLIENT_SECRET", "LONGCASE_TOKEN"}

// hideProfiles has AWS's SDKs find no shared credentials file: they prefer the
// keys of its default profile to a container's.
func (e *execution) hideProfiles(vars []string) ([]string, error) {
	if !slices.ContainsFunc(vars, func(v string) bool { return strings.HasPrefix(v, "AWS_CONTAINER_") }) {
		return vars, nil
	}
	empty := filepath.Join(e.dir, "no-profiles")
	return append(vars, "AWS_SHARED_CREDENTIALS_FILE="+empty), os.WriteFile(empty, nil, 0o600)
}

// without drops from env what vars sets, what is stronger and what is ours.
func without(env, vars []string) []string {
	drop := map[string]bool{}
	for _, name := range ours {
		drop[name] = true
	}
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		drop[name] = true
		for _, other := range stronger[name] {
			drop[other] = true
		}
	}
	var kept []string
	for _, v := range env {
		if name, _, _ := strings.Cut(v, "="); !drop[name] {
			kept = append(kept, v)
		}
	}
	return kept
}

// proxied are variables that make HTTP clients use a proxy, whatever their case.
var proxied = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}

// direct has clients that use a proxy ask this machine without it: the proxy has
// a loopback of its own. Some read NO_PROXY first, others no_proxy.
func direct(env []string) []string {
	values, proxy := map[string]string{}, false
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
		proxy = proxy || value != "" && slices.Contains(proxied, strings.ToUpper(name))
	}
	if !proxy {
		return env
	}
	for name, other := range map[string]string{"NO_PROXY": "no_proxy", "no_proxy": "NO_PROXY"} {
		list := values[name]
		if list == "" {
			list = values[other]
		}
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		env = append(env, name+"="+withThisMachine(list))
	}
	return env
}

// withThisMachine adds loopback to a list of hosts without a proxy. A lone * is
// all of them, and only alone.
func withThisMachine(list string) string {
	if strings.TrimSpace(list) == "*" {
		return list
	}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		there := slices.ContainsFunc(strings.Split(list, ","), func(s string) bool { return strings.TrimSpace(s) == host })
		if !there {
			list = strings.TrimPrefix(list+","+host, ",")
		}
	}
	return list
}
