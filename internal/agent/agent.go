package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/longcase/longcase/internal/agent/render"
)

// A Form is a shape in which a credential is published.
type Form string

// The forms.
const (
	IMDS            Form = "imds"              // AWS instance metadata, version 2
	AWSContainer    Form = "aws-container"     // AWS container credentials, at /container/NAME
	GCEMetadata     Form = "gce-metadata"      // Google metadata server
	AzureIMDS       Form = "azure-imds"        // Azure instance metadata
	AzureAppService Form = "azure-app-service" // App Service managed identity, at /msi/token
	File            Form = "file"              // a file that is replaced as a whole
)

// Keys gets AWS keys that are live; an error is a *fresh.Error or the context's.
type Keys func(context.Context) (render.Keys, error)

// Bearer gets a token that is live.
type Bearer func(context.Context) (render.Token, error)

// Identity gets a live identity token for an audience.
type Identity func(ctx context.Context, audience string) (render.Token, error)

// Publication is one credential in one form. The forms imds and aws-container
// need Keys; the others Bearer, but gce-metadata may have Identity beside it or
// alone, and file takes either Keys or Bearer.
type Publication struct {
	Form   Form
	Name   string // the credential's; it is the role's name of imds
	Listen string // of all forms but file: "127.0.0.1:4620", or "unix:/path"

	Keys     Keys
	Bearer   Bearer
	Identity Identity

	Region        string      // imds: what the placement says; empty: 404
	Session       string      // imds: "sliding" (default) or "strict"
	TokenFile     string      // the secret of imds, aws-container, azure-app-service; default below Config.Dir
	Account       string      // gce-metadata: the service account's email; azure: the identity's id, if clients ask for one
	Project       string      // gce-metadata: the project's id; empty: 404
	ProjectNumber string      // gce-metadata: empty: 404
	Resource      string      // azure: the one served
	Path          string      // file
	Format        string      // file: "token" (default for Bearer), "aws-credentials" (default for Keys) or "json"
	Mode          fs.FileMode // of Path or TokenFile; default 0600; 0400, 0440 and 0640 are the others
}

// Hooks are called as things happen; nil ones are not. They must not block.
type Hooks struct {
	Served  func(f Form, name string)                 // a credential was handed out, or written
	Refused func(f Form, name string, reason Refusal) // f and name are empty where they were not known yet
}

// Config is what an Agent needs.
type Config struct {
	Publish  []Publication
	AllowUID []uint32 // served besides the agent's own uid and root
	Dir      string   // where secrets stand that no TokenFile places: Dir/container/NAME.token, Dir/imds/…, Dir/identity/…
	Hooks    Hooks
	Log      *slog.Logger     // default slog.Default()
	Now      func() time.Time // default time.Now; the wall clock
}

// Agent publishes. Make one with New.
type Agent struct {
	cfg     Config
	uid     uint32             // our own
	fronts  map[string]*front  // by Listen
	secrets map[string]*secret // by file
	files   []*file
}

// New checks cfg. It does no I/O and starts nothing. The error names every
// publication that cannot work, not only the first.
func New(cfg Config) (*Agent, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := checkAll(cfg.Publish); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, uid: uint32(os.Geteuid()), fronts: map[string]*front{}, secrets: map[string]*secret{}}
	var wrong []error
	for _, p := range cfg.Publish {
		wrong = append(wrong, a.add(p))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return a, nil
}

// add puts one publication in its place.
func (a *Agent) add(p Publication) error {
	if p.Form == File {
		a.addFile(p)
		return nil
	}
	f := a.fronts[p.Listen]
	if f == nil {
		f = &front{agent: a}
		a.fronts[p.Listen] = f
	}
	return f.add(p)
}

// Handler answers what is published on listen. Its server must be Bound. It is
// nil if nothing is published there.
func (a *Agent) Handler(listen string) http.Handler {
	if f := a.fronts[listen]; f != nil {
		return f
	}
	return nil
}

// Prepare makes the secrets that clients read from files, or takes over those
// that an earlier run left: clients that hold one keep working. Call it before
// saying that the agent is ready; until then every request is refused.
func (a *Agent) Prepare() error {
	var wrong []error
	for _, s := range a.secrets {
		wrong = append(wrong, s.prepare(a.uid))
	}
	return errors.Join(wrong...)
}

// Run keeps the published files fresh until ctx ends, and returns nil then. A
// credential that cannot be had, or a file that cannot be written, is logged and
// tried again.
func (a *Agent) Run(ctx context.Context) error {
	var files sync.WaitGroup
	for _, f := range a.files {
		files.Go(func() { f.run(ctx) })
	}
	<-ctx.Done()
	files.Wait()
	return nil
}

// Retire removes the files that a has published and next, which may be nil, does
// not: nobody keeps them fresh any more. a must have ended its Run.
func (a *Agent) Retire(next *Agent) {
	kept := map[string]bool{}
	if next != nil {
		for _, f := range next.files {
			kept[filepath.Clean(f.p.Path)] = true
		}
		for _, s := range next.secrets {
			kept[filepath.Clean(s.path)] = true
		}
	}
	for _, f := range a.files {
		if !kept[filepath.Clean(f.p.Path)] {
			f.retire()
		}
	}
}

func (a *Agent) served(p Publication) {
	if h := a.cfg.Hooks.Served; h != nil {
		h(p.Form, p.Name)
	}
}

func (a *Agent) refused(f Form, name string, why Refusal) {
	if h := a.cfg.Hooks.Refused; h != nil {
		h(f, name, why)
	}
}
