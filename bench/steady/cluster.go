package steady

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Cluster is a Cassandra of one node, begun by servers/cassandra.
type Cluster struct {
	Script string // servers/cassandra/cassandra
	Dir    string
}

func (c Cluster) host() (string, error) {
	address, err := os.ReadFile(filepath.Join(c.Dir, "1", "address"))
	return strings.TrimSpace(string(address)), err
}

func (c Cluster) nodetool(args ...string) error {
	out, err := exec.Command(c.Script, append([]string{"nodetool", c.Dir, "1"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("nodetool %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// files is what the tables of a keyspace take whose directories begin so.
func (c Cluster) files(keyspace, table string) (int64, error) {
	dirs, err := filepath.Glob(filepath.Join(c.Dir, "1", "data", keyspace, table+"*"))
	if err != nil || len(dirs) == 0 {
		return 0, errors.Join(err, fmt.Errorf("no directory of %s.%s in %s", keyspace, table, c.Dir))
	}
	var sum int64
	for _, dir := range dirs {
		n, err := blocks(dir)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (c Cluster) connect(keyspace string) (*gocql.Session, error) {
	host, err := c.host()
	if err != nil {
		return nil, err
	}
	cfg := gocql.NewCluster(host)
	cfg.Keyspace = keyspace
	cfg.Timeout = 20 * time.Second
	cfg.Consistency = gocql.One
	return cfg.CreateSession()
}

// keyspace makes an empty one of this name.
func (c Cluster) keyspace(ctx context.Context, name string) error {
	s, err := c.connect("")
	if err != nil {
		return err
	}
	defer s.Close()
	for _, q := range []string{"DROP KEYSPACE IF EXISTS " + name, "CREATE KEYSPACE " + name + " WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"} {
		if err := s.Query(q).ExecContext(ctx); err != nil {
			return err
		}
	}
	return nil
}

// together runs n steps with so many writers.
func together(n, writers int, step func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += writers {
				errs[w] = step(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
