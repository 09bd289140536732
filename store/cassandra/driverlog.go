package cassandra

import (
	"context"
	"log/slog"
	"sync"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// logger passes the driver's words on, for who looks for a fault: they are
// repeated each second for as long as a node is down.
type logger struct{ log *slog.Logger }

func (l logger) say(msg string, fields []gocql.LogField) {
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	args := make([]any, 0, len(fields))
	for _, f := range fields {
		args = append(args, slog.String(f.Name, f.Value.String()))
	}
	l.log.Debug("cassandra: "+msg, args...)
}

func (l logger) Error(msg string, fields ...gocql.LogField)   { l.say(msg, fields) }
func (l logger) Warning(msg string, fields ...gocql.LogField) { l.say(msg, fields) }
func (l logger) Info(msg string, fields ...gocql.LogField)    { l.say(msg, fields) }
func (l logger) Debug(msg string, fields ...gocql.LogField)   { l.say(msg, fields) }

// nodes tells of those that go and come back, once each.
type nodes struct {
	log  *slog.Logger
	mu   sync.Mutex
	down map[string]bool
}

// OnHostDown implements gocql.HostStatusChangeListener.
func (n *nodes) OnHostDown(e gocql.HostDownEvent) {
	if at := e.Host.ConnectAddressAndPort(); n.changed(at, true) {
		n.log.Warn("a node of Cassandra does not answer", slog.String("address", at), slog.String("data_centre", e.Host.DataCenter()))
	}
}

// OnHostUp implements gocql.HostStatusChangeListener.
func (n *nodes) OnHostUp(e gocql.HostUpEvent) {
	if at := e.Host.ConnectAddressAndPort(); n.changed(at, false) {
		n.log.Info("a node of Cassandra answers again", slog.String("address", at))
	}
}

func (n *nodes) changed(at string, down bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down[at] == down {
		return false
	}
	n.down[at] = down
	return true
}
