package verify

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify/skew"
)

// Bounds and defaults of an Issuer's policy.
const (
	DefaultLeeway = 30 * time.Second
	MaxLeeway     = 60 * time.Second // FAPI 2.0 section 5.3.2.1: never further ahead
	leastLeeway   = time.Second
	aheadAlways   = 10 * time.Second // FAPI 2.0 section 5.3.2.1: iat and nbf this far ahead always pass
	maxName       = 2048             // bytes of an issuer or audience
)

// A Verifier judges tokens by one Config. It is safe for concurrent use; what it
// remembers of tokens changes no verdict.
type Verifier struct {
	issuers  map[string][]policy
	required map[string][]string // by issuer: what any of its policies requires
	asked    []string            // the issuers with Introspect, in their order
	ended    func(kid string, c *token.Claims, now time.Time) error
	first    First
	skew     *skew.Book
	cache    *cache // nil: none
}

// policy is an Issuer with its defaults filled in.
type policy struct {
	Issuer
	audiences []string // Audience alone, for tokens to share; read only
	holder    Holder   // Keys, if it is one
}

// New checks cfg and returns a Verifier. The error names every field that is
// wrong, not only the first.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{
		issuers: make(map[string][]policy), required: make(map[string][]string),
		ended: cfg.Ended, first: cfg.First, skew: cfg.Skew, cache: newCache(cfg.CacheBytes),
	}
	if v.skew == nil {
		v.skew = skew.New()
	}
	var wrong []error
	if len(cfg.Issuers) == 0 {
		wrong = append(wrong, errors.New("verify: issuers: name at least one"))
	}
	if cfg.CacheBytes < 0 {
		wrong = append(wrong, fmt.Errorf("verify: CacheBytes: %d is negative", cfg.CacheBytes))
	}
	for i, is := range cfg.Issuers {
		for _, err := range append(is.check(), v.clash(is)...) {
			wrong = append(wrong, fmt.Errorf("verify: issuers[%d]%w", i, err))
		}
		v.add(is)
	}
	if len(v.asked) > maxAsked {
		wrong = append(wrong, fmt.Errorf("verify: issuers: %d have Introspect; at most %d may be asked about one token", len(v.asked), maxAsked))
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return v, nil
}

func (v *Verifier) add(is Issuer) {
	if is.Introspect != nil && !slices.Contains(v.asked, is.URL) {
		v.asked = append(v.asked, is.URL)
	}
	for _, name := range is.Required {
		if all := v.required[is.URL]; !slices.Contains(all, name) {
			v.required[is.URL] = append(all, name)
		}
	}
	p := policy{Issuer: is.withDefaults(), audiences: []string{is.Audience}}
	p.holder, _ = is.Keys.(Holder)
	v.issuers[is.URL] = append(v.issuers[is.URL], p)
}

// clash returns what is wrong with is beside the entries before it.
func (v *Verifier) clash(is Issuer) (wrong []error) {
	if v.has(is.URL, is.Audience) {
		wrong = append(wrong, fmt.Errorf(": %q with audience %q is named twice", is.URL, is.Audience))
	}
	if v.mixes(is) {
		wrong = append(wrong, fmt.Errorf(".SubjectFrom: %q is accepted with an audience too, and a token for another service would be taken for a user of that name; one or the other for one issuer", is.URL))
	}
	if slices.ContainsFunc(v.issuers[is.URL], func(p policy) bool { return (p.Introspect == nil) != (is.Introspect == nil) }) {
		wrong = append(wrong, fmt.Errorf(".Introspect: %q has another entry that differs in this; an issuer is asked about all its tokens or about none", is.URL))
	}
	return wrong
}

func (v *Verifier) has(issuer, audience string) bool {
	return slices.ContainsFunc(v.issuers[issuer], func(p policy) bool { return p.Audience == audience })
}

// mixes reports whether "aud" is a user in one entry of is's issuer and a
// service in another. A token says nothing about which it means.
func (v *Verifier) mixes(is Issuer) bool {
	return slices.ContainsFunc(v.issuers[is.URL], func(p policy) bool { return (p.SubjectFrom == "") != (is.SubjectFrom == "") })
}

func (is Issuer) withDefaults() Issuer {
	if is.Profile == "" {
		is.Profile = RFC9068
	}
	if len(is.Algorithms) == 0 {
		is.Algorithms = []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA}
	}
	is.Algorithms = slices.Clone(is.Algorithms)
	is.Required = slices.Clone(is.Required)
	switch is.Leeway {
	case 0:
		is.Leeway = DefaultLeeway
	case NoLeeway:
		is.Leeway = 0
	}
	if is.MaxLifetime == 0 {
		is.MaxLifetime = is.Profile.maxLifetime()
	}
	return is
}

func (p Profile) maxLifetime() time.Duration {
	if p == JWT {
		return 24 * time.Hour
	}
	return time.Hour
}

// check returns one error for each wrong field; each begins with its name.
func (is Issuer) check() []error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("."+format, args...)) }
	if err := is.checkURL(); err != nil {
		add("URL: %w", err)
	}
	if err := is.checkAudience(); err != nil {
		add("Audience: %w", err)
	}
	if err := checkAlgorithms(is.Algorithms); err != nil {
		add("Algorithms: %w", err)
	}
	if is.Profile != "" && is.Profile != RFC9068 && is.Profile != JWT {
		add("Profile: %q is neither %q nor %q", is.Profile, RFC9068, JWT)
	}
	if l := is.Leeway; l != 0 && l != NoLeeway && (l < leastLeeway || l > MaxLeeway) {
		add("Leeway: %s is not within %s to %s; fix the clocks rather than allow more", l, leastLeeway, MaxLeeway)
	}
	if is.MaxLifetime < 0 || is.MaxLifetime > 0 && is.MaxLifetime < time.Second {
		add("MaxLifetime: %s is under 1s", is.MaxLifetime)
	}
	if is.SubjectFrom != "" && (is.SubjectFrom != "aud" || is.Profile != JWT) {
		add("SubjectFrom: %q: only \"aud\", and only with profile %q", is.SubjectFrom, JWT)
	}
	if err := checkRequired(is.Required); err != nil {
		add("Required: %w", err)
	}
	if is.Keys == nil && is.Introspect == nil {
		add("Keys: required")
	}
	if is.Introspect != nil && is.SubjectFrom != "" {
		add("Introspect: not with SubjectFrom")
	}
	return wrong
}

func (is Issuer) checkURL() error {
	if err := checkName(is.URL); err != nil {
		return err
	}
	if is.Profile == JWT {
		return nil // "iss" is any StringOrURI, RFC 7519 section 4.1.1
	}
	u, err := url.Parse(is.URL)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a URL", is.URL)
	case u.Scheme == "https" && u.Host != "", u.Scheme == "http" && token.Loopback(u.Hostname()):
	default:
		return fmt.Errorf("%q is neither https nor http on a loopback host", is.URL)
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(is.URL, "#") || u.User != nil {
		return fmt.Errorf("%q: an issuer has no query, fragment or user (RFC 8414 section 2)", is.URL)
	}
	return nil
}

func (is Issuer) checkAudience() error {
	if is.SubjectFrom != "" {
		if is.Audience != "" {
			return errors.New("the audience is the user where SubjectFrom is \"aud\"; leave it out")
		}
		return nil
	}
	if strings.Contains(is.Audience, "*") {
		return fmt.Errorf("%q: an audience is one service, never a wildcard", is.Audience)
	}
	return checkName(is.Audience)
}

func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("required")
	case len(s) > maxName:
		return fmt.Errorf("%d bytes; at most %d", len(s), maxName)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%q holds a control character", s)
	}
	return nil
}

func checkAlgorithms(algs []token.Algorithm) error {
	known := []token.Algorithm{token.ES256, token.ES384, token.RS256, token.PS256, token.EdDSA, token.HS256}
	for i, alg := range algs {
		if !slices.Contains(known, alg) {
			return fmt.Errorf("%q is none of %v", alg, known)
		}
		if slices.Contains(algs[:i], alg) {
			return fmt.Errorf("%s is named twice", alg)
		}
	}
	return nil
}

// maxRequired is how many further claims a policy may demand.
const maxRequired = 32

func checkRequired(names []string) error {
	if len(names) > maxRequired {
		return fmt.Errorf("%d names; at most %d", len(names), maxRequired)
	}
	for i, name := range names {
		if err := checkName(name); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("%q is named twice", name)
		}
	}
	return nil
}
