package survey

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// reader is one survey under way.
type reader struct {
	Config
	session *gocql.Session
	out     *Keyspace
}

// table is a table by its name, or nil.
func (r *reader) table(name string) *Table {
	for i := range r.out.Tables {
		if r.out.Tables[i].Name == name {
			return &r.out.Tables[i]
		}
	}
	return nil
}

// each runs a statement and hands out its rows; on one node if id is not empty.
func (r *reader) each(ctx context.Context, id, statement string, values []any, row func(scan func(...any) error) error) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	iter := r.session.Query(statement, values...).SetHostID(id).IterContext(ctx)
	scanner := iter.Scanner()
	for scanner.Next() {
		if err := row(scanner.Scan); err != nil {
			_ = iter.Close() // the row's error says more
			return nil, err
		}
	}
	warnings := iter.Warnings()
	return warnings, scanner.Err()
}

// gap notes once what could not be read.
func (r *reader) gap(what string, err error, do string) {
	why := plain(err)
	var right *gocql.RequestErrUnauthorized
	if errors.As(err, &right) {
		why = "this user has no right to read it"
	} else {
		do = ""
	}
	g := Gap{What: what, Why: why, Do: do}
	for _, known := range r.out.Gaps {
		if known == g {
			return
		}
	}
	r.out.Gaps = append(r.out.Gaps, g)
}

// allow is the statement by which an administrator lets this user read.
func (r *reader) allow(what string) string {
	user := r.Cluster.User
	if user == "" {
		user = "ROLE"
	}
	return fmt.Sprintf("GRANT SELECT ON %s TO %s;", what, quoted(user))
}

// plain is the first line of an error.
func plain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// quoted is a name as CQL takes it, whatever its letters.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// bare is the class of a full Java name.
func bare(class string) string { return class[strings.LastIndex(class, ".")+1:] }
