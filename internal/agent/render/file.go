package render

// JSONToken is a file of a token, as the file source of an external_account
// reads it with subject_token_field_name access_token. expires_at is RFC 3339.
func JSONToken(t Token) []byte {
	return line(struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		Scope       string `json:"scope,omitempty"`
		ExpiresAt   string `json:"expires_at,omitempty"`
	}{t.Value, t.kind(), t.Scope, optional(t.Expires)})
}
