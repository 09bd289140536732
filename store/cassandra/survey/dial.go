package survey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/longcase/longcase/store/cassandra"
)

// step bounds one exchange with a node.
const step = 10 * time.Second

// dial opens a session that reads at consistency ONE, tries nothing twice and
// knows no keyspace: one that does not exist is found by reading.
func dial(ctx context.Context, cfg cassandra.Config) (*gocql.Session, error) {
	c := gocql.NewCluster(cfg.Hosts...)
	c.Consistency, c.Timeout, c.ConnectTimeout = gocql.One, step, step/2
	c.NumConns, c.ReconnectInterval = 1, 0
	c.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: time.Second}
	c.Metadata.CacheMode = gocql.Disabled
	c.Events.DisableSchemaEvents, c.Events.DisableNodeStatusEvents, c.Events.DisableTopologyEvents = true, true, true
	if cfg.User != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: cfg.User, Password: cfg.Password}
	}
	cfg.Secure(c)
	type opened struct {
		session *gocql.Session
		err     error
	}
	done := make(chan opened, 1)
	go func() { // ends within the driver's own patience
		s, err := c.CreateSession()
		done <- opened{s, err}
	}()
	select {
	case o := <-done:
		return o.session, explained(o.err, cfg)
	case <-ctx.Done():
		go func() {
			if o := <-done; o.session != nil {
				o.session.Close()
			}
		}()
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %s: no answer in time", ErrUnreachable, strings.Join(cfg.Hosts, ","))
	}
}

// explained is why no session came to be. The driver's error holds no password.
func explained(err error, cfg cassandra.Config) error {
	if err == nil {
		return nil
	}
	at := strings.Join(cfg.Hosts, ",")
	text := err.Error()
	if refused(err) {
		who := "no user was given"
		if cfg.User != "" {
			who = fmt.Sprintf("user %q", cfg.User)
		}
		return fmt.Errorf("%w: %s (%s)", ErrRefused, at, who)
	}
	var network *net.OpError
	if errors.As(err, &network) {
		text = network.Error()
	}
	return fmt.Errorf("%w: %s: %s", ErrUnreachable, at, text)
}

// refused reports whether the cluster wants another user or password. The
// driver loses the type of what it was told on the way.
func refused(err error) bool {
	var credentials *gocql.RequestErrCredentials
	if errors.As(err, &credentials) {
		return true
	}
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"authenticat", "password are incorrect", "bad credentials"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
