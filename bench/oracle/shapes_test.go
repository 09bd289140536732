package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

type object = map[string]any

// A shape is how one issuer's tokens look, what a user writes to accept them,
// and where the issuer says so.
type shape struct {
	documented string
	issuer     verify.Issuer // without Keys
	alg        token.Algorithm
	header     func(r *rand.Rand) object // beside alg
	claims     func(r *rand.Rand) object // beside iss, iat, exp
	life       func(r *rand.Rand) int    // seconds
	scopes     []string                  // what its tokens that have scopes may be asked for
}

// shapes are those of fourteen issuers, two of them with two kinds of token. Names, ids and audiences are made up.
func shapes() map[string]shape {
	all := maps.Clone(workloads())
	maps.Copy(all, signIns())
	return all
}

func profileJWT(url, audience string) verify.Issuer {
	return verify.Issuer{URL: url, Audience: audience, Profile: verify.JWT, Algorithms: []token.Algorithm{token.RS256}}
}

func between(low, high int) func(*rand.Rand) int {
	return func(r *rand.Rand) int { return low + r.IntN(high-low+1) }
}

// signIns are the issuers of people's and applications' access tokens.
func signIns() map[string]shape {
	return map[string]shape{
		"Auth0":             auth0(),
		"Okta":              okta(),
		"Microsoft Entra 1": entra1(),
		"Microsoft Entra 2": entra2(),
		"AWS Cognito":       cognito(),
		"Keycloak":          keycloak(),
		"ZITADEL":           zitadel(),
		"Duende":            duende(),
		"Spring":            spring(),
	}
}

func auth0() shape {
	return shape{
		documented: "auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",
		issuer:     profileJWT("https://tenant-a.eu.auth0.com/", me), alg: token.RS256, life: between(60, 86400), scopes: []string{"orders.read"},
		header: func(r *rand.Rand) object {
			return object{"typ": pick(r, "JWT", "at+jwt"), "kid": letters(r, 21)}
		},
		claims: func(r *rand.Rand) object {
			return either(r, object{
				"sub": "auth0|" + hexes(r, 24), "aud": []string{me, "https://tenant-a.eu.auth0.com/userinfo"}, "azp": letters(r, 32),
				"scope": "openid profile orders.read offline_access", "permissions": []string{"read:orders", "write:orders"}, "https://example.com/roles": []string{"admin"},
			}, object{"sub": letters(r, 32) + "@clients", "aud": me, "azp": letters(r, 32), "gty": "client-credentials", "scope": "orders.read"},
				object{"sub": "google-oauth2|" + digits(r, 21), "aud": []string{me}, "client_id": letters(r, 32), "jti": letters(r, 22), "scope": "orders.read"})
		},
	}
}

func okta() shape {
	return shape{
		documented: "developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/ (access token)",
		issuer:     profileJWT("https://dev-123456.okta.com/oauth2/default", "api://default"), alg: token.RS256, life: between(300, 86400), scopes: []string{"orders.read", "openid"},
		header: func(r *rand.Rand) object { return object{"kid": letters(r, 43)} },
		claims: func(r *rand.Rand) object {
			c := object{"ver": 1, "jti": "AT." + letters(r, 43), "aud": "api://default", "cid": "0oa" + letters(r, 17), "scp": []string{"openid", "orders.read"}}
			return either(r, merge(c, object{"sub": "alice@example.com", "uid": "00u" + letters(r, 17), "auth_time": epoch - r.IntN(3600), "groups": []string{"Everyone", "Приёмка"}}), merge(c, object{"sub": c["cid"]}))
		},
	}
}

func entra1() shape {
	tenant := "0d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
	return shape{
		documented: "learn.microsoft.com/entra/identity-platform/access-token-claims-reference (v1.0)",
		issuer:     profileJWT("https://sts.windows.net/"+tenant+"/", "api://orders"), alg: token.RS256, life: between(3600, 5400), scopes: []string{"user_impersonation", "orders.read"},
		header: func(r *rand.Rand) object {
			kid := letters(r, 27)
			return object{"typ": "JWT", "x5t": kid, "kid": kid}
		},
		claims: func(r *rand.Rand) object {
			c := object{
				"aud": "api://orders", "nbf": epoch, "aio": letters(r, 60) + "==", "appid": guid(r), "appidacr": pick(r, "0", "1", "2"), "idp": "https://sts.windows.net/" + tenant + "/", "oid": guid(r), "rh": "0." + letters(r, 50) + ".",
				"sub": letters(r, 43), "tid": tenant, "uti": letters(r, 22), "ver": "1.0", "xms_ftd": letters(r, 20),
			}
			return either(r, merge(c, object{"acr": "1", "amr": []string{"pwd", "mfa"}, "family_name": "Müller", "given_name": "Zoë", "ipaddr": "192.0.2.7", "name": "Zoë Müller", "scp": "orders.read user_impersonation", "unique_name": "zoe@example.com", "upn": "zoe@example.com", "wids": []string{guid(r)}}),
				merge(c, object{"roles": []string{"Orders.Read.All"}, "idtyp": "app"}))
		},
	}
}

func entra2() shape {
	tenant := "0d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
	audience := "6e74172b-be56-4843-9ff4-e66a39bb12e3"
	return shape{
		documented: "learn.microsoft.com/entra/identity-platform/access-token-claims-reference (v2.0)",
		issuer:     profileJWT("https://login.microsoftonline.com/"+tenant+"/v2.0", audience), alg: token.RS256, life: between(3600, 5400), scopes: []string{"orders.read"},
		header: func(r *rand.Rand) object { return object{"typ": "JWT", "kid": letters(r, 27)} },
		claims: func(r *rand.Rand) object {
			c := object{"aud": audience, "nbf": epoch, "aio": letters(r, 60), "azp": guid(r), "azpacr": pick(r, "0", "1"), "oid": guid(r), "rh": "0." + letters(r, 50) + ".", "sub": letters(r, 43), "tid": tenant, "uti": letters(r, 22), "ver": "2.0"}
			return either(r, merge(c, object{"name": "山田 太郎", "preferred_username": "taro@example.com", "scp": "orders.read", "sid": guid(r)}), merge(c, object{"roles": []string{"Orders.Read.All"}}))
		},
	}
}

// cognito: access tokens name an audience only where the application asked for a
// resource; ID tokens always do.
func cognito() shape {
	client := "1h57kf5cpq17m0eml12example"
	return shape{
		documented: "docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html and …-the-id-token.html",
		issuer:     profileJWT("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example12", client), alg: token.RS256, life: between(300, 86400), scopes: []string{"aws.cognito.signin.user.admin"},
		header: func(r *rand.Rand) object { return object{"kid": letters(r, 43) + "="} },
		claims: func(r *rand.Rand) object {
			c := object{"sub": guid(r), "aud": client, "auth_time": epoch - r.IntN(60), "jti": guid(r), "origin_jti": guid(r), "event_id": guid(r), "cognito:groups": []string{"test-group-a"}}
			return either(r, merge(c, object{"token_use": "id", "email_verified": true, "cognito:username": "janedoe", "cognito:preferred_role": "arn:aws:iam::111122223333:role/r", "email": "jane@example.com", "phone_number": "+12065551212", "custom:tenant": "a", "at_hash": letters(r, 22)}),
				merge(c, object{"token_use": "access", "client_id": client, "version": 2, "scope": "openid aws.cognito.signin.user.admin", "username": guid(r)}))
		},
	}
}

func keycloak() shape {
	return shape{
		documented: "keycloak.org/docs/latest/server_admin/ (audience support, client scopes); as 26.4 issues them",
		issuer:     profileJWT("https://sso.example.com/realms/shop", "orders"), alg: token.RS256, life: between(60, 3600), scopes: []string{"profile"},
		header: func(r *rand.Rand) object { return object{"typ": "JWT", "kid": letters(r, 43)} },
		claims: func(r *rand.Rand) object {
			c := object{
				"jti": pick(r, "onrtac:", "trrtcc:", "") + guid(r), "sub": guid(r), "typ": "Bearer", "azp": "web", "acr": "1", "scope": "profile email", "realm_access": object{"roles": []string{"offline_access", "uma_authorization", "default-roles-shop"}},
				"resource_access": object{"account": object{"roles": []string{"manage-account", "view-profile"}}, "orders": object{"roles": []string{"reader"}}},
			}
			return either(r, merge(c, object{"aud": []string{"orders", "account"}, "auth_time": epoch - r.IntN(1000), "sid": guid(r), "allowed-origins": []string{"https://shop.example.com", "*"}, "email_verified": false, "preferred_username": "alice", "name": "Alice Ångström"}),
				merge(c, object{"aud": "orders", "client_id": "web", "clientHost": "192.0.2.9", "clientAddress": "192.0.2.9"}))
		},
	}
}

func zitadel() shape {
	project := "216789012345678901"
	return shape{
		documented: "zitadel.com/docs/apis/openidoauth/claims",
		issuer:     profileJWT("https://instance-abc.zitadel.cloud", project), alg: token.RS256, life: between(3600, 43200),
		header: func(r *rand.Rand) object { return object{"kid": digits(r, 18), "typ": "JWT"} },
		claims: func(r *rand.Rand) object {
			return object{
				"sub": digits(r, 18), "aud": []string{digits(r, 18) + "@shop", digits(r, 18), project}, "nbf": epoch, "jti": "V2_" + digits(r, 18) + "-at_" + digits(r, 18), "client_id": digits(r, 18),
				"urn:zitadel:iam:org:project:" + project + ":roles": object{"reader": object{digits(r, 18): "shop.example.com"}}, "urn:zitadel:iam:user:resourceowner:name": "Shop",
			}
		},
	}
}

// duende: scope is an array, unless EmitScopesAsSpaceDelimitedStringInJwt is set.
func duende() shape {
	return shape{
		documented: "docs.duendesoftware.com/identityserver/apis/aspnetcore/authorization (scope claim format)",
		issuer:     profileJWT("https://identity.example.com", "orders"), alg: token.RS256, life: between(60, 3600), scopes: []string{"orders.read"},
		header: func(r *rand.Rand) object {
			return object{"kid": strings.ToUpper(hexes(r, 32)), "typ": "at+jwt"}
		},
		claims: func(r *rand.Rand) object {
			c := object{"nbf": epoch - 50, "aud": "orders", "client_id": "web", "jti": strings.ToUpper(hexes(r, 32))}
			return either(r, merge(c, object{"sub": guid(r), "auth_time": epoch - r.IntN(1000), "idp": "local", "sid": strings.ToUpper(hexes(r, 32)), "scope": []string{"openid", "orders.read", "offline_access"}, "amr": []string{"pwd"}}),
				merge(c, object{"sub": "web", "scope": []string{"orders.read"}}), merge(c, object{"sub": "web", "scope": "orders.read orders.write"}))
		},
	}
}

// spring: the client is the audience, and the user or the client the subject.
func spring() shape {
	return shape{
		documented: "github.com/spring-projects/spring-authorization-server/issues/958 (claims of its access tokens)",
		issuer:     profileJWT("http://localhost:9000", "messaging-client"), alg: token.RS256, life: between(300, 300), scopes: []string{"message.read"},
		header: func(r *rand.Rand) object { return object{"kid": guid(r)} },
		claims: func(r *rand.Rand) object {
			c := object{"aud": "messaging-client", "nbf": epoch - 50, "jti": guid(r)}
			return either(r, merge(c, object{"sub": "user1", "scope": []string{"openid", "message.read"}}), merge(c, object{"sub": "messaging-client", "scope": []string{"message.read", "message.write"}}))
		},
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func either(r *rand.Rand, kinds ...object) object { return pick(r, kinds...) }

func merge(a, b object) object {
	a = maps.Clone(a)
	maps.Copy(a, b)
	return a
}

func chosen(r *rand.Rand, n int, from string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(from[r.IntN(len(from))])
	}
	return b.String()
}

func letters(r *rand.Rand, n int) string {
	return chosen(r, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}
func digits(r *rand.Rand, n int) string { return "2" + chosen(r, n-1, "0123456789") }
func hexes(r *rand.Rand, n int) string  { return chosen(r, n, "0123456789abcdef") }
func guid(r *rand.Rand) string {
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", hexes(r, 8), hexes(r, 4), hexes(r, 3), hexes(r, 3), hexes(r, 12))
}

// asked are the scopes that a route asks for.
func (s shape) asked() []string {
	if len(s.scopes) == 0 {
		return []string{"orders.read"}
	}
	return s.scopes
}

// minted is one token of a shape.
type minted struct {
	raw    string
	scoped bool      // it has scopes
	key    token.Key // verifies it
}

func (s shape) mint(t *testing.T, r *rand.Rand) minted {
	t.Helper()
	p := pairs()[s.alg]
	header := s.header(r)
	header["alg"] = string(s.alg)
	kid, _ := header["kid"].(string)
	claims := s.claims(r)
	iat := epoch - r.IntN(50)
	for name, value := range (object{"iss": s.issuer.URL, "iat": iat, "exp": iat + s.life(r)}) {
		if _, ok := claims[name]; !ok {
			claims[name] = value
		}
	}
	return minted{
		raw:    p.forge(t, string(must(json.Marshal(header))), string(must(json.Marshal(claims)))),
		scoped: claims["scope"] != nil || claims["scp"] != nil,
		key:    must(token.NewKey(kid, s.alg, p.pub)),
	}
}

// A thousand and more good tokens, a hundred of each shape: all of them are
// taken at every edge, those with scopes where scopes are asked for too, and none
// with another audience, issuer or key.
func TestTokensOfRealIssuersAreTaken(t *testing.T) {
	const each = 100
	taken := 0
	for name, s := range shapes() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(9, uint64(len(name))))
			for range each / 5 { // five tokens by each of twenty keys
				tokens, issuer := s.five(t, r)
				all, asking := edges(t, []verify.Issuer{issuer}), edges(t, []verify.Issuer{issuer}, s.asked()...)
				for _, one := range tokens {
					everyEdgeAccepts(t, all, s.documented, one.raw)
					one.askedForScopes(t, asking)
				}
				s.refusedElsewhere(t, issuer, tokens[0].raw)
				taken += len(tokens)
			}
		})
	}
	if taken < 1000 {
		t.Errorf("%d tokens, want 1000", taken)
	}
	t.Logf("%d tokens of %d shapes taken", taken, len(shapes()))
}

// five are tokens of the shape that one configuration takes.
func (s shape) five(t *testing.T, r *rand.Rand) (tokens []minted, issuer verify.Issuer) {
	t.Helper()
	issuer = s.issuer
	var keys verify.Fixed
	for range 5 {
		one := s.mint(t, r)
		tokens, keys = append(tokens, one), append(keys, one.key)
	}
	issuer.Keys = keys
	return tokens, issuer
}

// askedForScopes: a token that has the scopes passes where they are asked for,
// and no other does.
func (m minted) askedForScopes(t *testing.T, asking []edge) {
	t.Helper()
	for _, e := range asking {
		if strings.HasPrefix(e.name, "/verify") {
			continue // nobody asks: it has no route
		}
		if said := e.safely(m.raw); said.accepted != m.scoped || !m.scoped && said.reason != string(token.InsufficientScope) {
			t.Errorf("%s: %+v; scopes %t: %.500s", e.name, said, m.scoped, m.raw)
		}
	}
}

// refusedElsewhere is the control: the same token under another name, for
// another audience and with another key.
func (s shape) refusedElsewhere(t *testing.T, issuer verify.Issuer, raw string) {
	t.Helper()
	unknown := token.UnknownKey
	if s.alg == token.HS256 { // incident 2's tokens have no kid
		unknown = token.BadSignature
	}
	for want, change := range map[token.Reason]func(*verify.Issuer){
		token.WrongAudience: func(is *verify.Issuer) { is.Audience += "x" },
		token.WrongIssuer:   func(is *verify.Issuer) { is.URL += "x" },
		unknown:             func(is *verify.Issuer) { is.Keys = verify.Fixed{strangersPairs()[s.alg].signer.Key()} },
		token.BadAlgorithm:  func(is *verify.Issuer) { is.Algorithms = []token.Algorithm{token.ES384} },
	} {
		other := issuer
		change(&other)
		for _, e := range edges(t, []verify.Issuer{other}) {
			if said := e.safely(raw); said.reason != string(want) {
				t.Errorf("%s: %+v, want %s", e.name, said, want)
			}
		}
	}
}
