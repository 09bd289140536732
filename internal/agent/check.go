package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/longcase/longcase/token"
)

var (
	nameShape    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	regionShape  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}$`)
	accountShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,511}$`)
)

// linkLocal are the addresses of the metadata services themselves: EC2, GCE and
// Azure; ECS; EC2 over IPv6. Someone may have made one an alias of loopback.
var linkLocal = []netip.Addr{
	netip.AddrFrom4([4]byte{169, 254, 169, 254}),
	netip.AddrFrom4([4]byte{169, 254, 170, 2}),
	netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54}),
}

// ours reports whether a listener may have this address.
func ours(a netip.Addr) bool {
	return a.Unmap().IsLoopback() || slices.Contains(linkLocal, a.Unmap())
}

func (p Publication) String() string { return fmt.Sprintf("publish %s as %s", p.Name, p.Form) }

// checkAll names what cannot work, one publication at a time and then together.
func checkAll(all []Publication) error {
	var wrong []error
	taken := map[string]Publication{}
	for _, p := range all {
		if err := p.check(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", p, err))
			continue
		}
		place := p.place()
		if other, yes := taken[place]; yes {
			wrong = append(wrong, fmt.Errorf("%s: %s is taken by %q: give one of them another", p, place, other.Name))
			continue
		}
		taken[place] = p
	}
	return errors.Join(wrong...)
}

// place is what a publication has for itself alone, in words.
func (p Publication) place() string {
	switch p.Form {
	case File:
		return "path " + filepath.Clean(p.Path)
	case AWSContainer:
		return fmt.Sprintf("listen %s with /container/%s", p.Listen, p.Name)
	case AzureIMDS, AzureAppService:
		return fmt.Sprintf("listen %s with %s for %s", p.Listen, p.Form, oneSlash(p.Resource))
	}
	return fmt.Sprintf("listen %s with %s", p.Listen, p.Form)
}

func (p Publication) check() error {
	var wrong []error
	say := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	say(!nameShape.MatchString(p.Name), "the name %.100q must be letters, digits, '.', '_' and '-', and begin with a letter or digit", p.Name)
	say(!slices.Contains([]Form{IMDS, AWSContainer, GCEMetadata, AzureIMDS, AzureAppService, File}, p.Form), "form %.100q is not known", p.Form)
	say(!slices.Contains([]uint32{0, 0o600, 0o400, 0o440, 0o640}, uint32(p.Mode)), "mode %04o is not one of 0600, 0400, 0640 and 0440", uint32(p.Mode))
	if p.Form == File {
		wrong = append(wrong, p.checkFile())
	} else {
		wrong = append(wrong, checkListen(p.Listen))
		say(p.Path != "" || p.Format != "", "path and format belong to the form file")
	}
	wrong = append(wrong, p.checkSource(), p.checkDetails())
	return errors.Join(wrong...)
}

// checkSource wants the kind of credential that the form can say.
func (p Publication) checkSource() error {
	keys, bearer, identity := p.Keys != nil, p.Bearer != nil, p.Identity != nil
	switch p.Form {
	case IMDS, AWSContainer:
		if !keys || bearer || identity {
			return errors.New("the form takes AWS keys, and the credential is none")
		}
	case GCEMetadata:
		if keys || (!bearer && !identity) {
			return errors.New("the form takes a token, and the credential is none")
		}
	case AzureIMDS, AzureAppService:
		if keys || identity || !bearer {
			return errors.New("the form takes an access token, and the credential is none")
		}
	case File:
		if keys == bearer || identity {
			return errors.New("a file takes either AWS keys or a token")
		}
	}
	return nil
}

// checkDetails wants the settings of the form and no other form's.
func (p Publication) checkDetails() error {
	var wrong []error
	only := func(name, value string, forms ...Form) {
		if value != "" && !slices.Contains(forms, p.Form) {
			wrong = append(wrong, fmt.Errorf("%s has no meaning for this form", name))
		}
	}
	only("region", p.Region, IMDS)
	only("session", p.Session, IMDS)
	only("token_file", p.TokenFile, IMDS, AWSContainer, AzureAppService)
	only("account", p.Account, GCEMetadata, AzureIMDS, AzureAppService)
	only("project", p.Project, GCEMetadata)
	only("project_number", p.ProjectNumber, GCEMetadata)
	only("resource", p.Resource, AzureIMDS, AzureAppService)
	say := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	azure := p.Form == AzureIMDS || p.Form == AzureAppService
	say(p.Region != "" && !regionShape.MatchString(p.Region), "region %.100q is not one, such as eu-west-1", p.Region)
	say(!slices.Contains([]string{"", sliding, strict}, p.Session), "session %.100q must be %s or %s", p.Session, sliding, strict)
	say(p.Account != "" && !accountShape.MatchString(p.Account), "account %.100q holds what an account cannot", p.Account)
	say(azure && p.Resource == "", "resource is missing: the one that the token is for, such as https://management.azure.com/")
	say(strings.ContainsAny(p.Project+p.ProjectNumber+p.Resource, "\r\n"), "a value holds a line break")
	return errors.Join(wrong...)
}

func (p Publication) checkFile() error {
	switch {
	case p.Path == "":
		return errors.New("path is missing")
	case p.Listen != "":
		return errors.New("listen has no meaning for a file")
	case !slices.Contains([]string{"", formatToken, formatAWS, formatJSON}, p.Format):
		return fmt.Errorf("format %.100q must be %s, %s or %s", p.Format, formatToken, formatAWS, formatJSON)
	case p.Format == formatToken && p.Keys != nil:
		return fmt.Errorf("format %s cannot hold AWS keys: use %s or %s", formatToken, formatAWS, formatJSON)
	case p.Format == formatAWS && p.Bearer != nil:
		return fmt.Errorf("format %s holds AWS keys, and the credential is a token: use %s or %s", formatAWS, formatToken, formatJSON)
	}
	return nil
}

// checkListen wants loopback, a Unix socket or a metadata service's address.
func checkListen(listen string) error {
	if path, yes := strings.CutPrefix(listen, "unix:"); yes {
		if path == "" {
			return errors.New("listen unix: names no path")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen %.100q is not HOST:PORT or unix:PATH", listen)
	}
	a, _ := netip.ParseAddr(host)
	if !token.Loopback(host) && (!a.IsValid() || !ours(a)) {
		return fmt.Errorf("listen %.100q is not loopback: credentials are published to this machine only", listen)
	}
	return nil
}
