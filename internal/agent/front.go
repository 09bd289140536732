package agent

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// patience is how long a client waits for a credential that has to be renewed.
const patience = 20 * time.Second

// call is a request that was admitted.
type call struct {
	*http.Request
	uid uint32
	now time.Time // when it came; a credential may be waited for since
}

// answer is what to write. Exactly one of from and refused is set where it
// counts: a credential that was handed out, or a no.
type answer struct {
	status  int
	kind    string // Content-Type
	body    []byte
	header  [][2]string
	from    *Publication
	refused Refusal
}

// form is one protocol on one listener.
type form interface {
	owns(path string) bool
	answer(ctx context.Context, c call) answer
	say(no *refusal) answer // a refusal in the protocol's shape
	name() Form
}

// front is what is published on one listener.
type front struct {
	agent *Agent
	forms []form
}

// add publishes p here. Publications of one form share the form's handler.
func (f *front) add(p Publication) error {
	switch p.Form {
	case IMDS:
		key, err := f.agent.secret(p)
		f.forms = append(f.forms, &imds{agent: f.agent, p: p, key: key})
		return err
	case GCEMetadata:
		f.forms = append(f.forms, &gce{agent: f.agent, p: p})
		return nil
	case AWSContainer:
		key, err := f.agent.secret(p)
		desk := shared(f, func() *containers { return &containers{agent: f.agent, byName: map[string]container{}} })
		desk.byName[p.Name] = container{p, key}
		return err
	case AzureIMDS:
		desk := shared(f, func() *azureIMDS { return &azureIMDS{azure{f.agent, map[string]resource{}}} })
		desk.byResource[oneSlash(p.Resource)] = resource{p: p}
		return nil
	}
	key, err := f.agent.secret(p)
	desk := shared(f, func() *appService { return &appService{azure{f.agent, map[string]resource{}}} })
	desk.byResource[oneSlash(p.Resource)] = resource{p, key}
	return err
}

// shared is the form's handler here, made if it is the first.
func shared[T form](f *front, make func() T) T {
	for _, have := range f.forms {
		if t, yes := have.(T); yes {
			return t
		}
	}
	t := make()
	f.forms = append(f.forms, t)
	return t
}

// ServeHTTP decides who asks, finds the form and writes its answer.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	uid, refused := f.agent.admit(r)
	desk := f.find(r.URL.Path)
	if refused == nil && desk == nil {
		refused = no(http.StatusNotFound, ByNotFound, "nothing is published at this path")
	}
	var a answer
	switch {
	case refused != nil && desk != nil:
		a = desk.say(refused)
	case refused != nil:
		a = plainly(refused)
	default:
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		a = desk.answer(ctx, call{r, uid, f.agent.cfg.Now()})
	}
	f.count(desk, a)
	write(w, a)
}

func (f *front) find(path string) form {
	for _, have := range f.forms {
		if have.owns(path) {
			return have
		}
	}
	return nil
}

// count tells the hooks.
func (f *front) count(desk form, a answer) {
	switch {
	case a.from != nil && a.refused == "":
		f.agent.served(*a.from)
	case a.refused != "":
		var kind Form
		var name string
		if desk != nil {
			kind = desk.name()
		}
		if a.from != nil {
			name = a.from.Name
		}
		f.agent.refused(kind, name, a.refused)
	}
}

// write is the one place that writes. Nothing here may be kept by a cache, or
// read as a page.
func write(w http.ResponseWriter, a answer) {
	h := w.Header()
	for _, field := range a.header {
		h.Set(field[0], field[1])
	}
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, PUT")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

const (
	plainText = "text/plain; charset=utf-8"
	jsonText  = "application/json"
)

func text(s string) answer { return answer{status: http.StatusOK, kind: plainText, body: []byte(s)} }

// plainly is a refusal as text.
func plainly(r *refusal) answer {
	return answer{status: r.status, kind: plainText, body: []byte(r.words + "\n"), refused: r.why}
}

var errNotReady = errors.New("the agent is not ready yet")
