package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store"
)

// establish returns a session whose keyspace is there and as it should be.
func establish(ctx context.Context, cfg Config) (link, error) {
	first, err := connect(ctx, cfg, func(c *gocql.ClusterConfig) { c.Metadata.CacheMode = gocql.Disabled })
	if err != nil {
		return link{}, err
	}
	defer first.Close()
	p := probe{&Engine{cfg: cfg, link: link{session: first}}}
	l, err := p.prepare(ctx)
	if err != nil {
		return link{}, err
	}
	l.session, err = connect(ctx, cfg, func(c *gocql.ClusterConfig) {
		c.Keyspace, c.ProtoVersion = cfg.Keyspace, 5
		// Not shuffled: transactions on one key that meet at one coordinator overtake each other less.
		c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(l.dc), gocql.DoNotShuffleReplicas())
		c.Metadata.HostListener.HostStateChangeListener = &nodes{log: cfg.Log, down: map[string]bool{}}
		if l.serial == gocql.LocalSerial { // a coordinator elsewhere would mean its own data centre
			c.HostFilter = gocql.DataCenterHostFilter(l.dc)
		}
	})
	return l, err
}

// probe is an engine that is not one yet: it looks at the cluster.
type probe struct{ *Engine }

// prepare looks at the cluster, makes what is missing and checks the rest.
func (p probe) prepare(ctx context.Context) (l link, err error) {
	c, err := p.describe(ctx)
	if err != nil {
		return l, err
	}
	if l.dc, err = c.local(p.cfg.LocalDC); err != nil {
		return l, err
	}
	replication, err := p.makeKeyspace(ctx, c)
	if err != nil {
		return l, err
	}
	copies, err := replicas(replication)
	if err != nil {
		return l, schemaError(p.cfg.Keyspace, []string{err.Error()})
	}
	p.warnFew(replication, copies, c)
	l.read, l.serial = levels(copies, l.dc)
	var tables map[string]*found
	if tables, l.made, err = p.makeTables(ctx, c, l.read); err != nil {
		return l, err
	}
	return l, p.checkTwice(ctx, tables, c)
}

// checkTwice looks again before it refuses: while another node makes the tables,
// one that was asked may know less than all.
func (p probe) checkTwice(ctx context.Context, tables map[string]*found, c cluster) error {
	if len(p.wrong(tables, c)) > 0 {
		p.agree(ctx)
		var err error
		if tables, err = p.tables(ctx); err != nil {
			return err
		}
	}
	p.tellGrace(tables, c)
	return schemaError(p.cfg.Keyspace, p.wrong(tables, c))
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
	c.MaxWaitSchemaAgreement = 100 * time.Millisecond // the driver also waits for nodes that are down; see agree
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
	cfg.Secure(c)
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
