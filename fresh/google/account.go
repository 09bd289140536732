package google

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

// accountFile is a file of type external_account, as gcloud writes it (AIP-4117,
// workload and workforce identity federation).
type accountFile struct {
	Type             string `json:"type"`
	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	Universe         string `json:"universe_domain"`
	ClientID         string `json:"client_id"`
	ClientSecret     string `json:"client_secret"`
	QuotaProject     string `json:"quota_project_id"`
	UserProject      string `json:"workforce_pool_user_project"`
	ImpersonationURL string `json:"service_account_impersonation_url"`
	Impersonation    struct {
		Lifetime *int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`
	Source *sourceFile `json:"credential_source"`

	name string // of the file
}

// sourceFile is the member credential_source: where the subject token comes from.
type sourceFile struct {
	EnvironmentID   string            `json:"environment_id"` // "aws1"
	RegionURL       string            `json:"region_url"`
	SessionURL      string            `json:"imdsv2_session_token_url"`
	VerificationURL string            `json:"regional_cred_verification_url"`
	URL             string            `json:"url"`
	Headers         map[string]string `json:"headers"`
	File            string            `json:"file"`
	Format          formatFile        `json:"format"`
	Executable      *executableFile   `json:"executable"`
	Certificate     json.RawMessage   `json:"certificate"`
}

// formatFile says where in a file or an answer the subject token is.
type formatFile struct {
	Type  string `json:"type"` // "text" (default) or "json"
	Field string `json:"subject_token_field_name"`
}

// executableFile is a program that prints the subject token.
type executableFile struct {
	Command    string `json:"command"`
	Timeout    *int   `json:"timeout_millis"`
	OutputFile string `json:"output_file"`
}

// problems collects what is wrong with the members of a file.
type problems struct {
	file  string
	found []error
}

func (p *problems) add(member, format string, args ...any) {
	p.found = append(p.found, fresh.Fail(fresh.Misconfigured, "%s: %s: %s", p.file, member, fmt.Sprintf(format, args...)))
}

func (p *problems) check(member string, err error) {
	if err != nil {
		p.found = append(p.found, &fresh.Error{Reason: fresh.Misconfigured, Detail: p.file + ": " + member, Err: err})
	}
}

// parseAccount reads a file of type external_account; name is its path. The
// error names every member that is wrong, and what to do.
func parseAccount(name string, data []byte) (*accountFile, error) {
	f := &accountFile{name: name}
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fresh.Fail(fresh.Malformed, "%s is not the JSON of an external_account file%s", name, badMember(err))
	}
	p := &problems{file: name}
	if f.Type != "external_account" {
		p.add("type", "%.40q is not external_account%s", f.Type, insteadOf(f.Type))
		return nil, errors.Join(p.found...)
	}
	f.check(p)
	f.checkSource(p)
	if err := errors.Join(p.found...); err != nil {
		return nil, err
	}
	return f, nil
}

func insteadOf(kind string) string {
	if kind == "service_account" {
		return ": use google-service-account for a key file"
	}
	return ": write the file with gcloud iam workload-identity-pools create-cred-config"
}

func (f *accountFile) check(p *problems) {
	if f.Audience == "" {
		p.add("audience", "missing: the full resource name of the pool's provider, //iam.googleapis.com/…")
	}
	if f.SubjectTokenType == "" {
		p.add("subject_token_type", "missing: such as %sjwt", tokenTypes)
	}
	if f.Universe != "" && !hostName(f.Universe) {
		p.add("universe_domain", "%.60q is not a domain", f.Universe)
		return
	}
	p.check("token_url", ask.CheckURL(f.tokenURL()))
	if f.ImpersonationURL != "" {
		f.checkImpersonation(p)
	}
	if f.UserProject != "" && !strings.Contains(f.Audience, "/workforcePools/") {
		p.add("workforce_pool_user_project", "the audience is not of a workforce pool: remove it")
	}
	if f.ClientSecret != "" && f.ClientID == "" {
		p.add("client_id", "missing beside client_secret")
	}
}

func (f *accountFile) checkImpersonation(p *problems) {
	p.check("service_account_impersonation_url", ask.CheckURL(f.ImpersonationURL))
	if f.serviceAccount() == "" {
		p.add("service_account_impersonation_url", "it must end in /serviceAccounts/EMAIL:generateAccessToken")
	}
	if s := f.Impersonation.Lifetime; s != nil && (*s < 600 || *s > 43200) {
		p.add("service_account_impersonation.token_lifetime_seconds", "%d is not between 600 and 43200", *s)
	}
}

func (f *accountFile) tokenURL() string {
	switch {
	case f.TokenURL != "":
		return f.TokenURL
	case f.Universe != "":
		return "https://sts." + f.Universe + "/v1/token"
	}
	return stsEndpoint + "/v1/token"
}

// serviceAccount is the email in the impersonation URL; empty: there is none.
func (f *accountFile) serviceAccount() string {
	path, ok := strings.CutSuffix(f.ImpersonationURL, generateAccessToken)
	_, email, found := strings.Cut(path, "/serviceAccounts/")
	if !ok || !found || !account(email) {
		return ""
	}
	return email
}

func (f *accountFile) lifetime() time.Duration {
	if f.Impersonation.Lifetime == nil {
		return 0
	}
	return time.Duration(*f.Impersonation.Lifetime) * time.Second
}

func hostName(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}) < 0
}

// kinds are the sources that the file names.
func (s *sourceFile) kinds() (kinds []string) {
	for kind, named := range map[string]bool{
		"certificate": len(s.Certificate) > 0 && string(s.Certificate) != "null",
		"executable":  s.Executable != nil,
		"file":        s.File != "",
		"url":         s.URL != "" && s.EnvironmentID == "", // an aws source has one, too
		"aws":         s.EnvironmentID != "",
	} {
		if named {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// checkSource wants exactly one source.
func (f *accountFile) checkSource(p *problems) {
	const member = "credential_source"
	if f.Source == nil {
		p.add(member, "missing: it says where the subject token comes from")
		return
	}
	kinds := f.Source.kinds()
	if len(kinds) != 1 {
		p.add(member, "it names %d sources%s: leave exactly one of environment_id (aws), file, url and executable",
			len(kinds), strings.TrimSuffix(" ("+strings.Join(kinds, ", ")+")", " ()"))
		return
	}
	switch kinds[0] {
	case "certificate":
		p.add(member+".certificate", "X.509 sources are not supported: use an aws, file, url or executable source")
	case "aws":
		f.Source.checkAWS(p)
	case "url":
		p.check(member+".url", checkMetadataURL(f.Source.URL))
		f.Source.Format.check(p)
	case "file":
		f.Source.Format.check(p)
	case "executable":
		f.Source.Executable.check(p)
	}
}

func (s *sourceFile) checkAWS(p *problems) {
	if s.EnvironmentID != "aws1" {
		p.add("credential_source.environment_id", "%.40q is not aws1, the one that is known", s.EnvironmentID)
	}
	for member, u := range map[string]string{"url": s.URL, "region_url": s.RegionURL, "imdsv2_session_token_url": s.SessionURL} {
		if u != "" {
			p.check("credential_source."+member, checkMetadataURL(u))
		}
	}
	for member, u := range map[string][2]string{"url": {s.URL, rolePath}, "imdsv2_session_token_url": {s.SessionURL, sessionPath}} {
		if _, ok := imdsBase(u[0], u[1]); u[0] != "" && !ok {
			p.add("credential_source."+member, "its path must end in %s", u[1])
		}
	}
	if s.VerificationURL != "" {
		p.check("credential_source.regional_cred_verification_url", ask.CheckURL(strings.ReplaceAll(s.VerificationURL, "{region}", "us-east-1")))
	}
}

func (f formatFile) check(p *problems) {
	switch {
	case f.Type != "" && f.Type != "text" && f.Type != "json":
		p.add("credential_source.format.type", "%.40q is neither text nor json", f.Type)
	case f.Type == "json" && f.Field == "":
		p.add("credential_source.format.subject_token_field_name", "missing: the member that holds the token")
	}
}

func (e *executableFile) check(p *problems) {
	if len(splitCommand(e.Command)) == 0 {
		p.add("credential_source.executable.command", "missing")
	}
	if t := e.Timeout; t != nil && (*t < 5000 || *t > 120000) {
		p.add("credential_source.executable.timeout_millis", "%d is not between 5000 and 120000", *t)
	}
}

func (e *executableFile) timeout() time.Duration {
	if e.Timeout == nil {
		return 30 * time.Second
	}
	return time.Duration(*e.Timeout) * time.Millisecond
}
