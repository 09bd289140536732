package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/internal/config"
)

const (
	role = `role_arn: "arn:aws:iam::123456789012:role/r"`

	// incident 0: three hops that all renew.
	incident0 = "i: {kind: aws-imds-token}, r: {kind: aws-instance-role, from: i}, g: {kind: google-sts, from: r, audience: a}, x: {kind: google-impersonate, from: g, service_account: a@b.test}"
	// external-secrets#6690: the kubelet's token of 15 minutes caps the exchanged one.
	eso = "pod: {kind: jwt-file, path: /var/run/secrets/tokens/gcp}, x: {kind: google-sts, from: pod, audience: a}"
	// google-github-actions/auth#432 and #474: GitHub's token of 5 minutes, written once.
	github  = "ci: {kind: jwt-file, path: /tmp/gha}, x: {kind: google-sts, from: ci, audience: a}"
	github2 = "ci: {kind: jwt-file, path: /tmp/gha}, g: {kind: google-sts, from: ci, audience: a}, x: {kind: google-impersonate, from: g, service_account: a@b.test}"
	aws     = "ci: {kind: jwt-file, path: /tmp/gha}, x: {kind: aws-web-identity, from: ci, " + role + "}"
	chained = "ci: {kind: jwt-file, path: /tmp/gha}, w: {kind: aws-web-identity, from: ci, " + role + "}, x: {kind: aws-assume-role, from: w, " + role + "}"
	// RFC 8693: who acts, and for whom.
	exchange  = "pod: {kind: jwt-file, path: /run/secrets/t}, me: {kind: device, issuer: https://issuer.test, client: c}, x: {kind: token-exchange, from: pod, actor: me, issuer: https://issuer.test, audience: a}"
	exchange2 = "ci: {kind: jwt-file, path: /tmp/gha}, me: {kind: device, issuer: https://issuer.test, client: c}, x: {kind: token-exchange, from: ci, actor: me, issuer: https://issuer.test, audience: a}"
	login     = "x: {kind: oauth2-refresh, issuer: https://issuer.test, client: c}"
	ours      = "}}\nissuer: {url: https://issuer.test, lifetimes: {access: 10m, session_absolute: 12h"
)

func load(t interface{ Fatal(...any) }, credentials string) *config.Config {
	cfg, err := config.Parse("f", []byte("agent: {credentials: {"+credentials+"}}"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// files are a directory in which every JWT lives for life.
func files(life time.Duration, external string) Files {
	return Files{
		Life: func(string) (time.Duration, bool) { return life, life > 0 },
		Read: func(string) ([]byte, error) {
			if external == "" {
				return nil, errors.New("no such file")
			}
			return []byte(external), nil
		},
	}
}

func chainOf(t *testing.T, credentials string, f Files, renewed ...string) Chain {
	t.Helper()
	chains, err := Chains(load(t, credentials), f, []string{"x"}, renewed...)
	if err != nil {
		t.Fatal(err)
	}
	return chains[0]
}

func TestHowLongChainsLast(t *testing.T) {
	const week = 7 * 24 * time.Hour
	tests := []struct {
		name, credentials string
		token             time.Duration // life of the JWT files; 0: none
		renewed           []string
		job               Job
		life              time.Duration // of one lease
		fails             string        // the link to blame; empty: the job gets through
		remedy            string
	}{
		{"incident 0 lasts for ever", incident0, 0, nil, Job{Length: week}, time.Hour, "", ""},
		{"the kubelet renews its token", eso, 15 * time.Minute, nil, Job{Length: week}, 15 * time.Minute, "", ""},
		{"a copy is not renewed", eso, 15 * time.Minute, nil, Job{20 * time.Minute, true}, 15 * time.Minute, "pod", "google-impersonate"},
		{"a copy may be taken late", eso, 15 * time.Minute, nil, Job{10 * time.Minute, true}, 15 * time.Minute, "x", "refresh: {ahead: 10m}"},
		{"a copy that is used at once", eso, 15 * time.Minute, nil, Job{4 * time.Minute, true}, 15 * time.Minute, "", ""},
		{"GitHub's token caps Google's", github, 5 * time.Minute, nil, Job{Length: 10 * time.Minute}, 5 * time.Minute, "ci", "with lifetime: 10m"},
		{"a job shorter than GitHub's token", github, 5 * time.Minute, nil, Job{Length: 5 * time.Minute}, 5 * time.Minute, "", ""},
		{"a file that is not there is taken for GitHub's", github, 0, nil, Job{Length: 10 * time.Minute}, 5 * time.Minute, "ci", "--renewed ci"},
		{"impersonation outlives the subject token", github2, 5 * time.Minute, nil, Job{Length: time.Hour}, time.Hour, "", ""},
		{"but not for ever", github2, 5 * time.Minute, nil, Job{Length: 2 * time.Hour}, time.Hour, "ci", "lifetime: 2h"},
		{"unless the file is renewed", github2, 5 * time.Minute, []string{"ci"}, Job{Length: week}, time.Hour, "", ""},
		{"a role outlives its JWT", aws, 5 * time.Minute, nil, Job{Length: time.Hour}, time.Hour, "", ""},
		{"a job longer than the role", aws, 5 * time.Minute, nil, Job{Length: 6 * time.Hour}, time.Hour, "ci", "duration: 6h"},
		{"longer than any role", aws, 5 * time.Minute, nil, Job{Length: 24 * time.Hour}, time.Hour, "ci", "have /tmp/gha written anew before each 5m is over"},
		{"a role with a role lives an hour", chained, 5 * time.Minute, nil, Job{Length: 6 * time.Hour}, time.Hour, "ci", "say so with --renewed ci"},
		{"the actor ends first", exchange + ours, 15 * time.Minute, nil, Job{Length: 13 * time.Hour}, 10 * time.Minute, "me", "a person signs in again"},
		{"the subject ends first", exchange2 + ours, 5 * time.Minute, nil, Job{Length: time.Hour}, 5 * time.Minute, "ci", "have /tmp/gha"},
		{"a session of our own issuer", login + ours, 0, nil, Job{Length: 13 * time.Hour}, 10 * time.Minute, "x", "a person signs in again"},
		{"within our own session", login + ours, 0, nil, Job{Length: 12 * time.Hour}, 10 * time.Minute, "", ""},
		{"a session nobody here knows", login, 0, nil, Job{Length: week}, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chainOf(t, tt.credentials, files(tt.token, ""), tt.renewed...)
			if c.Life() != tt.life {
				t.Errorf("one lease lives %v, want %v", c.Life(), tt.life)
			}
			findings := c.Judge(tt.job)
			i := slices.IndexFunc(findings, func(f Finding) bool { return f.Fails })
			switch {
			case i < 0 && tt.fails != "":
				t.Errorf("the job gets through: %+v", findings)
			case i >= 0 && strings.Contains(findings[i].Remedy, "duration: 6h") && tt.credentials == chained:
				t.Errorf("a chained role cannot live 6h: %+v", findings[i])
			case i >= 0 && (findings[i].Link != tt.fails || !strings.Contains(findings[i].Remedy, tt.remedy)):
				t.Errorf("findings = %+v, want %s to blame, and %q", findings[i], tt.fails, tt.remedy)
			}
		})
	}
}

func TestAChainRenewsUntilItsShortestLinkThatNobodyRenews(t *testing.T) {
	c := chainOf(t, github2, files(5*time.Minute, ""))
	shortest, _ := c.Shortest()
	renews, known := c.Renews()
	if shortest.Name != "ci" || renews != 5*time.Minute || !known || c.Reach.Least != time.Hour {
		t.Errorf("shortest %s, renews %v (%v), lasts %v", shortest.Name, renews, known, c.Reach.Least)
	}
	if _, known := chainOf(t, incident0, Files{}).Renews(); known {
		t.Error("incident 0's chain ends")
	}
}

func TestAnExternalAccountFileIsAChain(t *testing.T) {
	const x = "x: {kind: google-external-account, file: f.json}"
	tests := []struct {
		name, file  string
		kinds       []string
		life, least time.Duration // least 0: for ever
	}{
		{"a file source, direct", `{"type": "external_account", "credential_source": {"file": "/tmp/gha"}}`,
			[]string{"google-external-account", "jwt-file"}, 5 * time.Minute, 5 * time.Minute},
		{"a file source, impersonated for 2 h", `{"type": "external_account", "service_account_impersonation_url": "https://iam", "service_account_impersonation": {"token_lifetime_seconds": 7200}, "credential_source": {"file": "/tmp/gha"}}`,
			[]string{"google-external-account", "google-sts", "jwt-file"}, 2 * time.Hour, 2 * time.Hour},
		{"AWS", `{"type": "external_account", "credential_source": {"environment_id": "aws1"}}`, []string{"google-external-account", "aws-instance-role"}, time.Hour, 0},
		{"a URL", `{"type": "external_account", "credential_source": {"url": "http://127.0.0.1:1"}}`, []string{"google-external-account", "url"}, time.Hour, 0},
		{"a program", `{"type": "external_account", "credential_source": {"executable": {"command": "x"}}}`, []string{"google-external-account", "exec"}, time.Hour, 0},
		{"not such a file", `{"type": "service_account"}`, []string{"google-external-account"}, time.Hour, 0},
		{"not JSON", `{`, []string{"google-external-account"}, time.Hour, 0},
		{"no file", "", []string{"google-external-account"}, time.Hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chainOf(t, x, files(5*time.Minute, tt.file))
			var kinds []string
			for i, l := range c.Links {
				kinds = append(kinds, l.Kind)
				if l.Depth != i {
					t.Errorf("%s has depth %d, want %d", l.Name, l.Depth, i)
				}
			}
			if !slices.Equal(kinds, tt.kinds) || c.Life() != tt.life || c.Reach.Least != tt.least || c.Reach.Forever != (tt.least == 0) {
				t.Errorf("links %q, life %v, reach %+v", kinds, c.Life(), c.Reach)
			}
		})
	}
}

func TestWithoutNamesTheEndsAndThePublishedArePlanned(t *testing.T) {
	cfg, err := config.Parse("f", []byte("agent: {credentials: {"+incident0+", k: {kind: aws-profile}}, publish: [{credential: r, as: imds}]}"))
	if err != nil {
		t.Fatal(err)
	}
	chains, err := Chains(cfg, Files{}, nil)
	var names []string
	for _, c := range chains {
		names = append(names, c.Name)
	}
	if err != nil || !slices.Equal(names, []string{"k", "r", "x"}) {
		t.Errorf("chains = %q, %v", names, err)
	}
	if _, err := Chains(cfg, Files{}, []string{"kk"}); err == nil || !strings.Contains(err.Error(), `did you mean "k"?`) {
		t.Errorf("an unknown name: %v", err)
	}
	if chains, err := Chains(&config.Config{}, Files{}, nil); err != nil || len(chains) != 0 {
		t.Errorf("a file without agent: %v, %v", chains, err)
	}
}

func TestOnlyAFileOfTheChainIsRenewedByOthers(t *testing.T) {
	cfg := load(t, github+", y: {kind: google-external-account, file: f}, sa: {kind: jwt-file, path: /tmp/sa}, me: {kind: device, issuer: https://issuer.test, client: c}")
	read := Files{Read: func(string) ([]byte, error) {
		return []byte(`{"type": "external_account", "credential_source": {"file": "/tmp/subject"}}`), nil
	}}
	for _, tt := range []struct{ of, renewed, says string }{
		{"x", "ci", ""},
		{"y", "y/subject", ""},
		{"x", "x", `"x" (google-sts) is no file that somebody outside could keep fresh`},
		{"me", "me", `"me" (device) is no file`},
		{"y", "y", `"y" (google-external-account) is no file`},
		{"x", "sa", `"sa" is no link of x`},
		{"x", "y/subject", `there is no credential "y/subject"`},
		{"x", "cii", `there is no credential "cii"; did you mean "ci"?`},
	} {
		_, err := Chains(cfg, read, []string{tt.of}, tt.renewed)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s with %s renewed: %v, want %q", tt.of, tt.renewed, err, tt.says)
		}
	}
}

func TestEveryKindHasALife(t *testing.T) {
	for _, name := range config.Kinds() {
		if _, ok := lives[name]; !ok {
			t.Errorf("%s has no life", name)
		}
	}
	if len(lives) != len(config.Kinds()) {
		t.Errorf("%d lives, %d kinds", len(lives), len(config.Kinds()))
	}
}

// TestAChainLastsNoLongerThanItCan: whatever the lives, a chain on a token that
// nobody renews ends; a job it is said to survive ends before; and what is
// renewed lasts for ever.
func TestAChainLastsNoLongerThanItCan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := time.Duration(rapid.IntRange(1, 48*60).Draw(t, "token")) * time.Minute
		lifetime := rapid.IntRange(1, 720).Draw(t, "lifetime")
		hops := rapid.IntRange(0, 3).Draw(t, "hops")
		text := "ci: {kind: jwt-file, path: /tmp/gha}, x0: {kind: google-sts, from: ci, audience: a}"
		for i := range hops {
			text += fmt.Sprintf(", x%d: {kind: google-impersonate, from: x%d, service_account: a@b.test, lifetime: %dm}", i+1, i, lifetime)
		}
		cfg, top := load(t, text), fmt.Sprintf("x%d", hops)
		chains, err := Chains(cfg, files(token, ""), []string{top})
		if err != nil {
			t.Fatal(err)
		}
		c := chains[0]
		most := token
		if hops > 0 {
			most = max(token, time.Duration(lifetime)*time.Minute)
		}
		if c.Reach.Forever || c.Reach.Least > most || c.Reach.Least < min(token, most) {
			t.Fatalf("reach %+v, token %v, lifetime %d", c.Reach, token, lifetime)
		}
		job := time.Duration(rapid.IntRange(1, 96*60).Draw(t, "job")) * time.Minute
		fails := slices.ContainsFunc(c.Judge(Job{Length: job}), func(f Finding) bool { return f.Fails })
		if fails != (job > c.Reach.Least) {
			t.Fatalf("a job of %v fails: %v, reach %+v", job, fails, c.Reach)
		}
		chains, err = Chains(cfg, files(token, ""), []string{top}, "ci")
		if err != nil || !chains[0].Reach.Forever || len(chains[0].Judge(Job{Length: job})) != 0 {
			t.Fatalf("renewed: %+v, %v", chains, err)
		}
	})
}
