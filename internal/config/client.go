package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// CheckClient holds a client that comes from elsewhere to the rules of the file
// of this issuer, by writing the file that would name it. The error says what is
// wrong, without line and column.
func CheckClient(c Client, is Issuer) error {
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
	if end := is.Lifetimes.SessionAbsolute; end > 0 {
		issuer["lifetimes"] = map[string]any{"session_absolute": formatDuration(end)}
	}
	text, err := yaml.Marshal(map[string]any{"issuer": issuer})
	if err != nil {
		return err
	}
	_, err = Parse("", text)
	var problems Problems
	if !errors.As(err, &problems) && err != nil {
		return err
	}
	messages := make([]string, 0, len(problems)+1)
	for _, p := range problems {
		messages = append(messages, p.Message)
	}
	if slices.ContainsFunc(is.Users, func(u User) bool { return u.Name == c.ID }) {
		messages = append(messages, fmt.Sprintf("user name %s %s", quote(c.ID), alsoClient))
	}
	if len(messages) == 0 {
		return nil
	}
	return errors.New(strings.Join(messages, "; "))
}
