package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSocket bounds the path of a Unix socket, in bytes (sun_path of unix(7)).
const maxSocket = 100

// metadataHosts are the metadata services' own addresses: one may be an alias of
// loopback, for programs that take no other. They are read only.
var metadataHosts = []string{"169.254.169.254", "169.254.170.2", "fd00:ec2::254"}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// oneSpelling is an address as the kernel knows it: localhost is 127.0.0.1, where
// a listener of that name opens. What is no address stays as it is.
func oneSpelling(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	return net.JoinHostPort(host, port)
}

// checkLocal wants a place on this machine: loopback, or a Unix socket.
func checkLocal(s string) *fault {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		switch {
		case path == "" || strings.HasSuffix(path, "/"):
			return wrong(quote(s)+" names no socket: unix:PATH", "")
		case strings.HasPrefix(path, "//"):
			return wrong(quote(s)+" is not unix:PATH", "unix:"+filepath.Clean(path))
		case len(path) > maxSocket:
			return wrong(quote(s)+" is longer than a socket's path may be (100 bytes)", "")
		}
		return nil
	}
	if strings.HasPrefix(s, "/") {
		return wrong(quote(s)+" is not loopback host and port, nor unix:PATH", "unix:"+s)
	}
	if f := checkAddress(s); f != nil {
		return f
	}
	if !loopbackAddress(s) && !slices.Contains(metadataHosts, hostOf(s)) {
		return wrong(quote(s)+" is beyond loopback: credentials are published for this machine only, on loopback or unix:PATH", "")
	}
	return nil
}

// meaning judges what several keys of one kind say together.
func (l *loader) meaning(c *Credential, a *Agent) {
	from := a.Credentials[c.From]
	switch c.Kind {
	case "aws-assume-role":
		l.roleChaining(c, from)
	case "google-sts":
		l.subjectOfAWS(c, from)
	case "google-impersonate", "google-service-account", "gce-metadata":
		if l.given(&c.Audience) && l.given(&c.Scopes) {
			l.wrong(&c.Audience, "", "agent.credentials.audience asks kind %s for an ID token, and scopes for an access token: one of the two", c.Kind)
		}
	case "azure-workload-identity":
		if l.given(&c.Resource) == l.given(&c.Scopes) {
			l.wrong(c, "", "agent.credentials: kind %s needs either resource or scopes", c.Kind)
		}
	case "aws-container":
		l.container(c)
	case "self-signed":
		if c.Lifetime > time.Hour || c.Lifetime%time.Second != 0 {
			l.wrong(&c.Lifetime, "1h", "agent.credentials.lifetime is %s: a self-signed token lives whole seconds, 1h at most", formatDuration(c.Lifetime))
		}
	case "exec":
		l.program(c)
	}
	l.issuerOf(c)
}

// program makes the path of a program start at the file's folder. A name without
// a slash is looked for in PATH.
func (l *loader) program(c *Credential) {
	switch {
	case l.empty(&c.Command):
		l.wrong(&c.Command, "", "agent.credentials.command is empty: name the program")
	case len(c.Command) > 0 && strings.Contains(c.Command[0], "/"):
		c.Command[0] = l.resolve(c.Command[0])
		if !strings.Contains(c.Command[0], "/") { // the folder is the current one
			c.Command[0] = "./" + c.Command[0]
		}
	}
}

// container takes the endpoint for the URL: the service has one.
func (l *loader) container(c *Credential) {
	switch {
	case l.given(&c.URL) && l.given(&c.Endpoint):
		l.wrong(&c.Endpoint, "", "agent.credentials has a url and an endpoint: kind aws-container takes them for the same")
	case l.given(&c.Endpoint):
		c.URL = c.Endpoint
	case l.given(&c.TokenFile) && !l.given(&c.URL):
		l.wrong(&c.TokenFile, "", "agent.credentials.token_file belongs to url, which is missing: without url both come from the container's environment")
	}
}

// roleChaining tells STS's own limit before it does: a role assumed with another
// role's credentials lives an hour at most (IAM User Guide, "Role chaining").
func (l *loader) roleChaining(c *Credential, from *Credential) {
	if from == nil || c.Duration <= time.Hour || from.Kind != "aws-assume-role" && from.Kind != "aws-web-identity" {
		return
	}
	l.wrong(&c.Duration, "1h", "agent.credentials.duration is %s: a role that is assumed with another role (%s) lives 1h at most",
		formatDuration(c.Duration), quote(c.From))
}

// defaultRegion is whose STS is asked where the file names no region.
const defaultRegion = "us-east-1"

// subjectOfAWS keeps apart what only one kind of subject token has.
func (l *loader) subjectOfAWS(c *Credential, from *Credential) {
	switch {
	case from == nil:
	case from.Gives() == AWSKeys && l.given(&c.SubjectTokenType):
		l.wrong(&c.SubjectTokenType, "", "agent.credentials.subject_token_type is not for AWS keys, which are sent as a signed request: leave it out")
	case from.Gives() == AWSKeys && !l.given(&c.Region):
		c.Region = defaultRegion
	case from.Gives() == Token && l.given(&c.Region):
		l.wrong(&c.Region, "", "agent.credentials.region is for AWS keys, and %s gives a token: leave it out", quote(c.From))
	}
}

// issuerOf wants a URL of an issuer that is called, or of its token endpoint.
func (l *loader) issuerOf(c *Credential) {
	if has(kinds[c.Kind].takes, "issuer") && !l.given(&c.Issuer) && !l.given(&c.Endpoint) {
		l.wrong(c, "", "agent.credentials.issuer is missing: kind %s needs it: the token service; or endpoint: its token endpoint", c.Kind)
	}
	if f := checkURL(c.Issuer); f != nil && c.Issuer != "" && c.Kind != "self-signed" {
		l.wrong(&c.Issuer, f.near, "agent.credentials.issuer %s", f.message)
	}
}
