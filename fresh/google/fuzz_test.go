package google

import (
	"errors"
	"strings"
	"testing"

	"github.com/longcase/longcase/fresh"
)

const secretWord = "s3cr3t-w0rd"

func FuzzAccountFile(f *testing.F) {
	f.Add(`{"type":"external_account","audience":"//iam.googleapis.com/a","subject_token_type":"t","credential_source":{"file":"/a","format":{"type":"json","subject_token_field_name":"x"}}}`)
	f.Add(`{"type":"external_account","audience":"a","subject_token_type":"t","credential_source":{"environment_id":"aws1","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials"}}`)
	f.Add(`{"type":"external_account","audience":"a","subject_token_type":"t","credential_source":{"executable":{"command":"a \"b c\"","timeout_millis":5000}},"service_account_impersonation_url":"https://i.test/serviceAccounts/a@b:generateAccessToken"}`)
	f.Add(`{"type":"external_account","universe_domain":"x/y","credential_source":{"certificate":{}}}`)
	f.Add(`{"type":1}`)
	f.Add(``)
	f.Fuzz(func(t *testing.T, content string) {
		account, err := parseAccount("file.json", []byte(content))
		if err != nil {
			var e *fresh.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "file.json") {
				t.Errorf("%v has no reason, or does not name the file", err)
			}
			return
		}
		if account.Audience == "" || len(account.Source.kinds()) != 1 {
			t.Errorf("taken: %q", content)
		}
		if u := account.ImpersonationURL; u != "" && (account.serviceAccount() == "" || !strings.HasPrefix(u, "http")) {
			t.Errorf("impersonation URL %q", u)
		}
		if account.Source.kinds()[0] == "executable" && len(newProgram(account).argv) == 0 {
			t.Error("a program without a name")
		}
	})
}

func FuzzExecutableAnswer(f *testing.F) {
	f.Add(`{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"`+secretWord+`","expiration_time":4102444800}`, true)
	f.Add(`{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"`+secretWord+`"}`, false)
	f.Add(`{"version":1,"success":false,"code":"401","message":"m"}`, false)
	f.Add(`{"version":1,"success":true,"expiration_time":1e400}`, true)
	f.Add(`{"version":1,"success":true,"token_type":"x","id_token":"`+secretWord+`"}`, true)
	f.Add(secretWord, true)
	f.Fuzz(func(t *testing.T, answer string, mustEnd bool) {
		c, err := readExecutable("the program", []byte(answer), mustEnd)
		var e *fresh.Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("%v has no reason", err)
		case err == nil && (c.Value.Value == "" || c.Life == 0 && c.Expires.IsZero()):
			t.Errorf("%q gave no token, or none that ends", answer)
		case err == nil && mustEnd && c.Expires.IsZero():
			t.Errorf("%q is to be kept without an end", answer)
		}
	})
}

func FuzzSubjectTokenFile(f *testing.F) {
	f.Add("e30.eyJleHAiOjF9.x", "text", "")
	f.Add(`{"t":"x"}`, "json", "t")
	f.Add(`{"t":{"t":1}}`, "json", "t")
	f.Add(`[]`, "json", "")
	f.Fuzz(func(t *testing.T, content, kind, field string) {
		value, err := formatFile{kind, field}.read("the file", []byte(content))
		if (err == nil) != (value != "") {
			t.Errorf("value %q, err %v", value, err)
		}
		if end := jwtEnd(value); !end.IsZero() && end.Unix() < 1 {
			t.Errorf("%q ends at %v", value, end)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	f.Add(`{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}`)
	f.Add(`{"type":"service_account","client_email":"a@b","token_uri":"http://x"}`)
	f.Add(`{`)
	f.Fuzz(func(t *testing.T, content string) {
		if key, err := parseKey("key.json", []byte(content)); err == nil && (key.Email == "" || key.PrivateKey != "") {
			t.Errorf("taken: %q", content)
		}
	})
}
