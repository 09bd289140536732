package plan

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/longcase/longcase/internal/config"
)

// account is what matters here of an external_account file (AIP-4117).
type account struct {
	Type          string `json:"type"`
	Impersonation string `json:"service_account_impersonation_url"`
	Asked         struct {
		Lifetime int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`
	Source struct {
		Environment string          `json:"environment_id"`
		File        string          `json:"file"`
		URL         string          `json:"url"`
		Executable  json.RawMessage `json:"executable"`
	} `json:"credential_source"`
}

// external is the chain that an external_account file is, or nil if the file
// cannot be read: then the credential stands for itself.
func (p *planner) external(name string, c *config.Credential, depth int) []Link {
	var a account
	if p.files.Read == nil {
		return nil
	}
	data, err := p.files.Read(c.File)
	if err != nil || json.Unmarshal(data, &a) != nil || a.Type != "external_account" {
		return nil
	}
	links := []Link{p.subject(name+"/subject", a)}
	sts := p.link(name+"/sts", &config.Credential{Kind: "google-sts"}, 0)
	sts.on(links[:1])
	links = append([]Link{sts}, links...)
	if a.Impersonation != "" {
		sa := p.link(name, &config.Credential{Kind: "google-impersonate"}, 0)
		if a.Asked.Lifetime > 0 && a.Asked.Lifetime <= 12*3600 {
			sa.Life, sa.From = time.Duration(a.Asked.Lifetime)*time.Second, "the file: token_lifetime_seconds"
		}
		sa.on(links[:1])
		links = append([]Link{sa}, links...)
	}
	links[0].Name, links[0].Kind = name, c.Kind
	for i := range links {
		links[i].Depth = depth + i
	}
	return links
}

// subject is where the file's subject token comes from.
func (p *planner) subject(name string, a account) Link {
	l := Link{Name: name, By: "longcase", From: "its issuer", Reach: Reach{Forever: true}}
	switch s := a.Source; {
	case strings.HasPrefix(s.Environment, "aws"):
		l.Kind, l.Life, l.From = "aws-instance-role", lives["aws-instance-role"].standard, lives["aws-instance-role"].from
	case s.File != "":
		l = p.link(name, &config.Credential{Kind: "jwt-file", Path: s.File}, 0)
	case s.URL != "":
		l.Kind = "url"
	default:
		l.Kind = "exec"
	}
	return l
}
