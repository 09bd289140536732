package cassandra

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Config is what an Engine needs.
type Config struct {
	Hosts    []string // required: host or host:port (9042)
	Keyspace string   // required
	LocalDC  string   // required where the cluster has several data centres
	User     string
	Password string
	TLS      *tls.Config // nil: plain; see Secure

	Replication int              // of a keyspace that is made, in each data centre; default 3; fewer where there are fewer nodes, but no fewer than Hosts
	Existing    bool             // only a store that is there: nothing is made where there is none
	Now         func() time.Time // this node's clock; default time.Now
	Log         *slog.Logger     // default slog.Default()
}

const defaultReplication = 3

// name is what a keyspace or data centre may be called.
var name = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,47}$`)

func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	if len(cfg.Hosts) == 0 {
		errs = append(errs, errors.New("cassandra: Config.Hosts is empty: name at least one node of the cluster"))
	}
	if !name.MatchString(cfg.Keyspace) {
		errs = append(errs, fmt.Errorf("cassandra: Config.Keyspace is %q: give up to 48 letters, digits and _, a letter first", cfg.Keyspace))
	}
	if cfg.Replication < 0 {
		errs = append(errs, fmt.Errorf("cassandra: Config.Replication is %d: give a positive number, or 0 for %d", cfg.Replication, defaultReplication))
	}
	if cfg.Replication == 0 {
		cfg.Replication = defaultReplication
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg, errors.Join(errs...)
}
