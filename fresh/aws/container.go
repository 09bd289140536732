package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/ask"
)

const containerService = "the container's credential endpoint"

// ContainerConfig is where a container gets its keys: ECS, EKS Pod Identity,
// Greengrass, or anyone who speaks as they do.
type ContainerConfig struct {
	URL       string       // the full URI (AWS_CONTAINER_CREDENTIALS_FULL_URI): https, or http to loopback and the two link-local services
	TokenFile string       // the file with what Authorization says, read for each request
	Token     string       `json:"-"` // or that itself; neither: no Authorization
	HTTP      *http.Client // default ask.Direct
}

// Format implements fmt.Formatter: the token does not print.
func (c ContainerConfig) Format(f fmt.State, verb rune) {
	type bare ContainerConfig
	c.Token = ""
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), bare(c))
}

// Check names every field that cannot work.
func (c ContainerConfig) Check() error {
	var wrong []error
	if err := checkLocal(c.URL, "169.254.170.2", "169.254.170.23", "fd00:ec2::23"); err != nil {
		wrong = append(wrong, err)
	}
	if c.Token != "" && c.TokenFile != "" {
		wrong = append(wrong, fresh.Fail(fresh.Misconfigured, "a token and a token file: only one of them can be sent"))
	}
	return errors.Join(wrong...)
}

// Container gets the keys of a container. Without an Expiration, keys with a
// session token live 5 min; those of a user are asked for again every 5 min.
func Container(cfg ContainerConfig) fresh.Root[Keys] {
	wrong := cfg.Check()
	cfg.HTTP = unled(cfg.HTTP, ask.Direct)
	return func(ctx context.Context, _ time.Time) (fresh.Credential[Keys], error) {
		if wrong != nil {
			return fresh.Credential[Keys]{}, misconfigured(wrong)
		}
		authorization, err := cfg.authorization()
		if err != nil {
			return fresh.Credential[Keys]{}, err
		}
		a, err := cfg.ask(ctx, authorization)
		if err != nil {
			return fresh.Credential[Keys]{}, err
		}
		return containerKeys(a, authorization)
	}
}

func (c ContainerConfig) ask(ctx context.Context, authorization string) (ask.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return ask.Answer{}, fresh.Fail(fresh.Misconfigured, "%.200q is not a URL", c.URL)
	}
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return ask.Do(c.HTTP, req, containerService)
}

func (c ContainerConfig) authorization() (string, error) {
	v := c.Token
	if c.TokenFile != "" {
		b, err := ask.File(c.TokenFile)
		if err != nil {
			return "", &fresh.Error{Reason: fresh.Unavailable, Detail: "the token file", Err: err}
		}
		if v = strings.TrimRight(string(b), "\r\n"); v == "" {
			return "", fresh.Fail(fresh.Malformed, "the token file %s is empty", c.TokenFile)
		}
	}
	if !visible(strings.ReplaceAll(v, " ", "")) {
		return "", fresh.Fail(fresh.Malformed, "the authorization token holds what is not printable ASCII")
	}
	return v, nil
}

func containerKeys(a ask.Answer, authorization string) (fresh.Credential[Keys], error) {
	if a.Status != http.StatusOK {
		var said struct{ Code, Message string }
		_ = json.Unmarshal(a.Body, &said)
		hint := ""
		if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
			hint = "it does not take the authorization token"
		}
		return fresh.Credential[Keys]{}, refusal(a, containerService, strings.TrimSpace(said.Code+" "+said.Message), hint, authorization)
	}
	d, err := parseDocument(containerService, a.Body)
	if err != nil {
		return fresh.Credential[Keys]{}, err
	}
	return d.credential(containerService, a.Date)
}
