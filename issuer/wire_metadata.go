package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metadataAge is how long the metadata may be cached.
const metadataAge = 5 * time.Minute

// metadata says what works here (RFC 8414 section 2, OpenID Connect Discovery
// 1.0 section 3); both documents are the same. The endpoints stand beside it.
type metadata struct {
	Issuer                string   `json:"issuer"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	Grants                []string `json:"grant_types_supported"`
	Scopes                []string `json:"scopes_supported"`
	ClientAuth            []string `json:"token_endpoint_auth_methods_supported"`
	ClientAuthSigning     []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectAuth        []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectAuthSigning []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevokeAuth            []string `json:"revocation_endpoint_auth_methods_supported"`
	RevokeAuthSigning     []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	Challenges            []string `json:"code_challenge_methods_supported"`
	IssuerParameter       bool     `json:"authorization_response_iss_parameter_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenSigning        []string `json:"id_token_signing_alg_values_supported"`
	Claims                []string `json:"claims_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
}

func (is *Issuer) describe(now time.Time) metadata {
	authenticated := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	anyone := append(authenticated, "none")
	algorithms := []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"}
	m := metadata{
		Issuer:        is.cfg.URL,
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query"},
		Grants: []string{GrantAuthorizationCode, GrantClientCredentials, GrantRefreshToken}, Scopes: []string{scopeOpenID},
		ClientAuth: anyone, ClientAuthSigning: algorithms,
		IntrospectAuth: authenticated, IntrospectAuthSigning: algorithms,
		RevokeAuth: anyone, RevokeAuthSigning: algorithms,
		Challenges: []string{"S256"}, IssuerParameter: true,
		SubjectTypes: []string{"public"}, IDTokenSigning: []string{},
		Claims: []string{"iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "at_hash", "sid"},
	}
	if signer, err := is.cfg.Keys.Signer(now); err == nil {
		m.IDTokenSigning = append(m.IDTokenSigning, string(signer.Algorithm()))
	}
	return m
}

// metadataPaths are where the metadata is: OpenID's rule appends to the
// issuer's path, RFC 8414's section 3.1 inserts before it.
func (is *Issuer) metadataPaths() []string {
	const oauth, openID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	paths := []string{oauth + is.path, openID + is.path, is.path + openID}
	if strings.HasSuffix(is.cfg.URL, "/") {
		paths = append(paths, oauth+is.path+"/")
	}
	return paths
}

// serveMetadata answers GET on the metadata's paths.
func (is *Issuer) serveMetadata(w http.ResponseWriter, r *http.Request) {
	fields, err := json.Marshal(is.describe(is.cfg.Now()))
	if err != nil {
		panic(err) // our own types marshal
	}
	endpoints := map[string]string{}
	for path, route := range is.routes {
		if route.metadata != "" {
			endpoints[route.metadata] = is.base + strings.TrimPrefix(path, is.path)
		}
	}
	rest, err := json.Marshal(endpoints) // in the order of their names
	if err != nil {
		panic(err)
	}
	body := append(append(fields[:len(fields)-1], ','), rest[1:]...)
	writeCacheable(w, r, body, metadataAge)
}

// serveJWKS answers GET /jwks (RFC 7517 section 5).
func (is *Issuer) serveJWKS(w http.ResponseWriter, r *http.Request) {
	body, age := is.cfg.Keys.Set(is.cfg.Now())
	writeCacheable(w, r, body, age)
}

// writeCacheable writes public JSON that may be cached for age, with an ETag
// that follows from the body.
func writeCacheable(w http.ResponseWriter, r *http.Request, body []byte, age time.Duration) {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(max(age, 0)/time.Second), 10)+", must-revalidate")
	h.Set("ETag", tag)
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	w.Write(body) //nolint:errcheck // the caller is gone
}

// matches compares weakly (RFC 9110 section 13.1.2).
func matches(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
