package agent

import (
	"strings"
	"testing"
)

func TestWhatCannotBePublishedIsRefusedByName(t *testing.T) {
	role := Publication{Form: IMDS, Name: "role", Listen: listen, Keys: someKeys}
	with := func(change func(*Publication)) Publication {
		p := role
		change(&p)
		return p
	}
	mail := Publication{Form: GCEMetadata, Name: "mail", Listen: listen, Bearer: someToken}
	vm := Publication{Form: AzureIMDS, Name: "vm", Listen: listen, Bearer: someToken, Resource: "r"}
	tok := Publication{Form: File, Name: "tok", Bearer: someToken, Path: "/run/tok"}
	tests := []struct {
		name string
		pubs []Publication
		says []string
	}{
		{"two of one form on one listener", []Publication{role, with(func(p *Publication) { p.Name = "other" })},
			[]string{`publish other as imds: listen 127.0.0.1:0 with imds is taken by "role"`}},
		{"two metadata servers", []Publication{mail, mail}, []string{"publish mail as gce-metadata"}},
		{"one resource twice", []Publication{vm, {Form: AzureIMDS, Name: "other", Listen: listen, Bearer: someToken, Resource: "r/"}}, []string{"publish other as azure-imds", `taken by "vm"`}},
		{"one container twice", []Publication{{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys}, {Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys}}, []string{"/container/a"}},
		{"one path twice", []Publication{tok, {Form: File, Name: "other", Keys: someKeys, Path: "/run/../run/tok"}}, []string{"publish other as file", "/run/tok"}},
		{"a path that is a secret's", []Publication{tok, {Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys, TokenFile: "/run/tok"}}, []string{"publish a as aws-container", `"tok"`}},
		{"a secret with two modes", []Publication{
			{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys, TokenFile: "/run/a"},
			{Form: AWSContainer, Name: "b", Listen: listen, Keys: someKeys, TokenFile: "/run/a", Mode: 0o640},
		}, []string{"publish b as aws-container", "two modes"}},
		{"every one that is wrong", []Publication{with(func(p *Publication) { p.Region = "x" }), with(func(p *Publication) { p.Session = "y" })}, []string{`region "x"`, `session "y"`}},
		{"a listener for all", []Publication{with(func(p *Publication) { p.Listen = "0.0.0.0:80" })}, []string{"not loopback"}},
		{"a listener for the network", []Publication{with(func(p *Publication) { p.Listen = "10.0.0.1:80" })}, []string{"not loopback"}},
		{"a listener without a host", []Publication{with(func(p *Publication) { p.Listen = ":80" })}, []string{"not loopback"}},
		{"a listener by name", []Publication{with(func(p *Publication) { p.Listen = "metadata.google.internal:80" })}, []string{"not loopback"}},
		{"another link-local address", []Publication{with(func(p *Publication) { p.Listen = "169.254.1.1:80" })}, []string{"not loopback"}},
		{"no listener", []Publication{with(func(p *Publication) { p.Listen = "" })}, []string{"HOST:PORT"}},
		{"a socket without a path", []Publication{with(func(p *Publication) { p.Listen = "unix:" })}, []string{"names no path"}},
		{"a token as keys", []Publication{with(func(p *Publication) { p.Keys, p.Bearer = nil, someToken })}, []string{"takes AWS keys"}},
		{"keys as a token", []Publication{{Form: GCEMetadata, Name: "a", Listen: listen, Keys: someKeys}}, []string{"takes a token"}},
		{"keys for Azure", []Publication{{Form: AzureIMDS, Name: "a", Listen: listen, Keys: someKeys, Resource: "r"}}, []string{"takes an access token"}},
		{"Azure without a resource", []Publication{{Form: AzureIMDS, Name: "a", Listen: listen, Bearer: someToken}}, []string{"resource is missing"}},
		{"a file of both", []Publication{{Form: File, Name: "a", Keys: someKeys, Bearer: someToken, Path: "/x"}}, []string{"either"}},
		{"a file of neither", []Publication{{Form: File, Name: "a", Path: "/x"}}, []string{"either"}},
		{"a file without a path", []Publication{{Form: File, Name: "a", Keys: someKeys}}, []string{"path is missing"}},
		{"a file that listens", []Publication{{Form: File, Name: "a", Keys: someKeys, Path: "/x", Listen: listen}}, []string{"listen has no meaning"}},
		{"keys as a bare token", []Publication{{Form: File, Name: "a", Keys: someKeys, Path: "/x", Format: formatToken}}, []string{"cannot hold AWS keys"}},
		{"a token as a profile", []Publication{{Form: File, Name: "a", Bearer: someToken, Path: "/x", Format: formatAWS}}, []string{"holds AWS keys"}},
		{"an unknown format", []Publication{{Form: File, Name: "a", Bearer: someToken, Path: "/x", Format: "xml"}}, []string{`format "xml"`}},
		{"a file for all", []Publication{{Form: File, Name: "a", Bearer: someToken, Path: "/x", Mode: 0o644}}, []string{"mode 0644"}},
		{"an unknown form", []Publication{{Form: "spiffe", Name: "a", Listen: listen, Bearer: someToken}}, []string{`form "spiffe"`}},
		{"a name that is a path", []Publication{with(func(p *Publication) { p.Name = "../x" })}, []string{"the name"}},
		{"no name", []Publication{with(func(p *Publication) { p.Name = "" })}, []string{"the name"}},
		{"another form's setting", []Publication{{Form: GCEMetadata, Name: "a", Listen: listen, Bearer: someToken, Region: "eu-west-1", TokenFile: "/x"}}, []string{"region has no meaning", "token_file has no meaning"}},
		{"an account with a line break", []Publication{{Form: GCEMetadata, Name: "a", Listen: listen, Bearer: someToken, Account: "a\nb"}}, []string{"account"}},
		{"no place for a secret", []Publication{{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys}}, []string{"token_file is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := New(Config{Publish: tt.pubs})
			if err == nil {
				t.Fatalf("New = %v", a)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("New says %q, want %q", err, s)
				}
			}
		})
	}
}

func TestWhatMayShareAListener(t *testing.T) {
	pubs := append(everything(), everything()...)
	for i := range pubs[5:] {
		p := &pubs[5+i]
		p.Name += "2"
		switch p.Form {
		case IMDS, GCEMetadata:
			p.Listen = "[::1]:4620"
		case AzureIMDS, AzureAppService:
			p.Resource = "https://management.azure.com"
		}
	}
	pubs = append(pubs, Publication{Form: IMDS, Name: "lo", Listen: "169.254.169.254:80", Keys: someKeys},
		Publication{Form: IMDS, Name: "s", Listen: "unix:/run/s", Keys: someKeys},
		Publication{Form: IMDS, Name: "l", Listen: "localhost:80", Keys: someKeys})
	a, err := New(Config{Publish: pubs, Dir: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pubs {
		if a.Handler(p.Listen) == nil {
			t.Errorf("%s has no handler", p)
		}
	}
	if a.Handler("127.0.0.1:1") != nil {
		t.Error("a listener where nothing is published has a handler")
	}
}
