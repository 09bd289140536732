package google_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/google"
)

// object is a JSON object to be changed by a test.
type object = map[string]any

// file is an external_account file of a source, without impersonation.
func file(source object, change ...object) string {
	f := object{
		"type": "external_account", "audience": oidcPool, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": "https://sts.googleapis.com/v1/token", "credential_source": source,
	}
	for _, c := range change {
		maps.Copy(f, c)
	}
	data, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestFilesThatCannotWorkSayWhy(t *testing.T) {
	good := object{"file": "token"}
	aws := func(change object) object {
		s := object{
			"environment_id": "aws1", "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
			"region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
		}
		maps.Copy(s, change)
		return s
	}
	tests := []struct {
		name    string
		content string
		reason  fresh.Reason
		words   []string
	}{
		{"empty", "", fresh.Malformed, []string{"not the JSON of an external_account file"}},
		{"cut off", `{"type": "external_account", "audi`, fresh.Malformed, []string{"it breaks off or is wrong at byte 34"}},
		{"a list", `[]`, fresh.Malformed, []string{"not the JSON"}},
		{"null", `null`, fresh.Misconfigured, []string{`type: "" is not external_account`, "gcloud iam workload-identity-pools create-cred-config"}},
		{"a member of another type", `{"type": "external_account", "audience": ["a"]}`, fresh.Malformed, []string{"audience is a array"}},
		{"a key file", `{"type": "service_account"}`, fresh.Misconfigured, []string{"type", "use google-service-account"}},
		{"a file of a user", `{"type": "authorized_user"}`, fresh.Misconfigured, []string{`"authorized_user" is not external_account`}},
		{"no audience", file(good, object{"audience": ""}), fresh.Misconfigured, []string{"audience: missing"}},
		{"no type of subject token", file(good, object{"subject_token_type": ""}), fresh.Misconfigured, []string{"subject_token_type: missing"}},
		{"plain http to Google", file(good, object{"token_url": "http://sts.googleapis.com/v1/token"}), fresh.Misconfigured, []string{"token_url", "is not https"}},
		{"a token URL that is none", file(good, object{"token_url": "sts"}), fresh.Misconfigured, []string{"token_url", "is not a URL"}},
		{"metadata addresses are no token URL", file(good, object{"token_url": "http://169.254.169.254/v1/token"}), fresh.Misconfigured, []string{"token_url"}},
		{"a universe with a path", file(good, object{"token_url": "", "universe_domain": "evil.test/x?"}), fresh.Misconfigured, []string{"universe_domain", "is not a domain"}},
		{"plain http to IAM", file(good, object{"service_account_impersonation_url": "http://iam.test/serviceAccounts/a@b:generateAccessToken"}),
			fresh.Misconfigured, []string{"service_account_impersonation_url", "is not https"}},
		{"no account in the URL", file(good, object{"service_account_impersonation_url": "https://iam.test/x"}),
			fresh.Misconfigured, []string{"it must end in /serviceAccounts/EMAIL:generateAccessToken"}},
		{"another account after a query", file(good, object{"service_account_impersonation_url": "https://iam.test/?/serviceAccounts/a?b:generateAccessToken"}),
			fresh.Misconfigured, []string{"it must end in"}},
		{"a lifetime beyond 12 hours", file(good, object{"service_account_impersonation_url": "https://iam.test/serviceAccounts/a@b:generateAccessToken",
			"service_account_impersonation": object{"token_lifetime_seconds": 43201}}), fresh.Misconfigured, []string{"token_lifetime_seconds: 43201"}},
		{"a lifetime that is text", file(good, object{"service_account_impersonation": object{"token_lifetime_seconds": "600"}}),
			fresh.Malformed, []string{"service_account_impersonation.token_lifetime_seconds is a string"}},
		{"a user project without a workforce pool", file(good, object{"workforce_pool_user_project": "p"}), fresh.Misconfigured, []string{"workforce_pool_user_project", "remove it"}},
		{"a secret without its client", file(good, object{"client_secret": "s3cret"}), fresh.Misconfigured, []string{"client_id: missing"}},
		{"no source", file(nil, object{"credential_source": nil}), fresh.Misconfigured, []string{"credential_source: missing"}},
		{"an empty source", file(object{}), fresh.Misconfigured, []string{"credential_source: it names 0 sources"}},
		{"two sources", file(object{"file": "a", "url": "https://a.test"}), fresh.Misconfigured, []string{"it names 2 sources (file, url)"}},
		{"a certificate", file(object{"certificate": object{"use_default_certificate_config": true}}), fresh.Misconfigured, []string{"credential_source.certificate", "not supported"}},
		{"an unknown format", file(object{"file": "a", "format": object{"type": "xml"}}), fresh.Misconfigured, []string{`format.type: "xml" is neither text nor json`}},
		{"JSON without a member's name", file(object{"file": "a", "format": object{"type": "json"}}), fresh.Misconfigured, []string{"subject_token_field_name: missing"}},
		{"plain http to another host", file(object{"url": "http://metadata.test/token"}), fresh.Misconfigured, []string{"credential_source.url", "is not https"}},
		{"a name instead of the address", file(object{"url": "http://metadata.google.internal/token"}), fresh.Misconfigured, []string{"credential_source.url", "is not https"}},
		{"another link-local address", file(object{"url": "http://169.254.170.2/token"}), fresh.Misconfigured, []string{"credential_source.url", "is not https"}},
		{"a password in the URL", file(object{"url": "https://u:p@idp.test/token"}), fresh.Misconfigured, []string{"credential_source.url"}},
		{"the next version of aws", file(aws(object{"environment_id": "aws2"})), fresh.Misconfigured, []string{`environment_id: "aws2" is not aws1`}},
		{"another environment", file(aws(object{"environment_id": "azure1"})), fresh.Misconfigured, []string{"is not aws1"}},
		{"IMDS elsewhere", file(aws(object{"url": "http://imds.test/latest/meta-data/iam/security-credentials"})), fresh.Misconfigured, []string{"credential_source.url", "is not https"}},
		{"IMDS on another path", file(aws(object{"url": "http://169.254.169.254/keys"})), fresh.Misconfigured, []string{"its path must end in /latest/meta-data/iam/security-credentials"}},
		{"session tokens elsewhere", file(aws(object{"imdsv2_session_token_url": "http://imds.test/latest/api/token"})), fresh.Misconfigured, []string{"imdsv2_session_token_url"}},
		{"session tokens on another path", file(aws(object{"imdsv2_session_token_url": "http://169.254.169.254/token"})), fresh.Misconfigured, []string{"must end in /latest/api/token"}},
		{"plain http to AWS", file(aws(object{"regional_cred_verification_url": "http://sts.{region}.amazonaws.com"})), fresh.Misconfigured, []string{"regional_cred_verification_url"}},
		{"no keys anywhere", file(aws(object{"url": ""})), fresh.Misconfigured, []string{"credential_source.url: missing", "AWS_ACCESS_KEY_ID"}},
		{"no region anywhere", file(aws(object{"region_url": ""})), fresh.Misconfigured, []string{"region_url: missing", "AWS_REGION"}},
		{"a program without leave", file(object{"executable": object{"command": "/bin/true"}}), fresh.Misconfigured, []string{"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"}},
		{"no program", file(object{"executable": object{"command": " "}}), fresh.Misconfigured, []string{"executable.command: missing"}},
		{"a program with too little time", file(object{"executable": object{"command": "a", "timeout_millis": 4999}}), fresh.Misconfigured, []string{"timeout_millis: 4999 is not between 5000 and 120000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{}
			_, err := w.chain(t, tt.content, nil)
			wantError(t, err, tt.reason, append(tt.words, "account.json")...)
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q holds a secret", err)
			}
		})
	}
}

func TestAFileWithManyMistakesNamesThemAll(t *testing.T) {
	_, err := (&world{}).chain(t, file(object{"url": "http://a.test", "format": object{"type": "json"}},
		object{"audience": "", "token_url": "x"}), nil)
	wantError(t, err, fresh.Misconfigured, "audience", "token_url", "credential_source.url", "subject_token_field_name")
}

func TestAFileThatIsNotThere(t *testing.T) {
	_, err := google.ExternalAccount(google.ExternalAccountConfig[string]{File: filepath.Join(t.TempDir(), "none.json")})
	wantError(t, err, fresh.Unavailable, "none.json")
	_, err = google.ExternalAccount(google.ExternalAccountConfig[string]{File: write(t, "big.json", strings.Repeat(" ", 1<<20+1))})
	wantError(t, err, fresh.Malformed, "big.json", "1048576 bytes")
}

func TestAnAWSFileNeedsLayersForAWSOrTheEnvironment(t *testing.T) {
	cfg := google.ExternalAccountConfig[string]{File: write(t, "account.json", awsFile), Getenv: func(string) string { return "" }}
	_, err := google.ExternalAccount(cfg)
	wantError(t, err, fresh.Misconfigured, "account.json", "built without layers for AWS")
	cfg.Getenv = func(string) string { return "eu-west-1" } // keys and region
	if _, err := google.ExternalAccount(cfg); err != nil {
		t.Errorf("with keys and region in the environment: %v", err)
	}
}

func TestAnIDTokenNeedsAServiceAccount(t *testing.T) {
	_, err := google.ExternalAccount(google.ExternalAccountConfig[string]{
		File: write(t, "account.json", file(object{"file": "x"})), Audience: "https://callee.test"})
	wantError(t, err, fresh.Misconfigured, "service_account_impersonation_url: missing")
}

const impersonation = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + mail + ":generateAccessToken"

// program writes a shell script that prints what say says.
func program(t *testing.T, script string) string {
	t.Helper()
	path := write(t, "program", "#!/bin/sh\n"+script)
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	return path
}

// TestEverySourceLeadsToATokenThatWorks is the whole way: the file, the source,
// Google's exchange, the service account, an API.
func TestEverySourceLeadsToATokenThatWorks(t *testing.T) {
	w := newWorld(t, time.Now)
	jwt := w.jwt(t, time.Now(), 10*time.Minute)
	w.http.Transport.(hosts)["idp.test"] = idp(jwt)
	asJSON := object{"type": "json", "subject_token_field_name": "access_token"}
	wrapped := `{"expires_on": "x", "access_token": "` + jwt + `"}`
	answer := `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"` + jwt + `","expiration_time":4102444800}`
	tests := []struct {
		name   string
		source object
	}{
		{"a file", object{"file": write(t, "jwt", jwt+"\n")}},
		{"a file that says it is text", object{"file": write(t, "jwt", jwt), "format": object{"type": "text"}}},
		{"a file with JSON", object{"file": write(t, "jwt", wrapped), "format": asJSON}},
		{"a URL with its header", object{"url": "https://idp.test/plain", "headers": object{"Metadata": "True"}}},
		{"a URL with JSON", object{"url": "https://idp.test/json", "headers": object{"Metadata": "True"}, "format": asJSON}},
		{"a program", object{"executable": object{"command": program(t, "echo '"+answer+"'")}}},
		{"a program with quoted arguments", object{"executable": object{"timeout_millis": 5000,
			"command": program(t, `[ "$1" = "two words" ] && [ "$2" = plain ] && echo '`+answer+"'") + ` "two words" plain`}}},
		{"a program that is told of whom", object{"executable": object{"command": program(t,
			`[ "$GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL" = `+mail+` ] && [ "$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE" = 0 ] &&
			[ -n "$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE" ] && [ -n "$GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE" ] && echo '`+answer+"'")}}},
		{"a program's file, without the program", object{"executable": object{"command": "/nonexistent", "output_file": write(t, "out", answer)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			chain, err := w.chain(t, file(tt.source, object{"service_account_impersonation_url": impersonation,
				"service_account_impersonation": object{"token_lifetime_seconds": 1200}}), allowed)
			if err != nil {
				t.Fatal(err)
			}
			lease := w.get(t, chain.Layer, mail)
			if left := time.Until(lease.Expires); left < 19*time.Minute || left > 21*time.Minute {
				t.Errorf("it lives %s, want the 20 min of token_lifetime_seconds", left)
			}
		})
	}
}

func TestWithoutAServiceAccountTheFederatedTokenIsTheLast(t *testing.T) {
	w := newWorld(t, time.Now)
	chain, err := w.chain(t, file(object{"file": write(t, "jwt", w.jwt(t, time.Now(), time.Minute))}), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.get(t, chain.Layer, oidcPool)
	if got := chain.Layer.Status().Layer; got != "mail" || len(chain.Inner) != 1 {
		t.Errorf("the last layer is %q on %d", got, len(chain.Inner))
	}
}
