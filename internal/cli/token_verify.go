package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/jwks/remote"
	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
	"github.com/longcase/longcase/verify/skew"
)

// patience is how long 'token verify' tries to reach the issuer.
const patience = 10 * time.Second

func tokenVerifyCommand(env *Env) *cobra.Command {
	var is verify.Issuer
	var leeway string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --issuer URL --audience AUD [--leeway D] [TOKEN|-]",
		Short: "Judge a token as a gate would, with the issuer's keys of now",
		Args:  arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if is.URL == "" || is.Audience == "" {
				return &misuse{errors.New("--issuer and --audience are required"), cmd.UseLine()}
			}
			if err := setLeeway(&is, leeway); err != nil {
				return err
			}
			raw, err := env.tokenText(args)
			if err != nil {
				return err
			}
			verdict, err := judge(cmd.Context(), is, raw, env.Now)
			if err != nil {
				return err
			}
			return printVerdict(env, verdict, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&is.URL, "issuer", "", "whose token it should be: `URL`, byte for byte")
	f.StringVar(&is.Audience, "audience", "", "whom it should be for: the `audience`")
	f.StringVar(&leeway, "leeway", "30s", "how far clocks may disagree: a `duration` up to 60s")
	f.StringVar((*string)(&is.Profile), "profile", string(verify.RFC9068), "`rules` its tokens follow: rfc9068 or jwt")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func setLeeway(is *verify.Issuer, text string) error {
	d, err := config.ParseDuration(text)
	if err != nil {
		return usage("--leeway: %w", err)
	}
	if is.Leeway = d; d == 0 {
		is.Leeway = verify.NoLeeway
	}
	return nil
}

// judge fetches the issuer's keys and verifies raw with them. What is no token
// needs none; if they cannot be had the verdict says so.
func judge(ctx context.Context, is verify.Issuer, raw string, now func() time.Time) (verify.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	changed, book := make(chan struct{}, 1), skew.New()
	source, err := remote.New(remote.Config{
		Issuer: is.URL, Now: now, Log: slog.New(slog.DiscardHandler),
		Dated: func(sent, received, date time.Time) { book.Date(is.URL, sent, received, date) },
		Changed: func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return verify.Verdict{}, flagged(err)
	}
	is.Keys = source
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{is}, Skew: book})
	if err != nil {
		return verify.Verdict{}, flagged(err)
	}
	if _, err := token.Parse(raw); err != nil {
		return v.Verify(ctx, raw, verify.Need{}, now()), nil // refused before any key is looked for
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = source.Run(ctx) // it ends with ctx, and by nothing else
	}()
	defer func() { cancel(); <-done }()
	fetched(ctx, source, changed)
	var missing *token.Error
	if errors.As(source.Ready(), &missing) {
		return verify.Verdict{Reason: missing.Reason, Detail: missing.Detail, Err: missing}, nil
	}
	return v.Verify(ctx, raw, verify.Need{}, now()), nil
}

// flagged names the flags that err, of the one issuer, is about.
func flagged(err error) error {
	flags := strings.NewReplacer("remote: Issuer or URL:", "--issuer:", "verify: issuers[0].URL:", "--issuer:",
		"verify: issuers[0].Audience:", "--audience:", "verify: issuers[0].Leeway:", "--leeway:", "verify: issuers[0].Profile:", "--profile:")
	return usage("%s", flags.Replace(err.Error()))
}

// fetched waits for the first set of keys, or for the first good reason why
// there is none.
func fetched(ctx context.Context, source *remote.Source, changed <-chan struct{}) {
	_, _ = source.Keys(ctx, "", token.ES256) // waits for the first fetch; what came of it, Ready says
	var cause *token.Error
	if errors.As(source.Ready(), &cause) && cause.Err == nil { // it is slow, not failed
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// verdictAnswer is a verdict for programs. Each key is always there.
type verdictAnswer struct {
	Accepted bool            `json:"accepted"`
	Reason   string          `json:"reason"`       // empty: accepted
	Detail   string          `json:"detail"`       // empty: nothing to add
	Claims   json.RawMessage `json:"claims"`       // null: the signature did not hold
	Skew     *float64        `json:"skew_seconds"` // null: not known
}

func answerOf(v verify.Verdict) verdictAnswer {
	return verdictAnswer{Accepted: v.Accepted(), Reason: string(v.Reason), Detail: v.Detail, Claims: v.Claims.Raw, Skew: v.SkewSeconds()}
}

func printVerdict(env *Env, v verify.Verdict, asJSON bool) error {
	if asJSON {
		if err := printJSON(env.Stdout, answerOf(v)); err != nil {
			return err
		}
	} else {
		fmt.Fprint(env.Stdout, verdictText(v, env.Now()))
	}
	switch {
	case v.Accepted():
		return nil
	case v.Reason == token.KeysUnavailable:
		return unreachable(v.Err)
	default:
		return &exit{code: exitNo}
	}
}

func verdictText(v verify.Verdict, now time.Time) string {
	if v.Accepted() {
		c := v.Claims
		who := c.Subject
		if c.ClientID != "" && c.ClientID != c.Subject {
			who += " by client " + c.ClientID
		}
		return fmt.Sprintf("accepted: %s, until %s (%s)\n", clean(who), clock(c.Expires), away(c.Expires, now))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "refused: %s: %s\n", v.Reason, v.Reason.Meaning().Title)
	if v.Detail != "" {
		fmt.Fprintf(&b, "  %s\n", clean(v.Detail))
	}
	fmt.Fprintf(&b, "  what to do: %s\n", v.Reason.Meaning().Remedy)
	return b.String()
}
