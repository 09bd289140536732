package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

// decision is one way to ask longcase about a token.
type decision struct {
	name string
	ask  func(tokens []string) error
	cost map[bool][]float64 // processor microseconds of one, by cached
	rate map[bool][]float64 // a second
}

// decisions asks one longcase directly, as gateways do: /verify over connections
// that stay open, ext_authz over one of HTTP/2.
func (s *stage) decisions(out io.Writer, m *mint) error {
	p := place{Upstream: s.upstream, Dir: s.dir, Issuer: issuer, Audience: audience, Keys: s.keys, Algorithm: s.cfg.Algorithm}
	proc, err := s.verifier(&p, "grpc")
	if err != nil {
		return err
	}
	defer proc.kill()
	conn, err := grpc.NewClient(p.ExtAuthz, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	client := auth.NewAuthorizationClient(conn)
	list := []*decision{
		{name: "/verify", ask: func(tokens []string) error { return load(p.Gate, "/verify", tokens, 0) }},
		{name: "ext_authz gRPC", ask: func(tokens []string) error { return checkAll(client, tokens) }},
	}
	few, err := m.tokens(0, hot)
	if err != nil {
		return err
	}
	next := hot + s.cfg.Requests*(s.cfg.Rounds+1) // beyond those of the table
	for round := range s.cfg.Rounds + 1 {
		for _, d := range list {
			fresh, err := m.tokens(next, s.cfg.Requests)
			if err != nil {
				return err
			}
			next += s.cfg.Requests
			for cached, tokens := range map[bool][]string{true: repeat(few, s.cfg.Requests), false: fresh} {
				if err := d.round(proc, tokens, cached, round > 0); err != nil {
					return fmt.Errorf("%s: %w", d.name, err)
				}
			}
		}
	}
	return reportDecisions(out, list)
}

func (d *decision) round(proc *process, tokens []string, cached, counts bool) error {
	before, err := proc.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := d.ask(tokens); err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := proc.cpu()
	if err != nil || !counts {
		return err
	}
	if d.cost == nil {
		d.cost, d.rate = make(map[bool][]float64), make(map[bool][]float64)
	}
	d.cost[cached] = append(d.cost[cached], each(after-before, len(tokens)))
	d.rate[cached] = append(d.rate[cached], float64(len(tokens))/took.Seconds())
	return nil
}

func reportDecisions(out io.Writer, list []*decision) error {
	fmt.Fprintf(out, "decisions of one longcase, one worker, %d at a time; the load takes its share of the same machine\n\n", connections)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tCPU µs, cached\tuncached\tdecisions/s, cached\tuncached\t")
	for _, d := range list {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.0f\t%.0f\t\n", d.name, median(d.cost[true]), median(d.cost[false]), median(d.rate[true]), median(d.rate[false]))
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// checkAll asks about each token, eight at a time.
func checkAll(client auth.AuthorizationClient, tokens []string) error {
	errs := make([]error, connections)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() {
			for n := i; n < len(tokens) && errs[i] == nil; n += connections {
				errs[i] = checkOne(client, tokens[n])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// checkOne asks as Envoy 1.40 does with its default settings.
func checkOne(client auth.AuthorizationClient, raw string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := client.Check(ctx, &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/orders/1", Host: "api.test", Scheme: "http", Protocol: "HTTP/1.1", Size: -1,
			Headers: map[string]string{":method": "GET", ":path": "/orders/1", ":authority": "api.test", ":scheme": "http", "authorization": "Bearer " + raw},
		}},
	}})
	if err != nil {
		return err
	}
	if code := codes.Code(resp.GetStatus().GetCode()); code != codes.OK { //nolint:gosec // codes are small
		return fmt.Errorf("refused: %s", code)
	}
	return nil
}
