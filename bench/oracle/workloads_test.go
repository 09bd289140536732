package oracle

import (
	"fmt"
	"math/rand/v2"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// workloads are the issuers of programs' tokens.
func workloads() map[string]shape {
	return map[string]shape{
		"Google ID token":    googleID(),
		"Google self-signed": googleSelf(),
		"GitHub Actions":     github(),
		"GitLab CI":          gitlab(),
		"Kubernetes":         kubernetes(),
		"Longcase":           longcase(),
		"incident 2":         handmade(),
	}
}

func googleID() shape {
	return shape{
		documented: "developers.google.com/identity/openid-connect/openid-connect (an ID token's payload); cloud.google.com/run/docs/authenticating/service-to-service",
		issuer:     profileJWT("https://accounts.google.com", me), alg: token.RS256, life: between(3600, 3600),
		header: func(r *rand.Rand) object { return object{"typ": "JWT", "kid": hexes(r, 40)} },
		claims: func(r *rand.Rand) object {
			id := digits(r, 21)
			return either(r, object{"aud": me, "azp": id, "email": "app@project.iam.gserviceaccount.com", "email_verified": true, "sub": id},
				object{"aud": me, "azp": id, "sub": id, "email": "vm@project.iam.gserviceaccount.com", "email_verified": true, "google": object{"compute_engine": object{"instance_creation_timestamp": epoch - 9000, "instance_id": digits(r, 19), "project_number": 123456789012, "zone": "us-central1-a"}}},
				object{"aud": me, "azp": id + ".apps.googleusercontent.com", "sub": id, "hd": "example.com", "at_hash": letters(r, 22), "nonce": letters(r, 20), "picture": "https://lh3.example.com/a", "locale": "en"})
		},
	}
}

func googleSelf() shape {
	account := "app@project.iam.gserviceaccount.com"
	return shape{
		documented: "developers.google.com/identity/protocols/oauth2/service-account#jwt-auth",
		issuer:     profileJWT(account, "https://pubsub.googleapis.com/"), alg: token.RS256, life: between(1800, 3600),
		header: func(r *rand.Rand) object { return object{"typ": "JWT", "kid": hexes(r, 40)} },
		claims: func(*rand.Rand) object { return object{"sub": account, "aud": "https://pubsub.googleapis.com/"} },
	}
}

func github() shape {
	return shape{
		documented: "docs.github.com/actions/reference/security/oidc",
		issuer:     profileJWT("https://token.actions.githubusercontent.com", me), alg: token.RS256, life: between(300, 900),
		header: func(r *rand.Rand) object { return object{"typ": "JWT", "x5t": letters(r, 27), "kid": guid(r)} },
		claims: func(r *rand.Rand) object {
			return object{
				"jti": guid(r), "sub": pick(r, "repo:octo-org/octo-repo:environment:prod", "repo:octo-org/octo-repo:ref:refs/heads/main", "repo:octo-org/octo-repo:pull_request"), "aud": me, "nbf": epoch - 600, "environment": "prod", "ref": "refs/heads/main", "sha": hexes(r, 40),
				"repository": "octo-org/octo-repo", "repository_owner": "octo-org", "actor_id": digits(r, 2), "repository_visibility": "private", "repository_id": digits(r, 2), "repository_owner_id": digits(r, 2), "run_id": digits(r, 10), "run_number": "10", "run_attempt": "2",
				"runner_environment": "github-hosted", "actor": "octocat", "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "ref_type": "branch", "ref_protected": "true", "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
				"workflow_ref": "octo-org/octo-repo/.github/workflows/x.yml@refs/heads/main", "workflow_sha": hexes(r, 40), "enterprise": "avocado-corp", "enterprise_id": "2",
			}
		},
	}
}

func gitlab() shape {
	return shape{
		documented: "docs.gitlab.com/ci/secrets/id_token_authentication/ (token payload)",
		issuer:     profileJWT("https://gitlab.example.com", me), alg: token.RS256, life: between(300, 3600),
		header: func(r *rand.Rand) object { return object{"kid": letters(r, 43), "typ": "JWT"} },
		claims: func(r *rand.Rand) object {
			c := object{
				"namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project", "user_id": "1", "user_login": "sample-user", "user_email": "sample-user@example.com", "user_identities": []object{{"provider": "github", "extern_uid": "2435223452345"}},
				"pipeline_id": digits(r, 9), "pipeline_source": "push", "job_id": digits(r, 9), "ref": "feature/ünïcode", "ref_type": "branch", "ref_path": "refs/heads/feature", "ref_protected": "false", "groups_direct": []string{"mygroup/mysubgroup"}, "environment": "test-environment2", "runner_id": 1,
				"runner_environment": "self-hosted", "sha": hexes(r, 40), "project_visibility": "public", "ci_config_ref_uri": "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": hexes(r, 40), "jti": guid(r), "nbf": epoch - 55, "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature",
			}
			return either(r, merge(c, object{"aud": me}), merge(c, object{"aud": []string{"https://vault.example.com", me}}))
		},
	}
}

// kubernetes: a projected token with expirationSeconds up to a day; the default
// mount's lives a year and needs max_lifetime.
func kubernetes() shape {
	return shape{
		documented: "kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ (private claims)",
		issuer:     profileJWT("https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE", me), alg: token.RS256, life: between(600, 86400),
		header: func(r *rand.Rand) object { return object{"kid": letters(r, 43)} },
		claims: func(r *rand.Rand) object {
			return object{
				"aud": pick(r, []string{me}, []string{"https://kubernetes.default.svc", me}), "jti": guid(r), "nbf": epoch - 50, "sub": "system:serviceaccount:my-namespace:my-serviceaccount",
				"kubernetes.io": object{"namespace": "my-namespace", "node": object{"name": "my-node", "uid": guid(r)}, "pod": object{"name": "my-pod", "uid": guid(r)}, "serviceaccount": object{"name": "my-serviceaccount", "uid": guid(r)}, "warnafter": epoch + 3607},
			}
		},
	}
}

func longcase() shape {
	return shape{
		documented: "RFC 9068 section 2.2; our own issuer",
		issuer:     verify.Issuer{URL: us, Audience: me}, alg: token.ES256, life: between(60, 3600), scopes: []string{"orders.read"},
		header: func(r *rand.Rand) object { return object{"typ": "at+jwt", "kid": letters(r, 43)} },
		claims: func(r *rand.Rand) object {
			return object{"sub": "service-a", "aud": me, "client_id": "service-a", "nbf": epoch - 60, "jti": "lc." + chosen(r, 8, "abcdefghijklmnopqrstuvwxyz234567") + "." + letters(r, 26), "scope": "orders.read", "sid": letters(r, 40)}
		},
	}
}

// handmade are tokens as services write them with a library at hand: a shared
// secret, the time as a float.
func handmade() shape {
	return shape{
		documented: "incident 2 of DESIGN 1; floats as pyjwt.readthedocs.io/en/stable/usage.html leaves them (time.time() + 300)",
		issuer:     verify.Issuer{URL: "user-service", Audience: "inference", Profile: verify.JWT, Algorithms: []token.Algorithm{token.HS256}}, alg: token.HS256, life: between(60, 86300),
		header: func(*rand.Rand) object { return object{"typ": "JWT"} },
		claims: func(r *rand.Rand) object {
			now := float64(epoch) - r.Float64()
			return object{"sub": fmt.Sprint(r.IntN(1e9)), "aud": "inference", "iat": now, "nbf": now, "exp": now + float64(60+r.IntN(86000)) + r.Float64()}
		},
	}
}
