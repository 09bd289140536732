package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/app"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/move"
	"github.com/longcase/longcase/store"
)

func storeCopyCommand(env *Env) *cobra.Command {
	var verify, asJSON bool
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Move a store to another engine; run it again to go on where it was interrupted",
		Args:  arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := storeCopy{env: env, verify: verify, asJSON: asJSON, data: args[1]}
			return c.run(cmd.Context(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", true, "compare all records of both in the end")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// storeCopy is one run of store copy.
type storeCopy struct {
	env            *Env
	verify, asJSON bool
	from, to       config.Data
	data           string // TO as it was given
	began          bool
}

func (c *storeCopy) run(ctx context.Context, from, to string) error {
	if err := c.parse(from, to); err != nil {
		return err
	}
	return c.told(c.both(ctx))
}

// both opens the two stores and copies.
func (c *storeCopy) both(ctx context.Context) error {
	source, err := openStore(ctx, c.env, c.from, app.StoreOptions{Existing: true})
	if err != nil {
		return err
	}
	target, err := c.openTarget(ctx, source)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	return errors.Join(c.copy(ctx, source, target), target.Close(), source.Close())
}

// openTarget opens the target for all that the source holds.
func (c *storeCopy) openTarget(ctx context.Context, source store.Movable) (store.Movable, error) {
	var longest time.Duration
	if c.to.Engine == config.Postgres {
		var err error
		if longest, err = farthest(ctx, source, c.env.Now()); err != nil {
			return nil, kept(fmt.Errorf("%s: %w", c.from, err))
		}
	}
	return openStore(ctx, c.env, c.to, app.StoreOptions{Longest: longest})
}

// parse refuses what is wrong before anything is opened.
func (c *storeCopy) parse(from, to string) (err error) {
	if c.from, err = parseStore(c.env, from); err != nil {
		return err
	}
	if c.to, err = parseStore(c.env, to); err != nil {
		return err
	}
	if c.from.String() == c.to.String() || !c.from.Database() && !c.to.Database() && sameDir(c.from.Dir, c.to.Dir) {
		return no(fmt.Errorf("%s and %s are the same store", c.from, c.to))
	}
	return nil
}

// sameDir reports whether both name one directory.
func sameDir(a, b string) bool {
	real := func(dir string) string {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			dir = resolved
		}
		if whole, err := filepath.Abs(dir); err == nil {
			dir = whole
		}
		return dir
	}
	return real(a) == real(b)
}

// farthest is how far ahead the latest end in s lies: PostgreSQL makes its
// partitions by it.
func farthest(ctx context.Context, s store.Movable, now time.Time) (time.Duration, error) {
	last := now
	err := s.Export(ctx, "", func(r store.Record, _ store.Place) error {
		if end := endOf(r); end.After(last) {
			last = end
		}
		return nil
	})
	return last.Sub(now), err
}

func endOf(r store.Record) time.Time {
	switch {
	case r.Session != nil:
		return r.Session.ID.Bucket()
	case r.Document != nil:
		return r.Document.ID.Bucket()
	case r.Mark != nil:
		return r.Mark.Bucket()
	case r.Revocation != nil:
		return r.Revocation.End
	default:
		return time.Time{}
	}
}

func (c *storeCopy) copy(ctx context.Context, source, target store.Movable) error {
	c.began = true
	p := &meter{w: c.env.Stderr, screen: screen(c.env.Stderr), now: c.env.Now}
	r, err := move.Run(ctx, move.Config{
		Source: source, Target: target, From: c.from.String(), To: c.to.String(),
		Now: c.env.Now, Unproven: !c.verify, Progress: p.show, Wait: p.wait,
	})
	p.end()
	if err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.env.Stdout, copied(c.from, c.to, r))
	}
	c.print(r)
	return nil
}

// told gives what went wrong its exit code, and says how to go on.
func (c *storeCopy) told(err error) error {
	for _, refusal := range []error{move.ErrEmpty, move.ErrNotEmpty, move.ErrForeign, move.ErrStale, move.ErrReadOnly, move.ErrDiffers} {
		if errors.Is(err, refusal) {
			return no(err)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(c.env.Stderr, "longcase: interrupted; run the same command again and it goes on where it was")
		return err
	case errors.Is(err, store.ErrUnavailable) && c.began, errors.Is(err, store.ErrUnknown):
		return unreachable(fmt.Errorf("%w; run the same command again and it goes on where it was", err))
	}
	return kept(err)
}

// copiedJSON is the result for programs.
type copiedJSON struct {
	ID       string       `json:"id"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Began    time.Time    `json:"began"`
	Finished time.Time    `json:"finished"`
	Records  move.Counts  `json:"records"`
	Compared *move.Counts `json:"compared"` // null: was not asked for
	Resumed  bool         `json:"resumed"`
	Already  bool         `json:"already"` // an earlier run had finished it
}

func copied(from, to config.Data, r move.Result) copiedJSON {
	out := copiedJSON{ID: r.ID, From: from.String(), To: to.String(), Began: r.Began, Finished: r.Finished, Records: r.Records,
		Resumed: r.Resumed, Already: r.Already}
	if r.Compared.Total() > 0 {
		out.Compared = &r.Compared
	}
	return out
}

func (c *storeCopy) print(r move.Result) {
	w := c.env.Stdout
	if r.Already {
		fmt.Fprintf(w, "%s was copied to %s already, at %s\n", c.from, c.to, clock(r.Finished))
		return
	}
	fmt.Fprintf(w, "copied    %s\n", counts(r.Records))
	if c.verify {
		fmt.Fprintf(w, "compared  %s: what %s holds is what %s holds\n", counts(r.Compared), c.to, c.from)
	}
	fmt.Fprintf(w, "source    %s stays read only: a refresh token that is used up in the copy would be good there once more\n", c.from)
	fmt.Fprint(w, "\nnow\n")
	for i, step := range c.steps() {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
}

// steps is what is left to do.
func (c *storeCopy) steps() []string {
	key := "keys.encrypt_with: the same key as before"
	if !c.from.Database() {
		key += fmt.Sprintf(" (%s, unless the file named one)", filepath.Join(c.from.Dir, "kek"))
	}
	key += "; the copied keys open with no other"
	if !c.to.Database() {
		key += fmt.Sprintf("; or put it into %s, mode 0600", filepath.Join(c.to.Dir, "kek"))
	}
	return []string{
		"data: " + typed(c.data, c.to), key,
		"start longcase serve; gates that follow the feed begin it anew by themselves",
		fmt.Sprintf("delete %s, with every backup of it, when its last session is over", c.from),
	}
}

func counts(n move.Counts) string {
	return fmt.Sprintf("%d sessions, %d documents, %d marks, %d revocations, %d entries", n.Sessions, n.Documents, n.Marks, n.Revocations, n.Entries)
}

// How often the progress is shown to a person and to a log.
const (
	screenEach = 200 * time.Millisecond
	linesEach  = 10 * time.Second
)

// meter shows how far a copy has come: on one line of a screen, else in lines.
type meter struct {
	w      io.Writer
	screen bool
	now    func() time.Time

	step        move.Step
	began, last time.Time // of the step; of the last word
	first       int64     // records when the step began
	width       int       // of the line on the screen

	waits  sync.Mutex
	waited time.Time // when it was last said that the target is waited for
}

func (m *meter) show(p move.Progress) {
	now := m.now()
	each := linesEach
	if m.screen {
		each = screenEach
	}
	if p.Step != m.step {
		m.step, m.began, m.last, m.first = p.Step, now, now, p.Records.Total()
		if p.Step == move.Freezing {
			m.say(string(p.Step))
		}
		return
	}
	if now.Sub(m.last) < each {
		return
	}
	m.last = now
	n := p.Records.Total()
	m.say(fmt.Sprintf("%s: %d records, %.0f a second", p.Step, n, float64(n-m.first)/max(now.Sub(m.began).Seconds(), 0.001)))
}

// wait says why the target is asked again, now and then, and waits until it is.
// Several may call it at once, while nothing is shown.
func (m *meter) wait(ctx context.Context, err error) {
	m.waits.Lock()
	if now := m.now(); now.Sub(m.waited) >= linesEach {
		m.waited = now
		m.say("waiting for the target: " + oneLine(err))
	}
	m.waits.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}

func (m *meter) say(text string) {
	if !m.screen {
		fmt.Fprintf(m.w, "%s\n", text)
		return
	}
	fmt.Fprintf(m.w, "\r%s%s", text, strings.Repeat(" ", max(m.width-len(text), 0)))
	m.width = len(text)
}

// end leaves a clean line.
func (m *meter) end() {
	if m.width > 0 {
		fmt.Fprintf(m.w, "\r%s\r", strings.Repeat(" ", m.width))
	}
}

// warnings is a log of what only matters when it is bad.
func warnings(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
