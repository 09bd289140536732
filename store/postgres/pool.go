package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/longcase/longcase/store"
)

// Bounds of waiting. The server gives up a statement before the client does, so
// that its outcome is known.
const (
	connectPatience   = 3 * time.Second // to connect to one host
	acquirePatience   = 2 * time.Second // for a connection of the pool, beside connecting to every host
	lockPatience      = 5 * time.Second
	statementPatience = 8 * time.Second  // statement_timeout
	answerPatience    = 10 * time.Second // for the answer to one statement, or a transaction of a few
	idlePatience      = 15 * time.Second // of a transaction that its node has forgotten
	gonePatience      = time.Second      // for a statement whose caller has gone
)

// defaultConns is how many connections a node keeps at most. PostgreSQL takes
// 100 of all nodes by default; more than it has cores gains little.
const defaultConns = 20

// oldest is the oldest server whose features are used (CREATE OR REPLACE of row
// triggers, xid8, attaching without a strong lock), as server_version_num.
const oldest = 140000

// newPool reads the URL. It connects to nothing yet; the pool does not end with
// ctx.
func newPool(ctx context.Context, cfg Config) (pool *pgxpool.Pool, schema string, err error) {
	pc, err := parseURL(cfg.URL)
	if err != nil {
		return nil, "", err
	}
	if schema, err = setParams(pc.ConnConfig.RuntimeParams); err != nil {
		return nil, "", err
	}
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = connectPatience
	}
	pc.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // what was written is read
	pc.PingTimeout = connectPatience
	pc.AfterConnect = makeDurable
	if pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), pc); err != nil {
		return nil, "", fmt.Errorf("postgres: %w", err)
	}
	return pool, schema, nil
}

func parseURL(text string) (*pgxpool.Config, error) {
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, errors.New("postgres: the URL must begin with postgres://")
	}
	pc, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("postgres: the URL cannot be read: %s", withoutPassword(text, err.Error()))
	}
	if !strings.Contains(text, "pool_max_conns=") {
		pc.MaxConns = defaultConns
	}
	if pc.ConnConfig.StatementCacheCapacity <= 0 || pc.ConnConfig.DescriptionCacheCapacity <= 0 {
		return nil, errors.New("postgres: statement_cache_capacity and description_cache_capacity may not be 0: statements are prepared (a pooler in front pools sessions)")
	}
	return pc, nil
}

// withoutPassword is what may be shown of an error about the URL text. A
// password may be anywhere in a URL that cannot be taken apart.
func withoutPassword(text, says string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "write postgres://USER:PASSWORD@HOST/DATABASE, with special characters of the password percent-encoded"
	}
	secrets := u.Query()["password"]
	secrets = append(secrets, u.Query()["sslpassword"]...)
	if password, ok := u.User.Password(); ok {
		_, encoded, _ := strings.Cut(u.User.String(), ":")
		secrets = append(secrets, password, encoded)
	}
	for _, secret := range secrets {
		if secret != "" {
			says = strings.ReplaceAll(says, secret, "xxxxx")
		}
	}
	return says
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// setParams completes what each connection sets, and returns the schema.
func setParams(params map[string]string) (schema string, err error) {
	for name, value := range map[string]string{
		"application_name":                    "longcase",
		"search_path":                         "longcase",
		"statement_timeout":                   millis(statementPatience),
		"lock_timeout":                        millis(lockPatience),
		"idle_in_transaction_session_timeout": millis(idlePatience),
	} {
		if _, ok := params[name]; !ok {
			params[name] = value
		}
	}
	// Every statement finds its rows by a key. A plan that was made while a
	// partition was still empty must not read all of it later.
	params["enable_seqscan"], params["jit"] = "off", "off"
	params["default_transaction_isolation"] = "read committed" // each statement decides by itself
	if schema = params["search_path"]; !plainName.MatchString(schema) {
		return "", fmt.Errorf("postgres: search_path is %q: name one schema, in lower case letters, digits and _", schema)
	}
	return schema, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// makeDurable takes back synchronous_commit=off: an acknowledged write is
// durable.
func makeDurable(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// patienceOf is how long a call waits for a connection: each host may have to be
// tried before one answers.
func patienceOf(pool *pgxpool.Pool) time.Duration {
	c := pool.Config().ConnConfig
	return acquirePatience + time.Duration(1+len(c.Fallbacks))*c.ConnectTimeout
}

// where names the database without a secret.
func where(pool *pgxpool.Pool) string {
	c := pool.Config().ConnConfig
	hosts := []string{net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))}
	for _, f := range c.Fallbacks {
		if host := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); host != hosts[len(hosts)-1] {
			hosts = append(hosts, host) // the same once more is without TLS
		}
	}
	return fmt.Sprintf("database %s on %s", c.Database, strings.Join(hosts, ", "))
}

// connect opens the first connection and looks at the server.
func (e *Engine) connect(ctx context.Context) error {
	c, err := e.acquire(ctx)
	if err != nil {
		return permanent(err)
	}
	defer c.Release()
	own, done := linger(ctx)
	defer done()
	var version int
	var fsync string
	err = c.QueryRow(own, `SELECT current_setting('server_version_num')::int, current_setting('fsync')`).Scan(&version, &fsync)
	switch {
	case err != nil:
		return sorted(ctx, err, false)
	case version < oldest:
		return fmt.Errorf("PostgreSQL %d is too old: %d or newer is needed", version/10000, oldest/10000)
	case fsync == "off":
		e.cfg.Log.Warn("PostgreSQL runs with fsync=off: a power loss loses sessions that were acknowledged; set fsync=on")
	}
	return nil
}

// permanent takes store.ErrUnavailable off the refusals that another try meets
// again: a wrong password, a database that is not there.
func permanent(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (inClass(refused, "28") || inClass(refused, "3D") || refused.Code == codeNotAllowed) {
		return errors.New(oneLine(refused.Error()))
	}
	return err
}

// acquire takes a connection of the pool. Its errors say that nothing was sent.
func (e *Engine) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	own, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	c, err := e.pool.Acquire(own)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case own.Err() != nil:
		return nil, fmt.Errorf("postgres: no connection to the %s within %s: %w", where(e.pool), e.patience, store.ErrUnavailable)
	default:
		return nil, unavailable(err)
	}
}

// linger is the context of one statement: it outlives the caller's a little, so
// that an outcome is learnt, and no statement waits for ever.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerPatience)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-own.Done():
		case <-time.After(gonePatience):
			cancel()
		}
	})
	return own, func() {
		stop()
		cancel()
	}
}
