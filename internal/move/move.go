package move

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/longcase/longcase/store"
)

// The answers that are no. Nothing was copied, and nothing was changed but where
// the error says so.
var (
	ErrEmpty    = errors.New("the source is empty")
	ErrNotEmpty = errors.New("the target is not empty")
	ErrForeign  = errors.New("the target is a half-finished copy of another store")
	ErrStale    = errors.New("the source took writes since this copy of it began")
	ErrReadOnly = errors.New("the target is read only")
	ErrDiffers  = errors.New("the target differs from the source")
)

// Config is what a copy needs. Source, Target and Now are required.
type Config struct {
	Source, Target store.Movable
	From, To       string // what people call the two; without secrets

	Now      func() time.Time // the clock of both stores
	Workers  int              // imports at once; default 64
	SaveEach int              // records between two saves of the place: what is imported twice at most; default 4096
	Unproven bool             // do not compare the two at the end

	Progress func(Progress)               // called now and then by one goroutine; may be nil
	Wait     func(context.Context, error) // before an import that failed for now is repeated; default: 1 s
}

// Progress is how far a copy has come.
type Progress struct {
	Step    Step
	Records Counts // copied by this and earlier runs, or compared
}

// Step is what a copy is at.
type Step string

// The steps, in their order.
const (
	Freezing  Step = "waiting until nobody writes to the source"
	Copying   Step = "copying"
	Reading   Step = "reading the source once more"
	Comparing Step = "comparing the target with it"
)

// Counts is a number of records of each kind.
type Counts struct {
	Sessions    int64 `json:"sessions"`
	Documents   int64 `json:"documents"`
	Marks       int64 `json:"marks"`
	Revocations int64 `json:"revocations"`
	Entries     int64 `json:"entries"`
}

// Total is the number of all.
func (c Counts) Total() int64 {
	return c.Sessions + c.Documents + c.Marks + c.Revocations + c.Entries
}

func (c *Counts) add(r store.Record) {
	switch {
	case r.Session != nil:
		c.Sessions++
	case r.Document != nil:
		c.Documents++
	case r.Mark != nil:
		c.Marks++
	case r.Revocation != nil:
		c.Revocations++
	case r.Entry != nil:
		c.Entries++
	}
}

// Result is a finished copy.
type Result struct {
	ID       string    // of the copy
	Began    time.Time // of its first run
	Finished time.Time
	Records  Counts // copied; those at the place of an interruption may count twice
	Compared Counts // found in the target and the same in the source, unless Unproven
	Resumed  bool   // an earlier run began it
	Already  bool   // an earlier run finished it: this one did nothing
}

// Run copies cfg.Source into cfg.Target, or goes on with a copy that was
// interrupted. After an error that is none of this package's own, and after ctx
// ended, it can be called again.
func Run(ctx context.Context, cfg Config) (Result, error) {
	m := &mover{Config: cfg.withDefaults()}
	if err := m.open(ctx); err != nil {
		return Result{}, err
	}
	if !m.page.Finished.IsZero() {
		m.already = true
		return m.result(), nil
	}
	if err := m.freeze(ctx); err != nil {
		return Result{}, err
	}
	steps := []func(context.Context) error{m.copy, m.untouched}
	if !cfg.Unproven {
		steps = append(steps, m.compare, m.untouched)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return m.result(), err
		}
	}
	m.page.Finished = m.Now().UTC().Truncate(time.Second)
	return m.result(), m.save(ctx)
}

func (cfg Config) withDefaults() Config {
	if cfg.Workers <= 0 {
		cfg.Workers = 64
	}
	if cfg.SaveEach <= 0 {
		cfg.SaveEach = 4096
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	if cfg.Wait == nil {
		cfg.Wait = waitSecond
	}
	return cfg
}

func waitSecond(ctx context.Context, _ error) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// mover is one run of a copy.
type mover struct {
	Config
	page    page
	version uint64 // of the page in the target's registry
	resumed bool
	already bool
}

func (m *mover) result() Result {
	return Result{
		ID: m.page.ID, Began: m.page.Began, Finished: m.page.Finished, Records: m.page.Records,
		Compared: m.page.Compared, Resumed: m.resumed, Already: m.already,
	}
}

// open finds the page of an earlier run, or begins one in an empty target.
func (m *mover) open(ctx context.Context) error {
	switch reason, err := m.Target.ReadOnly(ctx); {
	case err != nil:
		return fmt.Errorf("%s: %w", m.To, err)
	case reason != "":
		return fmt.Errorf("%w: %s is %q", ErrReadOnly, m.To, reason)
	}
	found, err := m.load(ctx)
	if err != nil {
		return err
	}
	if found {
		m.resumed = true
		return m.same(ctx)
	}
	if err := m.begins(ctx); err != nil {
		return err
	}
	m.page = page{ID: rand.Text(), From: m.From, Began: m.Now().UTC().Truncate(time.Second)}
	return m.save(ctx)
}

// same refuses the page of another copy than one of this source, and of this
// source before it took writes.
func (m *mover) same(ctx context.Context) error {
	if !m.page.Frozen { // the earlier run got no further than its page
		m.page.From = m.From
		return m.begins(ctx)
	}
	reason, err := m.Source.ReadOnly(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", m.From, err)
	case strings.Contains(reason, m.page.ID):
		return nil
	case !m.page.Finished.IsZero():
		return fmt.Errorf("%w: %s holds a finished copy of %s (copy %s): begin with an empty one", ErrNotEmpty, m.To, m.page.From, m.page.ID)
	case m.page.From != m.From:
		return fmt.Errorf("%w: %s holds a part of %s (copy %s): go on with that one, or begin with an empty target", ErrForeign, m.To, m.page.From, m.page.ID)
	default:
		return fmt.Errorf("%w: what %s holds may be older than what %s holds now (copy %s): begin with an empty target", ErrStale, m.To, m.From, m.page.ID)
	}
}

// untouched refuses a source that somebody let take writes while it was copied:
// what was copied first may be older than what it holds now.
func (m *mover) untouched(ctx context.Context) error {
	reason, err := m.Source.ReadOnly(ctx)
	if err == nil && !strings.Contains(reason, m.page.ID) {
		err = fmt.Errorf("%w (copy %s): somebody made it writable meanwhile: begin with an empty target", ErrStale, m.page.ID)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.From, err)
	}
	return nil
}

// begins refuses a target that holds anything, and a source that holds nothing:
// most likely it is not the one that was meant.
func (m *mover) begins(ctx context.Context) error {
	switch what, err := first(ctx, m.Target); {
	case err != nil:
		return fmt.Errorf("%s: %w", m.To, err)
	case what != "":
		return fmt.Errorf("%w: %s holds %s, and no copy that could go on", ErrNotEmpty, m.To, what)
	}
	switch what, err := first(ctx, m.Source); {
	case err != nil:
		return fmt.Errorf("%s: %w", m.From, err)
	case what == "":
		return fmt.Errorf("%w: is %s the right name? every store that was served holds keys", ErrEmpty, m.From)
	}
	return nil
}

var errFound = errors.New("move: found one")

// first names a record of s; empty: there is none.
func first(ctx context.Context, s store.Movable) (what string, err error) {
	err = s.Export(ctx, "", func(r store.Record, _ store.Place) error {
		if isPage(r) { // removed
			return nil
		}
		what = r.String()
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return what, err
}

// freeze sets the source read only, by this copy's name; an older reason stays
// beside it, since it may be another copy's.
func (m *mover) freeze(ctx context.Context) error {
	if m.page.Frozen {
		return nil
	}
	m.Progress(Progress{Step: Freezing})
	old, err := m.Source.ReadOnly(ctx)
	if err == nil { // set already or not: only SetReadOnly says that nobody writes any more
		err = m.Source.SetReadOnly(ctx, m.reason(old))
	}
	if err != nil {
		return fmt.Errorf("%s: set read only: %w", m.From, err)
	}
	m.page.Frozen = true
	return m.save(ctx)
}

func (m *mover) reason(old string) string {
	if strings.Contains(old, m.page.ID) {
		return old
	}
	r := fmt.Sprintf("copied to %s, begun %s (copy %s)", m.To, m.page.Began.Format(time.RFC3339), m.page.ID)
	if old != "" {
		r += "; before that: " + old[:min(len(old), maxReason)]
	}
	return r
}

// IsReason reports whether a reason for being read only is a copy's.
func IsReason(reason string) bool { return strings.HasPrefix(reason, "copied to ") }

const maxReason = 500 // bytes that are kept of an older reason
