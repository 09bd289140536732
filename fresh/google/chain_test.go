package google_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/google"
	"github.com/longcase/longcase/internal/clouds"
)

// hops is the chain of incident 0, link by link.
type hops struct {
	*world
	session, sts, mail *fresh.Layer[fresh.Token]
	role               *fresh.Layer[aws.Keys]
}

func newHops(t *testing.T) *hops {
	t.Helper()
	h := &hops{world: newWorld(t, time.Now)}
	policy := func(name string) fresh.Policy { return fresh.Policy{Name: name} }
	imds := aws.IMDS{HTTP: h.http}
	h.session = fresh.New(aws.SessionToken(imds), policy("imds"))
	h.role = fresh.From(h.session, aws.InstanceRole(imds), policy("role"))
	h.sts = fresh.From(h.role, google.ExchangeAWS(google.STSConfig{Audience: awsPool, Region: "eu-west-1", HTTP: h.http}, awsKeys), policy("google"))
	h.mail = fresh.From(h.sts, google.Impersonate(google.ImpersonateConfig{ServiceAccount: mail, HTTP: h.http}), policy("mail"))
	return h
}

// made is how many leases each layer has made, and how often each service was
// asked.
type made struct{ session, role, sts, mail, put, keys, exchange, iam uint64 }

func (h *hops) made() made {
	return made{
		h.session.Status().Generation, h.role.Status().Generation, h.sts.Status().Generation, h.mail.Status().Generation,
		uint64(h.aws.Count(clouds.PutToken)), uint64(h.aws.Count(clouds.RoleKeys)),
		uint64(h.google.Calls("sts")), uint64(h.google.Calls("iam")),
	}
}

func (m made) since(old made) made {
	return made{m.session - old.session, m.role - old.role, m.sts - old.sts, m.mail - old.mail,
		m.put - old.put, m.keys - old.keys, m.exchange - old.exchange, m.iam - old.iam}
}

func current[T comparable](t *testing.T, l *fresh.Layer[T]) fresh.Lease[T] {
	t.Helper()
	lease, err := l.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func TestOnlyTheLayerToBlameIsRenewed(t *testing.T) {
	tests := []struct {
		name string
		kill func(*testing.T, *hops)
		want made
	}{
		{"the last token is revoked: the API's 401 renews it alone",
			func(t *testing.T, h *hops) { h.google.Revoke(current(t, h.mail).Value.Value) },
			made{mail: 1, iam: 1}},
		{"the federated token is revoked: IAM's 401 renews it, IAM is asked again",
			func(t *testing.T, h *hops) {
				h.google.Revoke(current(t, h.sts).Value.Value)
				h.mail.Invalidate(current(t, h.mail))
			}, made{mail: 1, iam: 2, sts: 1, exchange: 1}},
		{"AWS ends the keys: Google's invalid_grant renews the role, Google is asked again",
			func(t *testing.T, h *hops) {
				h.aws.Revoke(current(t, h.role).Value.AccessKeyID)
				h.sts.Invalidate(current(t, h.sts))
				h.mail.Invalidate(current(t, h.mail))
			}, made{mail: 1, iam: 1, sts: 1, exchange: 2, role: 1, keys: 1}},
		{"IMDS forgets its sessions: its 401 renews the session token, not the keys twice",
			func(t *testing.T, h *hops) {
				h.aws.RevokeSessions()
				h.role.Invalidate(current(t, h.role))
				h.sts.Invalidate(current(t, h.sts))
				h.mail.Invalidate(current(t, h.mail))
			}, made{mail: 1, iam: 1, sts: 1, exchange: 1, role: 1, keys: 1, session: 1, put: 1}},
		{"everything dies at once: each layer is renewed once",
			func(t *testing.T, h *hops) {
				h.google.RevokeAll()
				h.aws.Revoke(current(t, h.role).Value.AccessKeyID)
				h.aws.RevokeSessions()
			}, made{mail: 1, iam: 2, sts: 1, exchange: 2, role: 1, keys: 1, session: 1, put: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHops(t)
				old := h.get(t, h.mail, mail)
				before := h.made()
				tt.kill(t, h)
				if _, status := h.call(t, old.Value.Value); status == http.StatusUnauthorized {
					h.mail.Invalidate(old)
				}
				h.get(t, h.mail, mail)
				if got := h.made().since(before); got != tt.want {
					t.Errorf("renewed %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

func TestBlameEndsAfterOneRepetition(t *testing.T) {
	tests := []struct {
		name     string
		otherKey bool
		want     made
	}{
		{"other keys do not help either", true, made{session: 1, put: 1, role: 2, keys: 2, exchange: 2}},
		{"there are no other keys: Google is not asked again", false, made{session: 1, put: 1, role: 2, keys: 2, exchange: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHops(t)
				never := func(r *http.Request) error {
					_, id, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
					if id, _, _ = strings.Cut(id, "/"); tt.otherKey {
						h.aws.Revoke(id)
					}
					return errors.New("ExpiredToken: it is over")
				}
				h.google = clouds.NewGoogle(clouds.GoogleConfig{Now: time.Now, Providers: []clouds.GoogleProvider{{Audience: awsPool, AWS: never}}})
				h.http.Transport.(hosts)["sts.googleapis.com"] = h.google
				_, err := h.mail.Get(context.Background())
				wantError(t, err, fresh.Refused, "google", "invalid_grant", "of type ExpiredToken with error message: it is over")
				if got := h.made(); got != tt.want {
					t.Errorf("asked %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

func TestForbiddenBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHops(t)
		other := fresh.From(h.sts, google.Impersonate(google.ImpersonateConfig{ServiceAccount: machine, HTTP: h.http}), fresh.Policy{Name: "other"})
		_, err := other.Get(context.Background())
		wantError(t, err, fresh.Refused, "other", "403", "PERMISSION_DENIED", "iam.serviceAccounts.getAccessToken", "roles/iam.workloadIdentityUser", machine)
		if got := h.made(); got.sts != 1 || got.iam != 1 {
			t.Errorf("asked %+v, want one exchange and one try", got)
		}
	})
}

const awsFile = `{
  "universe_domain": "googleapis.com",
  "type": "external_account",
  "audience": "` + awsPool + `",
  "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/` + mail + `:generateAccessToken",
  "token_url": "https://sts.googleapis.com/v1/token",
  "token_info_url": "https://sts.googleapis.com/v1/introspect",
  "quota_project_id": "bills",
  "credential_source": {
    "environment_id": "aws1",
    "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token"
  }
}`

// TestIncident0 is google-auth-library's AwsClient up to 9.6.3, which never
// fetched a second IMDSv2 session token: the same file, 100 hours.
func TestIncident0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		chain, err := w.chain(t, awsFile, nil)
		if err != nil {
			t.Fatal(err)
		}
		if chain.QuotaProject != "bills" || len(chain.Inner) != 4 {
			t.Errorf("quota project %q, %d inner layers; want bills, 4", chain.QuotaProject, len(chain.Inner))
		}
		seen := map[string]bool{}
		for range 100 {
			seen[w.get(t, chain.Layer, mail).Value.Value] = true
			time.Sleep(time.Hour + time.Second)
		}
		synctest.Wait()
		if len(seen) != 100 || w.google.Calls("iam") != 100 {
			t.Errorf("%d tokens of %d requests, want 100 of 100", len(seen), w.google.Calls("iam"))
		}
		if puts := w.aws.Count(clouds.PutToken); puts < 40 {
			t.Errorf("%d session tokens of 5 minutes in 100 hours", puts)
		}
	})
}

func TestTheChainOfAFileIsNamedAndComplete(t *testing.T) {
	env := map[string]string{"AWS_REGION": "eu-west-1"}
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
	tests := []struct {
		name string
		env  func(w *world) map[string]string
		want []string
		puts int
	}{
		{"nothing in the environment", func(*world) map[string]string { return nil },
			[]string{"mail/session", "mail/role", "mail/region", "mail/sts"}, 1},
		{"the region", func(*world) map[string]string { return env },
			[]string{"mail/session", "mail/role", "mail/sts"}, 1},
		{"keys", func(w *world) map[string]string {
			keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"] = w.aws.User()
			return keys
		}, []string{"mail/session", "mail/environment", "mail/region", "mail/sts"}, 1},
		{"keys and region", func(w *world) map[string]string {
			id, secret := w.aws.User()
			return map[string]string{"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "eu-west-1"}
		}, []string{"mail/environment", "mail/sts"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, time.Now)
				chain, err := w.chain(t, awsFile, tt.env(w))
				if err != nil {
					t.Fatal(err)
				}
				w.get(t, chain.Layer, mail)
				var names []string
				for _, l := range chain.Inner {
					names = append(names, l.Status().Layer)
				}
				if len(names) != len(tt.want) {
					t.Fatalf("layers %v, want %v", names, tt.want)
				}
				for i := range names {
					if names[i] != tt.want[i] {
						t.Errorf("layers %v, want %v", names, tt.want)
					}
				}
				if puts := w.aws.Count(clouds.PutToken); puts != tt.puts {
					t.Errorf("%d session tokens, want %d", puts, tt.puts)
				}
			})
		})
	}
}

func TestIMDSv2IsSpokenEvenWhereTheFileDoesNotNameIt(t *testing.T) {
	const session = `,
    "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token"`
	const role = `
    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",`
	tests := []struct {
		name    string
		content string
		keys    bool
	}{
		{"where the keys are", strings.Replace(awsFile, session, "", 1), false},
		{"where the region is", strings.Replace(strings.Replace(awsFile, session, "", 1), role, "", 1), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, env := newWorld(t, time.Now), map[string]string{}
				if tt.keys {
					env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = w.aws.User()
				}
				chain, err := w.chain(t, tt.content, env)
				if err != nil {
					t.Fatal(err)
				}
				w.get(t, chain.Layer, mail)
				if puts := w.aws.Count(clouds.PutToken); puts != 1 {
					t.Errorf("%d session tokens, want 1", puts)
				}
			})
		})
	}
}

func TestTheRegionBlamesTheSessionAndIsARegion(t *testing.T) {
	tests := []struct {
		name   string
		status int // of the first answer
		zone   string
		err    fresh.Reason
		puts   int
	}{
		{"a session that is refused is renewed, once", http.StatusUnauthorized, "", "", 2},
		{"a page is no zone", http.StatusOK, "<html>", fresh.Malformed, 1},
		{"a host is no zone", http.StatusOK, "evil.test/-x-1", fresh.Malformed, 1},
		{"a service without zones", http.StatusNotFound, "", fresh.Refused, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, told := newWorld(t, time.Now), false
				w.http.Transport.(hosts)["169.254.169.254"] = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if strings.Contains(r.URL.Path, "placement") && !told {
						told = true
						rw.WriteHeader(tt.status)
						_, _ = rw.Write([]byte(tt.zone))
						return
					}
					w.aws.ServeHTTP(rw, r)
				})
				chain, err := w.chain(t, awsFile, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = chain.Layer.Get(context.Background())
				if tt.err != "" {
					wantError(t, err, tt.err, "mail/region", "the EC2 metadata service")
				} else if err != nil {
					t.Error(err)
				}
				if puts := w.aws.Count(clouds.PutToken); puts != tt.puts {
					t.Errorf("%d session tokens, want %d", puts, tt.puts)
				}
			})
		})
	}
}

func TestTokenProviderHandsOutWhatLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHops(t)
		provider := google.TokenProvider(h.mail)
		for range 3 {
			tok, err := provider.Token(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if as, _ := h.call(t, tok.Value); as != mail || tok.Type != "Bearer" || !tok.Expiry.After(time.Now()) {
				t.Errorf("a %s token of %q until %v at %v", tok.Type, as, tok.Expiry, time.Now())
			}
			time.Sleep(2 * time.Hour)
		}
	})
}
