package histories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/longcase/longcase/store"
	"github.com/longcase/longcase/store/embedded"
)

// In the environment, these make the test binary a node on an embedded engine
// that can be killed.
const (
	childDir     = "LONGCASE_TEST_CHILD_DIR"
	childAddress = "LONGCASE_TEST_CHILD_ADDRESS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, serveChild(dir, os.Getenv(childAddress)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveChild serves an issuer and the engine below it until it is killed.
func serveChild(dir, address string) error {
	e, err := embedded.Open(embedded.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	is, err := newIssuer(context.Background(), e, nil)
	if err != nil {
		return err
	}
	go func() { _ = is.Run(context.Background()) }() // it ends with the process
	mux := http.NewServeMux()
	mux.Handle("/", is.Handler())
	mux.HandleFunc("POST "+storePath, func(w http.ResponseWriter, r *http.Request) {
		var c call
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(c.on(r.Context(), e)) // the caller may be gone
	})
	return (&http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}).ListenAndServe()
}

const storePath = "/.store"

// call is one call of an engine in another process.
type call struct {
	Name       string
	ID         store.ID
	Old        uint64
	Kind       store.DocumentKind
	Key        string
	Value      []byte
	Cursor     store.Cursor
	Session    store.Session
	Document   store.Document
	Mark       store.Mark
	Revocation store.Revocation
}

// result is what came of it.
type result struct {
	Err, Text   string
	Session     store.Session
	Document    store.Document
	First       bool
	Entry       store.Entry
	Revocations []store.Revocation
	Cursor      store.Cursor
}

// The errors that keep their identity on the way.
var storeErrors = map[string]error{
	"not found": store.ErrNotFound, "conflict": store.ErrConflict, "unknown": store.ErrUnknown, "ended": store.ErrEnded,
	"too late": store.ErrTooLate, "too large": store.ErrTooLarge, "full": store.ErrFull, "closed": store.ErrClosed,
	"unavailable": store.ErrUnavailable, "canceled": context.Canceled, "deadline": context.DeadlineExceeded,
}

// on makes the call.
func (c call) on(ctx context.Context, e store.Engine) (r result) {
	var err error
	switch c.Name {
	case "Load":
		r.Session, err = e.Sessions().Load(ctx, c.ID)
	case "Create":
		err = e.Sessions().Create(ctx, c.Session)
	case "Replace":
		err = e.Sessions().Replace(ctx, c.Session, store.Generation(c.Old))
	case "Revoke":
		err = e.Sessions().Revoke(ctx, c.ID)
	case "PutDocument":
		err = e.Documents().Put(ctx, c.Document)
	case "GetDocument":
		r.Document, err = e.Documents().Get(ctx, c.Kind, c.ID)
	case "ReplaceDocument":
		err = e.Documents().Replace(ctx, c.Document, c.Old)
	case "First":
		r.First, err = e.Marks().First(ctx, c.Mark)
	case "GetEntry":
		r.Entry, err = e.Registry().Get(ctx, c.Key)
	case "PutEntry":
		err = e.Registry().Put(ctx, c.Key, c.Value, c.Old)
	case "Add":
		err = e.Revocations().Add(ctx, c.Revocation)
	case "Since":
		r.Revocations, r.Cursor, err = e.Revocations().Since(ctx, c.Cursor)
	default:
		err = fmt.Errorf("no call %q", c.Name)
	}
	if err == nil {
		return r
	}
	r.Err, r.Text = "other", err.Error()
	for name, one := range storeErrors {
		if errors.Is(err, one) {
			r.Err = name
		}
	}
	return r
}

// child is a node on an embedded engine, in a process of its own.
type child struct {
	t       *testing.T
	dir     string
	address string
	client  *http.Client
	process *exec.Cmd
}

// startChild starts one that ends with the test.
func startChild(t *testing.T, dir string) *child {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &child{t: t, dir: dir, address: l.Addr().String()}
	c.client = &http.Client{Transport: plainHTTP{c.address, &http.Transport{MaxIdleConnsPerHost: 256}}}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c.start()
	t.Cleanup(c.kill)
	return c
}

// start starts it again where it was killed, and waits until it answers.
func (c *child) start() {
	c.t.Helper()
	c.process = exec.Command(os.Args[0])
	c.process.Env = append(os.Environ(), childDir+"="+c.dir, childAddress+"="+c.address)
	var said bytes.Buffer
	c.process.Stderr = &said
	if err := c.process.Start(); err != nil {
		c.t.Fatal(err)
	}
	for range 1200 {
		if conn, err := net.DialTimeout("tcp", c.address, time.Second); err == nil {
			conn.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	c.kill()
	c.t.Fatalf("the node on the embedded engine does not answer: %s", said.String())
}

// wire is how clients reach its issuer.
func (c *child) wire() wire { return newWire(c.client.Transport) }

// kill ends it at once (SIGKILL).
func (c *child) kill() {
	_ = c.process.Process.Kill() // it may have ended
	_ = c.process.Wait()
}

// The signals of a pause.
const (
	stopped   = syscall.SIGSTOP
	continued = syscall.SIGCONT
)

func (c *child) signal(s syscall.Signal) {
	if err := c.process.Process.Signal(s); err != nil {
		c.t.Error(err)
	}
}

// plainHTTP sends what is meant for the issuer to an address.
type plainHTTP struct {
	address string
	to      http.RoundTripper
}

func (p plainHTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", p.address
	return p.to.RoundTrip(r)
}

// ask makes a call in the child's process. Whatever is lost on the way is
// unknown; a child that cannot be reached did nothing.
func (c *child) ask(ctx context.Context, one call) (result, error) {
	body, err := json.Marshal(one)
	if err != nil {
		return result{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+storePath, bytes.NewReader(body))
	if err != nil {
		return result{}, err
	}
	resp, err := c.client.Do(r)
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return result{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err != nil {
		return result{}, fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	defer resp.Body.Close()
	var got result
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return result{}, fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	switch known, ok := storeErrors[got.Err]; {
	case ok:
		return got, fmt.Errorf("%s: %w", got.Text, known)
	case got.Err != "":
		return got, errors.New(got.Text)
	default:
		return got, nil
	}
}

func (c *child) Sessions() store.Sessions       { return childSessions{c: c} }
func (c *child) Documents() store.Documents     { return childDocuments{c} }
func (c *child) Marks() store.Marks             { return childMarks{c} }
func (c *child) Registry() store.Registry       { return childRegistry{c: c} }
func (c *child) Revocations() store.Revocations { return childRevocations{c} }

type childSessions struct {
	store.Sessions // List is not asked for
	c              *child
}

func (s childSessions) Load(ctx context.Context, id store.ID) (store.Session, error) {
	r, err := s.c.ask(ctx, call{Name: "Load", ID: id})
	return r.Session, err
}

func (s childSessions) Create(ctx context.Context, one store.Session) error {
	_, err := s.c.ask(ctx, call{Name: "Create", Session: one})
	return err
}

func (s childSessions) Replace(ctx context.Context, one store.Session, old store.Generation) error {
	_, err := s.c.ask(ctx, call{Name: "Replace", Session: one, Old: uint64(old)})
	return err
}

func (s childSessions) Revoke(ctx context.Context, id store.ID) error {
	_, err := s.c.ask(ctx, call{Name: "Revoke", ID: id})
	return err
}

type childDocuments struct{ c *child }

func (d childDocuments) Put(ctx context.Context, one store.Document) error {
	_, err := d.c.ask(ctx, call{Name: "PutDocument", Document: one})
	return err
}

func (d childDocuments) Get(ctx context.Context, kind store.DocumentKind, id store.ID) (store.Document, error) {
	r, err := d.c.ask(ctx, call{Name: "GetDocument", Kind: kind, ID: id})
	return r.Document, err
}

func (d childDocuments) Replace(ctx context.Context, one store.Document, old uint64) error {
	_, err := d.c.ask(ctx, call{Name: "ReplaceDocument", Document: one, Old: old})
	return err
}

type childMarks struct{ c *child }

func (m childMarks) First(ctx context.Context, one store.Mark) (bool, error) {
	r, err := m.c.ask(ctx, call{Name: "First", Mark: one})
	return r.First, err
}

type childRegistry struct {
	store.Registry // List and Watch are not asked for
	c              *child
}

func (r childRegistry) Get(ctx context.Context, key string) (store.Entry, error) {
	got, err := r.c.ask(ctx, call{Name: "GetEntry", Key: key})
	return got.Entry, err
}

func (r childRegistry) Put(ctx context.Context, key string, value []byte, old uint64) error {
	_, err := r.c.ask(ctx, call{Name: "PutEntry", Key: key, Value: value, Old: old})
	return err
}

type childRevocations struct{ c *child }

func (v childRevocations) Add(ctx context.Context, one store.Revocation) error {
	_, err := v.c.ask(ctx, call{Name: "Add", Revocation: one})
	return err
}

func (v childRevocations) Since(ctx context.Context, c store.Cursor) ([]store.Revocation, store.Cursor, error) {
	r, err := v.c.ask(ctx, call{Name: "Since", Cursor: c})
	return r.Revocations, r.Cursor, err
}
