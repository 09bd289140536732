package render

import (
	"strconv"
	"time"
)

// Azure is the answer of the Azure instance metadata service and of the App
// Service identity endpoint. Numbers are strings there.
func Azure(t Token, resource, client string, now time.Time) []byte {
	end := endOf(t.Expires, now)
	return line(struct {
		AccessToken string `json:"access_token"`
		ClientID    string `json:"client_id,omitempty"`
		ExpiresIn   string `json:"expires_in"`
		ExpiresOn   string `json:"expires_on"`
		Resource    string `json:"resource"`
		TokenType   string `json:"token_type"`
	}{t.Value, client, strconv.FormatInt(seconds(end, now), 10), strconv.FormatInt(end.Unix(), 10), resource, t.kind()})
}
