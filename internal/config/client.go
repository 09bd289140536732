package config

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// CheckClient holds a client that comes from elsewhere to the rules of a file
// with these lifetimes, by writing the file that would name it. The error says
// what is wrong, without line and column.
func CheckClient(c Client, t Lifetimes) error {
	client := map[string]any{"id": c.ID, "authenticate": c.Authenticate, "grants": c.Grants, "audiences": c.Audiences}
	if c.Secret.Hash != "" {
		client["secret"] = map[string]any{"hash": c.Secret.Hash}
	}
	for key, list := range map[string][]string{"scopes": c.Scopes, "redirect_uris": c.RedirectURIs} {
		if len(list) > 0 {
			client[key] = list
		}
	}
	issuer := map[string]any{"url": "https://issuer.invalid", "clients": []any{client}}
	if t.SessionAbsolute > 0 {
		issuer["lifetimes"] = map[string]any{"session_absolute": formatDuration(t.SessionAbsolute)}
	}
	text, err := yaml.Marshal(map[string]any{"issuer": issuer})
	if err != nil {
		return err
	}
	_, err = Parse("", text)
	var problems Problems
	if !errors.As(err, &problems) {
		return err
	}
	messages := make([]string, 0, len(problems))
	for _, p := range problems {
		messages = append(messages, p.Message)
	}
	return errors.New(strings.Join(messages, "; "))
}
