package cassandra

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/longcase/longcase/store"
)

const (
	ringPause = 500 * time.Millisecond // between two looks at the ring, each at the next node
	ringLooks = 6                      // which agree before a keyspace is made
	ringMost  = 60                     // looks, then Open gives up
)

// describe asks for the nodes, and refuses those that are too old.
func (p probe) describe(ctx context.Context) (cluster, error) {
	c, err := p.ring(ctx)
	if err == nil {
		c.hintWindow, err = p.hintWindow(ctx)
	}
	return c, err
}

// ring asks one node for itself and for those that it knows. What two nodes say
// does not add up: the one that knows the other would be left out.
func (p probe) ring(ctx context.Context) (cluster, error) {
	c := cluster{centres: map[string]int{}, hintWindow: gcGrace}
	look := func(from, node string) error {
		q := p.session.Query("SELECT host_id, data_center, release_version FROM " + from).SetHostID(node)
		return p.each(ctx, "ask for the nodes", q, func(scan func(...any) error) error {
			var id, dc, version string
			if err := scan(&id, &dc, &version); err != nil || dc == "" || slices.Contains(c.nodes, id) { // a peer that is just joining has no name yet
				return err
			}
			c.nodes = append(c.nodes, id)
			return c.add(dc, version)
		})
	}
	err := look("system.local", "")
	if err == nil && len(c.nodes) == 0 {
		err = fmt.Errorf("cassandra: ask for the nodes: a node that does not know itself yet: %w", store.ErrUnavailable)
	}
	if err == nil {
		err = look("system.peers", c.nodes[0])
	}
	slices.Sort(c.nodes)
	return c, err
}

// settled looks until several nodes, or one several times, have said the same:
// of a ring that is forming each is a cluster of its own to whoever asks it, and
// a keyspace keeps the number of copies it was made with.
func (p probe) settled(ctx context.Context, c cluster) (cluster, error) {
	same := 0
	for range ringMost {
		if sleep(ctx, ringPause); ctx.Err() != nil {
			return c, ctx.Err()
		}
		next, err := p.ring(ctx)
		if err != nil {
			return c, err
		}
		if same++; !slices.Equal(next.nodes, c.nodes) {
			same = 0
		}
		next.hintWindow, c = c.hintWindow, next
		if same == ringLooks {
			return c, p.cfg.enough(c)
		}
	}
	return c, fmt.Errorf("cassandra: keyspace %s is not made yet: the nodes do not agree who they are: %w", p.cfg.Keyspace, store.ErrUnavailable)
}

// enough refuses to make a keyspace of fewer copies than hosts were named.
func (cfg Config) enough(c cluster) error {
	want := min(cfg.Replication, len(cfg.Hosts))
	if len(c.nodes) >= want {
		return nil
	}
	return fmt.Errorf("cassandra: keyspace %s is not made yet: %d hosts are named, and a cluster of %d nodes would keep %d copies for ever: start the others, or ask for so many copies (replication=%d): %w",
		cfg.Keyspace, len(cfg.Hosts), len(c.nodes), len(c.nodes), len(c.nodes), store.ErrUnavailable)
}

// hintWindow is max_hint_window, in seconds; the default where this user may not
// see it.
func (p probe) hintWindow(ctx context.Context) (int, error) {
	var text string
	q := p.session.Query("SELECT value FROM system_views.settings WHERE name = 'max_hint_window'")
	if _, err := p.get(ctx, "ask for the hint window", q, &text); err != nil && !refused(err) {
		return 0, err
	}
	if d, ok := parseSpan(text); ok {
		return int(d / time.Second), nil
	}
	return gcGrace, nil
}

// up are the host ids of the nodes that the driver reaches, in order.
func (p probe) up() (all []string) {
	for _, h := range p.session.GetHosts() {
		if h.IsUp() {
			all = append(all, h.HostID())
		}
	}
	slices.Sort(all)
	return all
}
