package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

const schemaTimeout = 20 * time.Second // of one change of the schema, and of the nodes' agreement on it

// establish returns a session whose keyspace is there and as it should be.
func establish(ctx context.Context, cfg Config) (link, error) {
	first, err := connect(ctx, cfg, func(*gocql.ClusterConfig) {})
	if err != nil {
		return link{}, err
	}
	defer first.Close()
	p := probe{&Engine{cfg: cfg, link: link{session: first}}}
	l, dc, err := p.prepare(ctx)
	if err != nil {
		return link{}, err
	}
	l.session, err = connect(ctx, cfg, func(c *gocql.ClusterConfig) {
		c.Keyspace, c.ProtoVersion = cfg.Keyspace, 5
		// Not shuffled: transactions on one key that meet at one coordinator overtake each other less.
		c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(dc), gocql.DoNotShuffleReplicas())
		if l.serial == gocql.LocalSerial { // a coordinator elsewhere would mean its own data centre
			c.HostFilter = gocql.DataCenterHostFilter(dc)
		}
	})
	return l, err
}

// probe is an engine that is not one yet: it looks at the cluster.
type probe struct{ *Engine }

// prepare looks at the cluster, makes what is missing and checks the rest.
func (p probe) prepare(ctx context.Context) (l link, dc string, err error) {
	c, err := p.describe(ctx)
	if err != nil {
		return l, "", err
	}
	if dc, err = c.local(p.cfg.LocalDC); err != nil {
		return l, "", err
	}
	replication, err := p.makeKeyspace(ctx, c)
	if err != nil {
		return l, "", err
	}
	copies, err := replicas(replication)
	if err != nil {
		return l, "", schemaError(p.cfg.Keyspace, []string{err.Error()})
	}
	p.warnFew(copies)
	l.read, l.serial = levels(copies, dc)
	tables, err := p.makeTables(ctx, c, l.read)
	if err != nil {
		return l, "", err
	}
	return l, dc, p.check(tables, c)
}

// makeKeyspace makes the keyspace, if it is missing, and returns its
// replication.
func (p probe) makeKeyspace(ctx context.Context, c cluster) (map[string]string, error) {
	replication, err := p.replication(ctx)
	if err != nil || replication != nil {
		return replication, err
	}
	if err := p.alter(ctx, keyspaceCQL(p.cfg.Keyspace, p.cfg.Replication, c)); err != nil {
		return nil, err
	}
	replication, err = p.replication(ctx)
	if err == nil && replication == nil {
		err = fmt.Errorf("cassandra: keyspace %s was made and is not seen yet: %w", p.cfg.Keyspace, store.ErrUnavailable)
	}
	p.cfg.Log.Info("made the keyspace", slog.String("keyspace", p.cfg.Keyspace), slog.Any("replication", replication))
	return replication, err
}

// warnFew tells of data centres that do not survive the loss of a node: quorums
// of one or two copies are all of them. A keyspace that was made before all nodes
// were there keeps as few.
func (p probe) warnFew(copies map[string]int) {
	for dc, n := range copies {
		if n < defaultReplication {
			p.cfg.Log.Warn("the keyspace does not survive the loss of a node; with three nodes or more, ALTER KEYSPACE and run nodetool repair --full",
				slog.String("keyspace", p.cfg.Keyspace), slog.String("data_centre", dc), slog.Int("copies", n))
		}
	}
}

// replication of the keyspace; nil: there is none.
func (p probe) replication(ctx context.Context) (map[string]string, error) {
	var m map[string]string
	q := p.session.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", p.cfg.Keyspace)
	_, err := p.get(ctx, "read the schema", q, &m)
	return m, err
}

// makeTables makes what is missing of a store that is not complete yet, and
// returns all tables. Of one that was complete once nothing is made: what a
// table held would be gone without a word.
func (p probe) makeTables(ctx context.Context, c cluster, read gocql.Consistency) (map[string]*found, error) {
	all, err := p.tables(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(schema(), func(t table) bool { return all[t.name] != nil }) {
		if complete, err := p.complete(ctx, all, read); err != nil || complete {
			return all, err
		}
	}
	for _, t := range schema() { // those that another node just made, too: it may be seen and not ready
		if err := p.alter(ctx, t.cql(p.cfg.Keyspace, c)); err != nil {
			return nil, err
		}
	}
	return p.tables(ctx)
}

// complete reports whether the store was made to its end: its first table is
// state, and what is made last is the row in it.
func (p probe) complete(ctx context.Context, all map[string]*found, read gocql.Consistency) (bool, error) {
	if all["state"] == nil {
		return true, nil
	}
	var version int
	q := p.session.Query(fmt.Sprintf("SELECT version FROM %q.state WHERE name = ?", p.cfg.Keyspace), p.stateName())
	found, err := p.get(ctx, "read the store's state", q.Consistency(read), &version)
	if errors.Is(err, store.ErrSchema) { // it is being made
		return false, nil
	}
	return found, err
}

// alter changes the schema. Nodes that start together send such statements to
// one and the same coordinator, the first by id: two coordinators that make one
// table at the same time make two of it.
func (p probe) alter(ctx context.Context, stmt string) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	err := p.session.Query(stmt).SetHostID(p.firstHost()).ExecContext(ctx)
	if err == nil {
		err = p.session.AwaitSchemaAgreement(ctx)
		if err != nil && ctx.Err() == nil { // a node that is down agrees when it is back
			p.cfg.Log.Warn("not all nodes agree on the schema yet", slog.Any("err", err))
			return nil
		}
	}
	switch {
	case err == nil:
		return nil
	case refused(err):
		return fmt.Errorf("cassandra: %w: let an administrator run %s: %w", errRefused, stmt, err)
	}
	return fmt.Errorf("cassandra: change the schema: %w: %w", store.ErrUnavailable, err)
}

// firstHost is the id of the node that changes the schema.
func (p probe) firstHost() string {
	hosts := slices.DeleteFunc(p.session.GetHosts(), func(h *gocql.HostInfo) bool { return !h.IsUp() })
	if len(hosts) == 0 {
		return ""
	}
	return slices.MinFunc(hosts, func(a, b *gocql.HostInfo) int { return strings.Compare(a.HostID(), b.HostID()) }).HostID()
}

// connect opens a session. The driver knows no context: when ctx ends first, the
// session is ended as soon as it stands, which its timeouts bound.
func connect(ctx context.Context, cfg Config, adjust func(*gocql.ClusterConfig)) (*gocql.Session, error) {
	last := &lastError{}
	c := clusterConfig(cfg, last)
	adjust(c)
	type opened struct {
		session *gocql.Session
		err     error
	}
	done := make(chan opened, 1)
	go func() {
		session, err := c.CreateSession()
		done <- opened{session, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, connectError(cfg, errors.Join(o.err, last.get()))
		}
		return o.session, nil
	case <-ctx.Done():
		go func() {
			if o := <-done; o.session != nil {
				o.session.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func clusterConfig(cfg Config, last *lastError) *gocql.ClusterConfig {
	c := gocql.NewCluster(cfg.Hosts...)
	c.Timeout, c.ConnectTimeout = requestTimeout, connectTimeout
	c.MaxWaitSchemaAgreement = schemaTimeout / 2
	c.ReconnectInterval = time.Second
	c.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: 100 * time.Millisecond}
	c.Metadata.CacheMode = gocql.KeyspaceOnly
	c.DefaultTimestamp = false // the servers' clocks order what transactions do not
	c.DisableSkipMetadata = true
	c.ConnectObserver = last
	c.Logger = logger{cfg.Log}
	if cfg.User != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: cfg.User, Password: cfg.Password}
	}
	if cfg.TLS != nil {
		c.SslOpts = &gocql.SslOptions{Config: cfg.TLS, EnableHostVerification: !cfg.TLS.InsecureSkipVerify}
	}
	return c
}

// lastError keeps why a connection failed: the driver tells only a text.
type lastError struct {
	mu  sync.Mutex
	err error
}

// ObserveConnect implements gocql.ConnectObserver.
func (l *lastError) ObserveConnect(c gocql.ObservedConnect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Err != nil {
		l.err = c.Err
	}
}

func (l *lastError) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// errLogin says that the cluster knows no such user and password.
var errLogin = errors.New("the cluster refused the user or password")

// connectError says why there is no session. A cluster that cannot look up its
// users at the moment refuses them too, in other words.
func connectError(cfg Config, err error) error {
	at := strings.Join(cfg.Hosts, ",")
	var credentials *gocql.RequestErrCredentials
	later := strings.Contains(err.Error(), "Unable to perform authentication")
	switch {
	case errors.As(err, &credentials) && !later, strings.Contains(err.Error(), "authentication required"):
		return fmt.Errorf("cassandra: %s: user %q: %w", at, cfg.User, errLogin)
	default:
		return fmt.Errorf("cassandra: connect to %s: %w: %w", at, store.ErrUnavailable, err)
	}
}

// logger passes the driver's words on.
type logger struct{ log *slog.Logger }

func (l logger) say(level slog.Level, msg string, fields []gocql.LogField) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	args := make([]any, 0, len(fields))
	for _, f := range fields {
		args = append(args, slog.String(f.Name, f.Value.String()))
	}
	l.log.Log(context.Background(), level, "cassandra: "+msg, args...)
}

func (l logger) Error(msg string, fields ...gocql.LogField)   { l.say(slog.LevelWarn, msg, fields) }
func (l logger) Warning(msg string, fields ...gocql.LogField) { l.say(slog.LevelInfo, msg, fields) }
func (l logger) Info(msg string, fields ...gocql.LogField)    { l.say(slog.LevelDebug, msg, fields) }
func (l logger) Debug(msg string, fields ...gocql.LogField)   { l.say(slog.LevelDebug, msg, fields) }
