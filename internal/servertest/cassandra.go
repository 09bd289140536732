package servertest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cassandraStart is how long a node may take on a busy machine.
const cassandraStart = 4 * time.Minute

// Cassandra is a cluster on loopback addresses of its own, port 9042.
type Cassandra struct {
	Dir   string
	Hosts []string

	tb     testing.TB
	script string
	nodes  []*process
}

// StartCassandra starts a cluster of so many nodes (data centre "datacenter1")
// that ends with the test. Lines of extra are added to cassandra.yaml.
func StartCassandra(tb testing.TB, nodes int, extra ...string) *Cassandra {
	tb.Helper()
	path, err := script("cassandra/cassandra")
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cassandra{Dir: tempDir(tb), Hosts: freeHosts(tb, nodes), tb: tb, script: path}
	env := []string{"LONGCASE_CASSANDRA_HEAP=512m"}
	if nodes > 1 {
		env = []string{"LONGCASE_CASSANDRA_HEAP=384m"}
	}
	if len(extra) > 0 {
		lines := filepath.Join(c.Dir, "extra.yaml")
		if err := os.WriteFile(lines, []byte(strings.Join(extra, "\n")+"\n"), 0o644); err != nil {
			tb.Fatal(err)
		}
		env = append(env, "LONGCASE_CASSANDRA_YAML="+lines)
	}
	for i := range nodes {
		args := append([]string{path, "run", c.Dir, strconv.Itoa(i + 1)}, c.Hosts...)
		c.nodes = append(c.nodes, &process{args: args, env: env, log: filepath.Join(c.Dir, fmt.Sprintf("node%d.log", i+1))})
	}
	tb.Cleanup(func() {
		for i := range c.nodes {
			if c.nodes[i].cmd != nil {
				c.Kill(i)
			}
		}
	})
	for i := range nodes {
		if err := c.nodes[i].start(); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range nodes {
		c.wait(i)
	}
	for i := range nodes {
		c.join(i)
	}
	return c
}

// join waits until node i sees every other: before, each is a cluster of its own
// to whoever asks it.
func (c *Cassandra) join(i int) {
	c.tb.Helper()
	for end := time.Now().Add(cassandraStart); len(c.nodes) > 1; time.Sleep(500 * time.Millisecond) {
		if strings.Count(c.Nodetool(i, "status"), "\nUN ") == len(c.nodes) {
			return
		}
		if time.Now().After(end) {
			c.tb.Fatalf("node %d of %d does not see the others after %s", i+1, len(c.nodes), cassandraStart)
		}
	}
}

// URL names a keyspace of the cluster, as `data` does.
func (c *Cassandra) URL(keyspace string) string {
	return fmt.Sprintf("cassandra://%s/%s?local_dc=datacenter1", strings.Join(c.Hosts, ","), keyspace)
}

// Start starts node i (from 0) again and waits until it answers.
func (c *Cassandra) Start(i int) {
	c.tb.Helper()
	if err := c.nodes[i].start(); err != nil {
		c.tb.Fatal(err)
	}
	c.wait(i)
}

func (c *Cassandra) wait(i int) {
	c.tb.Helper()
	address := net.JoinHostPort(c.Hosts[i], "9042")
	if err := c.nodes[i].wait("Cassandra on "+address, cassandraStart, func() bool { return answers(address) }); err != nil {
		c.tb.Fatal(err)
	}
}

// Stop ends node i as an operator does.
func (c *Cassandra) Stop(i int) { c.nodes[i].stop(syscall.SIGTERM, time.Minute) }

// Kill ends node i at once (SIGKILL).
func (c *Cassandra) Kill(i int) { c.nodes[i].stop(syscall.SIGKILL, 0) }

// Pause stops node i (SIGSTOP) until Resume.
func (c *Cassandra) Pause(i int) { c.nodes[i].pause(c.tb) }

// Resume lets node i go on.
func (c *Cassandra) Resume(i int) { c.nodes[i].signal(syscall.SIGCONT) }

// Nodetool asks node i and returns what it prints.
func (c *Cassandra) Nodetool(i int, args ...string) string {
	c.tb.Helper()
	all := append([]string{"nodetool", c.Dir, strconv.Itoa(i + 1)}, args...)
	out, err := exec.Command(c.script, all...).Output()
	if err != nil {
		c.tb.Fatalf("nodetool %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// freeHosts picks addresses 127.A.B.1 and up on which nothing listens.
func freeHosts(tb testing.TB, n int) []string {
	tb.Helper()
	for range 20 {
		prefix := fmt.Sprintf("127.%d.%d.", 10+rand.IntN(240), rand.IntN(256))
		var hosts []string
		for i := range n {
			if host := prefix + strconv.Itoa(i+1); isFree(host, "9042") && isFree(host, "7000") {
				hosts = append(hosts, host)
			}
		}
		if len(hosts) == n {
			return hosts
		}
	}
	tb.Fatal("no free loopback addresses for Cassandra")
	return nil
}

func isFree(host, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
