package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/fresh/aws"
	"github.com/longcase/longcase/fresh/oauth"
	"github.com/longcase/longcase/internal/agent"
	"github.com/longcase/longcase/internal/agent/render"
	"github.com/longcase/longcase/internal/chains"
	"github.com/longcase/longcase/internal/config"
)

// newAgent makes the chains that are published, and what publishes them. What
// did not change since the shift before goes on with the leases it has.
func (s *shift) newAgent(c *config.Agent, before *shift) error {
	cfg := chains.Config{Agent: c, Names: published(c), Getenv: s.house.getenv,
		Observe: s.house.transition, Prompt: s.house.prompt}
	if before != nil {
		cfg.Before = before.chains
	}
	var err error
	if s.chains, err = chains.New(cfg); err != nil {
		return err
	}
	list := make([]agent.Publication, len(c.Publish))
	for i, p := range c.Publish {
		if list[i], err = publication(s.chains, p); err != nil {
			return fmt.Errorf("agent.publish[%d]: %w", i, err)
		}
	}
	s.agent, err = agent.New(agent.Config{Publish: list, AllowUID: c.AllowUID, Dir: s.house.data.Dir,
		Hooks: s.house.metrics.Agent(), Log: s.house.log.With("room", "agent"), Now: s.house.now})
	return err
}

// published names the credentials that programs get, each once.
func published(c *config.Agent) []string {
	names := []string{}
	seen := map[string]bool{}
	for _, p := range c.Publish {
		if !seen[p.Credential] {
			names = append(names, p.Credential)
		}
		seen[p.Credential] = true
	}
	return names
}

// agentListeners are the places where something is published, each once.
func agentListeners(c *config.Agent) []string {
	var all []string
	seen := map[string]bool{}
	for _, p := range c.Publish {
		if p.Listen != "" && !seen[p.Listen] {
			all = append(all, p.Listen)
		}
		seen[p.Listen] = true
	}
	return all
}

func publication(c *chains.Chains, p config.Publisher) (agent.Publication, error) {
	out := agent.Publication{Form: agent.Form(p.As), Name: p.Credential, Listen: p.Listen, Region: p.Region, Session: p.Session,
		TokenFile: p.TokenFile, Account: p.Account, Project: p.Project, ProjectNumber: p.ProjectNumber, Resource: p.Resource, Path: p.Path, Format: p.Format}
	if p.Mode != "" {
		mode, err := strconv.ParseUint(p.Mode, 8, 32)
		if err != nil {
			return out, fmt.Errorf("mode: %w", err)
		}
		out.Mode = fs.FileMode(mode)
	}
	if layer := c.Keys(p.Credential); layer != nil {
		out.Keys = keysOf(layer)
	}
	if layer := c.Token(p.Credential); layer != nil {
		out.Bearer = bearerOf(layer)
	}
	if p.As == string(agent.GCEMetadata) && c.HasIdentity(p.Credential) {
		if c.IsIdentity(p.Credential) {
			out.Bearer = nil
		}
		out.Identity = func(ctx context.Context, audience string) (render.Token, error) {
			return bearerOf(c.IDToken(p.Credential, audience))(ctx)
		}
	}
	return out, nil
}

func keysOf(layer *fresh.Layer[aws.Keys]) agent.Keys {
	return func(ctx context.Context) (render.Keys, error) {
		l, err := layer.Get(ctx)
		return render.Keys{AccessKeyID: l.Value.AccessKeyID, SecretAccessKey: l.Value.SecretAccessKey,
			SessionToken: l.Value.SessionToken, Expires: l.Expires}, err
	}
}

func bearerOf(layer *fresh.Layer[fresh.Token]) agent.Bearer {
	return func(ctx context.Context) (render.Token, error) {
		l, err := layer.Get(ctx)
		return render.Token{Value: l.Value.Value, Type: l.Value.Type, Scope: l.Value.Scope, Expires: l.Expires}, err
	}
}

// transition counts and logs what happened to a layer.
func (h *house) transition(e fresh.Event) {
	h.metrics.Credential(e)
	if strings.HasSuffix(e.Layer, chains.Identity) {
		h.metrics.Forget(e.Layer) // got when asked for, of any audience: its end is no alarm
	}
	log := h.log.With("room", "agent", "credential", e.Layer)
	switch e.Kind {
	case fresh.Failed:
		log.Warn("a renewal failed", append([]any{"err", e.Err, "again_in", e.Wait.String()}, leaseOf(e)...)...)
	case fresh.ExpiredInHand:
		log.Error("the credential ended before it could be renewed")
	case fresh.RefusedLease:
		log.Info("the credential was refused before its end", leaseOf(e)...)
	default:
		log.Log(context.Background(), levelOf(e.Kind), string(e.Kind), leaseOf(e)...)
	}
}

// leaseOf are the attributes of the lease in hand; those that it has not are left
// out.
func leaseOf(e fresh.Event) []any {
	var attributes []any
	if e.Generation != 0 {
		attributes = append(attributes, "generation", e.Generation)
	}
	if !e.Expires.IsZero() {
		attributes = append(attributes, "expires", e.Expires)
	}
	return attributes
}

// forget ends the metrics of credentials that next does not keep.
func (s *shift) forget(next *shift) {
	kept := map[string]bool{}
	if next.chains != nil {
		for _, status := range next.chains.Statuses() {
			kept[status.Layer] = true
		}
	}
	for _, status := range s.chains.Statuses() {
		if !kept[status.Layer] {
			s.house.metrics.Forget(status.Layer)
		}
	}
}

// prompt asks whoever reads the log to approve a device credential.
func (h *house) prompt(name string, code oauth.DeviceCode) {
	h.log.Warn("a person must approve: open the page and enter the code", "room", "agent", "credential", name,
		"page", code.URI, "code", code.UserCode, "until", code.Expires)
}

// levelOf is quiet about what comes every few seconds, such as a file that is
// the same.
func levelOf(k fresh.Kind) slog.Level {
	if k == fresh.Unchanged {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

var errNotInHand = errors.New("not every one is in hand: readyz of the agent or the console says which")

// credentialsReadyOrNot is credentialsReady without names and reasons.
func (s *shift) credentialsReadyOrNot() error {
	if s.credentialsReady() != nil {
		return errNotInHand
	}
	return nil
}

// credentialsReady says which published credentials, and which of those they
// stand on, are not in hand, each with its reason.
func (s *shift) credentialsReady() error {
	var missing []string
	for _, status := range s.chains.Statuses() {
		switch {
		case status.Generation != 0:
		case status.Err != nil:
			missing = append(missing, status.Err.Error())
		default:
			missing = append(missing, status.Layer+": not got yet")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return errors.New(strings.Join(missing, "; "))
}
