package agent

import (
	"slices"
	"strings"
	"testing"
)

func TestTheEnvironmentNamesEveryPlace(t *testing.T) {
	dir := t.TempDir()
	a := prepared(t, Config{Dir: dir, Publish: append(everything(),
		Publication{Form: File, Name: "b-token", Bearer: someToken, Path: "/run/b"},
		Publication{Form: File, Name: "s3", Keys: someKeys, Path: "/run/s3"})})
	places, err := a.Places(func(at string) string { return "http://" + strings.Replace(at, ":0", ":4620", 1) + "/" })
	if err != nil {
		t.Fatal(err)
	}
	got, err := Environment(places)
	want := []string{
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + dir + "/container/role.token",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:4620/container/role",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:4620",
		"AWS_SHARED_CREDENTIALS_FILE=/run/s3",
		"AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:4620",
		"GCE_METADATA_HOST=127.0.0.1:4620",
		"GCE_METADATA_IP=127.0.0.1:4620",
		"IDENTITY_ENDPOINT=http://127.0.0.1:4620/msi/token",
		"IDENTITY_HEADER=" + secretText(t, a, AzureAppService),
		"LONGCASE_TOKEN_FILE_B_TOKEN=/run/b",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Environment = %q, %v", got, err)
	}
}

func TestPlacesOfTheCredentialsNamed(t *testing.T) {
	a := prepared(t, Config{Publish: everything()})
	base := func(string) string { return "http://127.0.0.1:1" }
	places, err := a.Places(base, "role", "mail")
	if err != nil || len(places) != 3 {
		t.Errorf("Places = %v, %v", places, err)
	}
	if _, err := a.Places(base, "role", "rule"); err == nil || !strings.Contains(err.Error(), `"rule" is not published`) {
		t.Errorf("Places = %v", err)
	}
	early, err := New(Config{Publish: everything(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.Places(base); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("before Prepare: %v", err)
	}
}

func TestOneVariableHasOneValue(t *testing.T) {
	tests := []struct {
		name   string
		places []Place
		says   string
	}{
		{"two roles", []Place{{Form: IMDS, Name: "a", URL: "http://127.0.0.1:1"}, {Form: IMDS, Name: "b", URL: "http://127.0.0.1:2"}}, "AWS_EC2_METADATA_SERVICE_ENDPOINT can be a or b"},
		{"names that differ by a dash", []Place{{Form: File, Name: "a-b", File: "/1"}, {Form: File, Name: "a.b", File: "/2"}}, "LONGCASE_TOKEN_FILE_A_B can be a-b or a.b"},
		{"a server without a port", []Place{{Form: GCEMetadata, Name: "a", URL: "http://127.0.0.1"}}, "has no port"},
		{"a server that is a socket", []Place{{Form: GCEMetadata, Name: "a", URL: "unix:/run/s"}}, "has no host"},
		{"an unknown form", []Place{{Form: "x"}}, "is not known"},
	}
	for _, tt := range tests {
		if env, err := Environment(tt.places); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q, %v", tt.name, env, err)
		}
	}
	same := []Place{{Form: AzureIMDS, Name: "a", URL: "http://127.0.0.1:1"}, {Form: AzureIMDS, Name: "b", URL: "http://127.0.0.1:1"}}
	if env, err := Environment(same); err != nil || len(env) != 1 {
		t.Errorf("two resources of one endpoint: %q, %v", env, err)
	}
}
