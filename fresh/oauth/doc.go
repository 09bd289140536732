// Package oauth keeps tokens of OAuth 2.0 token services fresh: by client
// credentials, by a refresh token, by token exchange, and by a person with a
// second device.
//
//	layer := fresh.New(oauth.ClientCredentials(oauth.Config{
//		Issuer: "https://tokens.example.com", Client: "service-a", Secret: readSecret,
//		Audience: "https://service-b.example.com",
//	}), fresh.Policy{Name: "b-token"})
//	client := oauth.Client(layer, "service-b.example.com")
//
// Secrets and keys are asked for at each renewal, so that a file that changed
// counts at once. They go over https only, or http to a loopback host, and never
// across a redirect. Nothing is retried here: package fresh does that.
//
// Sources: RFC 6749, RFC 6750, RFC 7523 section 3, RFC 8414, OpenID Connect
// Discovery 1.0, RFC 8628, RFC 8693, RFC 8705, RFC 8707.
package oauth
