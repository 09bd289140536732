package agent

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Place is where one publication is found by a program.
type Place struct {
	Form   Form
	Name   string // the credential's
	URL    string // of the listener, without a path: "http://127.0.0.1:4620"; empty: file
	File   string // the file itself, or the file that holds Secret
	Secret string // what clients present; only azure-app-service has it in the environment
	Format string // file: what it holds
}

// Places are the publications of the credentials named, or of all. base gives
// the URL of a listener by its Listen. Prepare comes first.
func (a *Agent) Places(base func(listen string) string, names ...string) ([]Place, error) {
	var all []Place
	var wrong []error
	for _, p := range a.cfg.Publish {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		place, err := a.placeOf(p, base)
		all, wrong = append(all, place), append(wrong, err)
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(p Place) bool { return p.Name == n }) {
			wrong = append(wrong, fmt.Errorf("credential %.100q is not published", n))
		}
	}
	return all, errors.Join(wrong...)
}

func (a *Agent) placeOf(p Publication, base func(string) string) (Place, error) {
	place := Place{Form: p.Form, Name: p.Name}
	if p.Form == File {
		place.File, place.Format = p.Path, p.format()
		return place, nil
	}
	place.URL = strings.TrimSuffix(base(p.Listen), "/")
	s := a.secretOf(p)
	if s == nil || p.Form == IMDS { // what its tokens are made with is nobody's to know
		return place, nil
	}
	secret, err := s.text()
	if err != nil {
		return place, fmt.Errorf("%s: %w", p, err)
	}
	place.File, place.Secret = s.path, secret
	return place, nil
}

// Environment is what a program needs to find the places, as NAME=VALUE in
// alphabetical order. It is an error if two of them need the same variable.
func Environment(places []Place) ([]string, error) {
	owner := map[string]string{}
	var env []string
	var wrong []error
	for _, p := range places {
		vars, err := p.variables()
		wrong = append(wrong, err)
		for _, v := range vars {
			name, _, _ := strings.Cut(v, "=")
			if who := owner[name]; who != "" && !slices.Contains(env, v) {
				wrong = append(wrong, fmt.Errorf("%s can be %s or %s, not both: name one of them", name, who, p.Name))
			}
			if owner[name] == "" {
				env = append(env, v)
			}
			owner[name] = p.Name
		}
	}
	slices.Sort(env)
	return env, errors.Join(wrong...)
}

// variables are those that unmodified clients read (the table in docs names who
// reads which).
func (p Place) variables() ([]string, error) {
	switch p.Form {
	case IMDS:
		return []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + p.URL}, nil
	case AWSContainer:
		return []string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + p.URL + containerPath + p.Name,
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + p.File,
		}, nil
	case GCEMetadata:
		return p.google()
	case AzureIMDS:
		return []string{"AZURE_POD_IDENTITY_AUTHORITY_HOST=" + p.URL}, nil
	case AzureAppService:
		return []string{"IDENTITY_ENDPOINT=" + p.URL + servicePath, "IDENTITY_HEADER=" + p.Secret}, nil
	case File:
		return p.file(), nil
	}
	return nil, fmt.Errorf("form %.100q is not known", p.Form)
}

// google is a host and port without a scheme; one client wants the address alone
// for its first look.
func (p Place) google() ([]string, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s as %s: %.100q has no host", p.Name, p.Form, p.URL)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return nil, fmt.Errorf("%s as %s: %.100q has no port", p.Name, p.Form, p.URL)
	}
	return []string{"GCE_METADATA_HOST=" + u.Host, "GCE_METADATA_IP=" + u.Host}, nil
}

func (p Place) file() []string {
	if p.Format == formatAWS {
		return []string{"AWS_SHARED_CREDENTIALS_FILE=" + p.File}
	}
	return []string{"LONGCASE_TOKEN_FILE_" + variable(p.Name) + "=" + p.File}
}

// variable is a name in the letters of an environment variable.
func variable(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9'):
			return r
		}
		return '_'
	}, name)
}
