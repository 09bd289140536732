package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is a right value for each key of a credential. Sources are below.
var sample = map[string]string{
	"endpoint": "http://127.0.0.1:1", "url": "http://127.0.0.1:1/x", "file": "f", "path": "p", "timeout": "5s",
	"command": "[a, b, b]", "format": "plain", "ttl": "6h", "role": "r", "profile": "p",
	"role_arn": `"arn:aws:iam::123456789012:role/a/b"`, "session_name": "se", "external_id": "ex", "region": "us-gov-west-1",
	"duration": "1h", "token_file": "t", "service_account": "a@b.iam.gserviceaccount.com", "delegates": "[c@d.example.com]",
	"account": "default", "resource": "https://vault.azure.net", "tenant": "example.com", "issuer": "https://issuer.test",
	"client": "c", "secret": "{file: s}", "key": "'${KEY}'", "certificate": "c.pem", "audience": "a", "scopes": "[s]",
	"refresh_token": "{file: r}", "state": "s", "grace": "none", "subject_token_type": "jwt", "subject": "s", "algorithm": "ES256", "lifetime": "5m",
	"actor": "jwt", "refresh": "{ahead: 5m}",
}

const sources = "jwt: {kind: jwt-file, path: t}, keys: {kind: aws-profile}, session: {kind: aws-imds-token}"

func sourceOf(m Material) string {
	return map[Material]string{Token: "jwt", AWSKeys: "keys", AWSSession: "session"}[m]
}

// written is a credential x of a kind with these keys.
func written(name string, keys ...string) string {
	var b strings.Builder
	b.WriteString("agent: {credentials: {" + sources + ", x: {kind: " + name)
	for _, key := range keys {
		value := sample[key]
		if key == "from" && len(kinds[name].from) > 0 {
			value = sourceOf(kinds[name].from[0])
		} else if key == "from" {
			value = "jwt"
		}
		b.WriteString(", " + key + ": " + value)
	}
	return b.String() + "}}}"
}

func TestTheTableOfKindsIsTheModel(t *testing.T) {
	used := map[string]bool{"kind": true, "refresh": true}
	for name, k := range kinds {
		for _, key := range strings.Fields(k.needs + " " + k.takes) {
			used[key] = true
		}
		if has(k.needs, "from") != (len(k.from) > 0) {
			t.Errorf("%s: from is needed where the table says what it may be, and nowhere else", name)
		}
	}
	fields := fieldsOf(reflect.TypeFor[Credential]())
	if keys := keysOf(fields); !slices.Equal(slices.Sorted(maps.Keys(used)), slices.Sorted(slices.Values(keys))) {
		t.Errorf("keys of the table %v are not those of Credential %v", slices.Sorted(maps.Keys(used)), keys)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(kinds)), slices.Sorted(slices.Values(fields[0].of))) {
		t.Errorf("kinds of the table are not those of the tag")
	}
	of := fieldsOf(reflect.TypeFor[Publisher]())[1].of
	if !slices.Equal(slices.Sorted(maps.Keys(forms)), slices.Sorted(slices.Values(of))) {
		t.Errorf("forms of the table are not those of the tag")
	}
}

// beside is what a kind needs besides the table: see clientEvidence and meaning.
var beside = map[string]string{"oauth2": "issuer secret", "azure-workload-identity": "resource", "token-exchange": "issuer", "device": "secret", "oauth2-refresh": "issuer secret"}

func TestEachKindSaysWhichKeyIsMissing(t *testing.T) {
	for name, k := range kinds {
		needs := strings.Fields(k.needs + " " + beside[name])
		if _, err := Parse("f", []byte(written(name, needs...))); err != nil {
			t.Errorf("%s with what it needs: %v", name, err)
		}
		for i, key := range strings.Fields(k.needs) {
			_, err := Parse("f", []byte(written(name, slices.Delete(slices.Clone(needs), i, i+1)...)))
			if key == "client" {
				if err == nil {
					t.Errorf("%s without client is taken", name)
				}
				continue
			}
			if want := "agent.credentials." + key + " is missing: kind " + name + " needs it"; !says(err, want) {
				t.Errorf("%s without %s: %v, want %q", name, key, err, want)
			}
		}
	}
}

// TestEachKindRefusesTheKeysOfOthers adds each key of the model to each kind.
func TestEachKindRefusesTheKeysOfOthers(t *testing.T) {
	for name, k := range kinds {
		needs := strings.Fields(k.needs + " " + beside[name])
		for _, f := range fieldsOf(reflect.TypeFor[Credential]()) {
			if f.key == "kind" || slices.Contains(needs, f.key) {
				continue
			}
			_, err := Parse("f", []byte(written(name, append(slices.Clone(needs), f.key)...)))
			switch foreign := "agent.credentials." + f.key + " is not a key of kind " + name + ", which has "; {
			case !has(k.takes, f.key) && f.key != "refresh":
				if err == nil || !strings.Contains(err.Error(), foreign) {
					t.Errorf("%s with %s: %v, want %q", name, f.key, err, foreign)
				}
			case err != nil && strings.Contains(err.Error(), "is not a key of"):
				t.Errorf("%s with its own %s: %v", name, f.key, err)
			}
		}
	}
}

func TestChains(t *testing.T) {
	const role = `role_arn: "arn:aws:iam::123456789012:role/r"`
	tests := []struct{ name, credentials, says string }{
		{"the chain of incident 0", "i: {kind: aws-imds-token}, r: {kind: aws-instance-role, from: i}, g: {kind: google-sts, from: r, audience: a}, m: {kind: google-impersonate, from: g, service_account: a@b.test}", ""},
		{"exec that prints AWS keys", "e: {kind: exec, command: [x], format: aws}, a: {kind: aws-assume-role, from: e, " + role + "}", ""},
		{"exec that prints a token", "e: {kind: exec, command: [x]}, a: {kind: aws-assume-role, from: e, " + role + "}", `from: "e" (exec) gives a token, and kind aws-assume-role needs AWS keys there`},
		{"a token where keys are wanted", "e: {kind: aws-profile}, a: {kind: aws-web-identity, from: e, " + role + "}", `from: "e" (aws-profile) gives AWS keys, and kind aws-web-identity needs a token there`},
		{"the session token is for the instance only", "e: {kind: aws-imds-token}, a: {kind: google-sts, from: e, audience: a}", `gives an IMDSv2 session token, and kind google-sts needs AWS keys or a token there`},
		{"no such credential", "pod: {kind: jwt-file, path: p}, a: {kind: aws-web-identity, from: pdo, " + role + "}", `from: there is no credential "pdo"`},
		{"no such actor", "pod: {kind: jwt-file, path: p}, a: {kind: token-exchange, from: pod, actor: me, issuer: https://i.test, audience: a}", `actor: there is no credential "me"; there are a, pod`},
		{"itself", "a: {kind: google-impersonate, from: a, service_account: a@b.test}", `"a" is got with itself: a <- a`},
		{"a ring of three, told once", "x: {kind: google-impersonate, from: b, service_account: a@b.test}, a: {kind: google-impersonate, from: b, service_account: a@b.test}, b: {kind: google-impersonate, from: c, service_account: a@b.test}, c: {kind: google-impersonate, from: a, service_account: a@b.test}", `"a" is got with itself: a <- b <- c <- a`},
		{"a ring through actor", "p: {kind: jwt-file, path: p}, a: {kind: token-exchange, from: p, actor: a, issuer: https://i.test, audience: a}", `"a" is got with itself: a <- a`},
		{"two ways to one source are no ring", "p: {kind: jwt-file, path: p}, a: {kind: token-exchange, from: p, actor: p, issuer: https://i.test, audience: a}", ""},
		{"a role with a role, for too long", "k: {kind: aws-profile}, a: {kind: aws-assume-role, from: k, " + role + "}, b: {kind: aws-assume-role, from: a, " + role + ", duration: 2h}", "duration is 2h: a role that is assumed with another role"},
		{"a role with an instance's role, for two hours", "i: {kind: aws-imds-token}, k: {kind: aws-instance-role, from: i}, b: {kind: aws-assume-role, from: k, " + role + ", duration: 2h}", ""},
		{"AWS keys have no token type", "k: {kind: aws-profile}, g: {kind: google-sts, from: k, audience: a, subject_token_type: jwt}", "subject_token_type is not for AWS keys"},
		{"a token has no region", "k: {kind: jwt-file, path: p}, g: {kind: google-sts, from: k, audience: a, region: us-east-1}", "region is for AWS keys"},
		{"an ID token has no scopes", "v: {kind: gce-metadata, audience: a, scopes: [s]}", "audience asks kind gce-metadata for an ID token"},
		{"resource and scopes", "p: {kind: jwt-file, path: p}, w: {kind: azure-workload-identity, from: p, tenant: t, client: c, resource: r, scopes: [s]}", "needs either resource or scopes"},
		{"a certificate without its key", "o: {kind: device, issuer: https://i.test, client: c, certificate: c.pem}", "certificate needs its key"},
		{"a proof without a client", "p: {kind: jwt-file, path: p}, x: {kind: token-exchange, from: p, issuer: https://i.test, audience: a, secret: {file: s}}", "client is missing: whose secret or key is it"},
		{"a token endpoint instead of an issuer", "o: {kind: oauth2, endpoint: https://i.test/token, client: c, secret: {file: s}, audience: a}", ""},
		{"neither issuer nor endpoint", "o: {kind: oauth2, client: c, secret: {file: s}, audience: a}", "issuer is missing: kind oauth2 needs it"},
		{"an issuer that is called is a URL", "o: {kind: device, issuer: idp, client: c}", `issuer "idp" is not an https URL`},
		{"a self-signed token of a day", "o: {kind: self-signed, issuer: service-a, audience: a, key: {file: k}, lifetime: 2h}",
			"agent.credentials.lifetime is 2h: a self-signed token lives whole seconds, 1h at most"},
		{"an issuer that only signs is any name", "o: {kind: self-signed, issuer: service-a, audience: a, key: {file: k}}", ""},
		{"a token type nobody knows", "p: {kind: jwt-file, path: p}, g: {kind: google-sts, from: p, audience: a, subject_token_type: jwd}", `"jwd" is not a token type`},
		{"a container's URL twice", "c: {kind: aws-container, url: http://127.0.0.1:1, endpoint: http://127.0.0.1:1}", "has a url and an endpoint"},
		{"a container's token without its URL", "c: {kind: aws-container, token_file: t}", "token_file belongs to url"},
		{"a container at another address", "c: {kind: aws-container, endpoint: http://127.0.0.1:1, token_file: t}", ""},
		{"no program", "e: {kind: exec, command: []}", "command is empty"},
		{"16 links", chainOf(16, "x", false), ""},
		{"17 links", chainOf(17, "x", false), `the chain of "x00" has more than 16 links`},
		{"17 links, from the other end of the alphabet", chainOf(17, "z", true), `the chain of "z16" has more than 16 links`},
		{"a kind that comes later has no material", "v: {kind: spiffe-jwt, audience: a}, g: {kind: google-sts, from: v, audience: a}", `kind "spiffe-jwt" is not in this version`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse("f", []byte("agent: {credentials: {"+tt.credentials+"}}")); !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
		})
	}
}

// chainOf is a chain of n credentials. Their names go up the alphabet, or down.
func chainOf(n int, first string, down bool) string {
	name := func(i int) string {
		if down {
			i = n - 1 - i
		}
		return fmt.Sprintf("%s%02d", first, i)
	}
	parts := []string{}
	for i := range n - 1 {
		parts = append(parts, fmt.Sprintf("%s: {kind: google-impersonate, from: %s, service_account: a@b.test}", name(i), name(i+1)))
	}
	return strings.Join(append(parts, name(n-1)+": {kind: jwt-file, path: p}"), ", ")
}

func TestRefreshIsDurationsOrPercentages(t *testing.T) {
	tests := []struct {
		refresh string
		want    Refresh
		says    string
	}{
		{"{ahead: 33%, buffer: 5%, jitter: 10%}", Refresh{Span{Part: 0.33}, Span{Part: 0.05}, Span{Part: 0.1}}, ""},
		{"{ahead: 5m, buffer: 30s, jitter: 100%}", Refresh{Span{Length: 5 * time.Minute}, Span{Length: 30 * time.Second}, Span{Part: 1}}, ""},
		{"{ahead: 12.5%}", Refresh{Ahead: Span{Part: 0.125}}, ""},
		{"{buffer: 10s}", Refresh{Buffer: Span{Length: 10 * time.Second}}, ""},
		{"{ahead: 0%}", Refresh{}, "above 0% and at most 100%"},
		{"{ahead: 101%}", Refresh{}, "above 0% and at most 100%"},
		{"{ahead: 0s}", Refresh{}, "1s is the least"},
		{"{ahead: 0.33}", Refresh{}, "is not a duration like 90s or a percentage like 33%"},
		{"{ahead: -5%}", Refresh{}, "is not a duration like 90s or a percentage like 33%"},
		{"{ahead: [5%]}", Refresh{}, "not a list"},
		{"{ahead: 5%, buffer: 5%}", Refresh{}, "buffer is 5% and ahead 5%: every renewal would be waited for"},
		{"{ahead: 4%}", Refresh{}, "buffer is 5% and ahead 4%"},
		{"{buffer: 40%}", Refresh{}, "buffer is 40% and ahead 33%"},
		{"{ahead: 30s, buffer: 1m}", Refresh{}, "buffer is 1m and ahead 30s"},
	}
	for _, tt := range tests {
		t.Run(tt.refresh, func(t *testing.T) {
			cfg, err := Parse("f", []byte("agent: {credentials: {a: {kind: jwt-file, path: p, refresh: "+tt.refresh+"}}}"))
			if !says(err, tt.says) {
				t.Fatalf("Parse = %v, want %q", err, tt.says)
			}
			if err == nil && cfg.Agent.Credentials["a"].Refresh != tt.want {
				t.Errorf("refresh = %+v, want %+v", cfg.Agent.Credentials["a"].Refresh, tt.want)
			}
		})
	}
	for wrong, want := range map[string]string{"33 %": "33%", "0.33": "33%", "5 minutes": "5m", "half": "", "%": ""} {
		if got := nearSpan(wrong); got != want {
			t.Errorf("nearSpan(%q) = %q, want %q", wrong, got, want)
		}
	}
}

func TestGraceIsADurationOrNone(t *testing.T) {
	for _, tt := range []struct {
		grace string
		want  time.Duration
		says  string
	}{
		{"30s", 30 * time.Second, ""},
		{"none", -1, ""},
		{"0s", 0, "agent.credentials.grace is 0s: 1s is the least, or none"},
		{"0", 0, `agent.credentials.grace: "0" is not a duration like 90s`},
		{"None", 0, `"None" is not a duration`},
		{"-1s", 0, `"-1s" is not a duration`},
		{"2d", 0, "24h is the most"},
	} {
		for _, kind := range []string{"oauth2-refresh", "device"} {
			cfg, err := Parse("f", []byte("agent: {credentials: {a: {kind: "+kind+", issuer: 'https://i.test', client: c, grace: "+tt.grace+"}}}"))
			if !says(err, tt.says) {
				t.Fatalf("%s: Parse = %v, want %q", tt.grace, err, tt.says)
			}
			if err == nil && cfg.Agent.Credentials["a"].Grace != tt.want {
				t.Errorf("grace %s = %v, want %v", tt.grace, cfg.Agent.Credentials["a"].Grace, tt.want)
			}
		}
	}
	if _, err := Parse("f", []byte("issuer: {url: 'https://i.test', lifetimes: {code: none}}")); !says(err, `"none" is not a duration`) {
		t.Errorf("another duration may be none: %v", err)
	}
}

func TestTheAgentListensForThisMachineOnly(t *testing.T) {
	tests := []struct{ listen, want, says string }{
		{"127.0.0.1:0", "127.0.0.1:0", ""},
		{`"[::1]:4620"`, "[::1]:4620", ""},
		{"localhost:4620", "127.0.0.1:4620", ""},
		{`"[0:0:0:0:0:0:0:1]:04620"`, "[::1]:4620", ""},
		{"unix:agent.sock", "unix:dir/agent.sock", ""},
		{"unix:/run/agent.sock", "unix:/run/agent.sock", ""},
		{"unix:///run/agent.sock", "", "is not unix:PATH"},
		{"unix:", "", "names no socket"},
		{"/run/agent.sock", "", "nor unix:PATH"},
		{"0.0.0.0:4620", "", "is beyond loopback"},
		{"169.254.169.254:80", "169.254.169.254:80", ""}, // an alias of lo
		{"10.0.0.1:4620", "", "is beyond loopback"},
		{`":4620"`, "", "is beyond loopback"},
		{"agent.example.com:4620", "", "is beyond loopback"},
		{"127.0.0.1:4600", "", "issuer listens on 127.0.0.1:4600 already"},
		{"LocalHost:4600", "", "issuer listens on 127.0.0.1:4600 already"},
		{`"[::ffff:127.0.0.1]:4600"`, "", "issuer listens on 127.0.0.1:4600 already"},
	}
	for _, tt := range tests {
		for _, text := range []string{
			"agent: {listen: " + tt.listen + ", credentials: {a: {kind: aws-profile}}}",
			"agent: {credentials: {a: {kind: aws-profile}}, publish: [{credential: a, as: imds, listen: " + tt.listen + "}]}",
		} {
			cfg, err := Parse("dir/f", []byte("issuer: {url: https://issuer.test}\n"+text))
			if !says(err, tt.says) {
				t.Fatalf("%s: %v, want %q", text, err, tt.says)
			}
			if err == nil && cfg.Agent.Listen != tt.want && cfg.Agent.Publish[0].Listen != tt.want {
				t.Errorf("%s: listens on %s, want %s", text, cfg.Agent.Listen, tt.want)
			}
		}
	}
}

func TestPublishers(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, publish, says string }{
		{"each form once", "{credential: k, as: imds}, {credential: k, as: aws-container}, {credential: t, as: gce-metadata}, {credential: z, as: azure-imds}, {credential: z, as: azure-app-service}, {credential: t, as: file, path: p}", ""},
		{"two of a form on one listener", "{credential: k, as: imds}, {credential: k, as: imds}", "k has imds on 127.0.0.1:4620 already"},
		{"two of a form on two listeners", "{credential: k, as: imds}, {credential: k, as: imds, listen: 127.0.0.1:4621}", ""},
		{"two of a form on a free port, which is one", "{credential: k, as: imds, listen: 127.0.0.1:0}, {credential: k, as: imds, listen: 127.0.0.1:0}", "k has imds on 127.0.0.1:0 already"},
		{"one listener in two spellings", "{credential: k, as: imds, listen: 127.0.0.1:5690}, {credential: k, as: imds, listen: localhost:5690}", "k has imds on 127.0.0.1:5690 already"},
		{"two forms on one listener in two spellings", "{credential: k, as: imds, listen: 127.0.0.1:5690}, {credential: t, as: gce-metadata, listen: localhost:5690}", ""},
		{"both loopback addresses", "{credential: k, as: imds, listen: 127.0.0.1:5690}, {credential: k, as: imds, listen: '[::1]:5690'}", ""},
		{"two containers: their paths differ", "{credential: k, as: aws-container}, {credential: k2, as: aws-container}", ""},
		{"one container twice", "{credential: k, as: aws-container}, {credential: k, as: aws-container}", "k has aws-container of k on 127.0.0.1:4620 already"},
		{"azure for two resources", "{credential: z, as: azure-imds}, {credential: w, as: azure-imds}", ""},
		{"azure for one resource twice", "{credential: z, as: azure-imds}, {credential: w, as: azure-imds, resource: 'https://z'}", "z has azure-imds of https://z on 127.0.0.1:4620 already"},
		{"azure for nobody", "{credential: t, as: azure-imds}", "agent.publish.resource is missing"},
		{"one file twice", "{credential: t, as: file, path: p}, {credential: k, as: file, path: p}", "t has dir/p already: give one of them a path of its own"},
		{"one file in two spellings", "{credential: t, as: file, path: HERE/dir//p}, {credential: k, as: file, path: x/../p}", " already: give one of them a path of its own"},
		{"a file over the configuration", "{credential: t, as: file, path: x/../f}", "agent.publish.path: this is the configuration file itself"},
		{"a secret over the configuration", "{credential: k, as: aws-container, token_file: HERE/dir/f}", "agent.publish.token_file: this is the configuration file itself"},
		{"the listener named as the agent's", "{credential: k, as: imds}, {credential: k, as: imds, listen: 127.0.0.1:4620}", "k has imds on 127.0.0.1:4620 already"},
		{"imds of a token", "{credential: t, as: imds}", `as: imds needs AWS keys, and "t" (jwt-file) gives a token`},
		{"gce-metadata of keys", "{credential: k, as: gce-metadata}", `as: gce-metadata needs a token, and "k" (aws-profile) gives AWS keys`},
		{"a file of a session token", "{credential: i, as: file, path: p}", `as: file needs a token or AWS keys`},
		{"a file of a token in the format of keys", "{credential: t, as: file, path: p, format: aws-credentials}", "format aws-credentials does not fit"},
		{"a file over its own source", "{credential: t, as: file, path: ./pod.jwt}", `agent.publish.path: credential "t" is got with this file`},
		{"a file over the source below", "{credential: w, as: file, path: pod.jwt}", `agent.publish.path: credential "t" is got with this file`},
		{"a file that another's chain reads", "{credential: g, as: file, path: pod.jwt}", ""},
		{"a file over a secret", "{credential: t, as: file, path: g.secret}", `agent.publish.path: credential "g" is got with this file`},
		{"a file over a token_file", "{credential: k, as: imds, token_file: p}, {credential: t, as: file, path: p}", `agent.publish.path: a publisher keeps its token_file there`},
		{"a secret over a state", "{credential: k, as: imds, token_file: g.state}", `agent.publish.token_file: credential "g" is got with this file`},
		{"a file without a path", "{credential: t, as: file}", "agent.publish.path is missing: as: file needs it"},
		{"a file that listens", "{credential: t, as: file, path: p, listen: 127.0.0.1:1}", "agent.publish.listen is not a key of as: file, which has credential, as, path, format, mode"},
		{"a file for everyone", "{credential: t, as: file, path: p, mode: '0644'}", "is not one of 0600, 0640, 0400 and 0440"},
		{"a mode as people write it", "{credential: t, as: file, path: p, mode: 0640}", ""},
		{"a token_file for the group", "{credential: k, as: aws-container, token_file: tf, mode: 0640}, {credential: z, as: azure-app-service, token_file: tz, mode: 0440}", ""},
		{"a session key for the group", "{credential: k, as: imds, token_file: tf, mode: 0640}", "agent.publish.mode is not a key of as: imds"},
		{"no such credential", "{credential: kk, as: imds}", `there is no credential "kk"`},
		{"a form that comes later", "{credential: t, as: spiffe}", "is not in this version"},
		{"a form nobody knows", "{credential: t, as: gcp-metadata}", `unknown agent.publish.as "gcp-metadata"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "agent: {credentials: {t: {kind: jwt-file, path: pod.jwt}, g: {kind: oauth2-refresh, issuer: 'https://i', client: c, state: g.state, secret: {file: g.secret}}, k: {kind: aws-profile}, k2: {kind: aws-profile}, i: {kind: aws-imds-token}, z: {kind: azure-imds, resource: 'https://z'}, w: {kind: azure-workload-identity, from: t, tenant: t, client: c, scopes: ['https://w/.default']}}, publish: [" + strings.ReplaceAll(tt.publish, "HERE", here) + "]}"
			if _, err := Parse("dir/f", []byte(text)); !says(err, tt.says) {
				t.Errorf("Parse = %v, want %q", err, tt.says)
			}
		})
	}
}

func TestTwoRoomsDoNotShareAnAddressHoweverItIsSpelt(t *testing.T) {
	_, err := Parse("f", []byte("gate: {listen: 127.0.0.1:4610, accept: [{issuer: https://i.test, audience: a}]}\nconsole: {listen: localhost:4610}"))
	if !says(err, "console.listen: gate listens on localhost:4610 already") {
		t.Errorf("Parse = %v", err)
	}
}

func TestAProgramWithASlashStartsAtTheFilesFolder(t *testing.T) {
	for _, tt := range []struct{ file, program, want string }{
		{"dir/f", "./leak.sh", "dir/leak.sh"},
		{"dir/f", "bin/leak", "dir/bin/leak"},
		{"dir/f", "../leak", "./leak"},
		{"f", "./leak.sh", "./leak.sh"},
		{"/etc/f", "./leak.sh", "/etc/leak.sh"},
		{"dir/f", "/bin/leak", "/bin/leak"},
		{"dir/f", "leak", "leak"},
	} {
		cfg, err := Parse(tt.file, []byte("agent: {credentials: {e: {kind: exec, command: ["+tt.program+", ./argument]}}}"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := cfg.Agent.Credentials["e"].Command, []string{tt.want, "./argument"}; !slices.Equal(got, want) {
			t.Errorf("%s in %s = %q, want %q", tt.program, tt.file, got, want)
		}
	}
}

func TestDefaultsOfTheAgent(t *testing.T) {
	cfg := mustParse(t, `data: d
agent:
  credentials:
    k: {kind: aws-profile}
    t: {kind: oauth2-refresh, issuer: https://i.test, client: c}
    x: {kind: token-exchange, from: t, issuer: https://i.test, audience: a, subject_token_type: access_token}
    m: {kind: oauth2, issuer: https://i.test, client: c, certificate: {file: c.pem}, key: {file: k.pem}, audience: a}
    g: {kind: google-sts, from: k, audience: a}
    j: {kind: google-sts, from: t, audience: a}
    r: {kind: aws-assume-role, from: k, role_arn: "arn:aws:iam::123456789012:role/r"}
    long-long-long-long-long-long-long-long-long-long-long-long-long: {kind: aws-assume-role, from: k, role_arn: "arn:aws:iam::123456789012:role/r"}
  publish: [{credential: k, as: imds}, {credential: k, as: aws-container}, {credential: k, as: file, path: p}]
`)
	a := cfg.Agent
	p := a.Publish
	got := []string{a.Listen, a.Credentials["t"].State, a.Credentials["x"].SubjectTokenType, a.Credentials["m"].Certificate.File,
		a.Credentials["g"].Region, a.Credentials["j"].Region, a.Credentials["r"].SessionName,
		a.Credentials["long-long-long-long-long-long-long-long-long-long-long-long-long"].SessionName,
		p[0].Listen, p[0].Session, p[2].Format, p[2].Mode, p[2].Listen}
	want := []string{"127.0.0.1:4620", "dir/d/agent/t.state", "urn:ietf:params:oauth:token-type:access_token", "dir/c.pem",
		"us-east-1", "", "longcase-r", "longcase-long-long-long-long-long-long-long-long-long-long-long-",
		"127.0.0.1:4620", "sliding", "aws-credentials", "0600", ""}
	if !slices.Equal(got, want) {
		t.Errorf("defaults = %q\n       want %q", got, want)
	}
}

func TestUsersAreNumbers(t *testing.T) {
	cfg := mustParse(t, "agent: {allow_uid: [0, 1000, 4294967294], credentials: {a: {kind: aws-profile}}}")
	if want := []uint32{0, 1000, 4294967294}; !slices.Equal(cfg.Agent.AllowUID, want) {
		t.Errorf("allow_uid = %v, want %v", cfg.Agent.AllowUID, want)
	}
	for _, wrong := range []string{"4294967295", "-1", "alice", "1.5", "'1000'", "[1]"} {
		_, err := Parse("f", []byte("agent: {allow_uid: ["+wrong+"], credentials: {a: {kind: aws-profile}}}"))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Column != 21 {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
