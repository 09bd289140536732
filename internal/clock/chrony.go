package clock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/facebook/time/ntp/chrony"

	"github.com/longcase/longcase/verify/skew"
)

// Where chronyd listens unless it is told otherwise: for everybody on this host,
// and for its own user and root.
const (
	chronyAddress = "127.0.0.1:323"
	chronySocket  = "/run/chrony/chronyd.sock"
)

// chrony asks chronyd of this host.
func (w *Watch) chrony(ctx context.Context) (*skew.Host, error) {
	places := []string{w.cfg.Chrony}
	if w.cfg.Chrony == "" {
		places = []string{chronyAddress, chronySocket}
	}
	var errs []error
	for _, place := range places {
		got, err := track(ctx, place)
		if err == nil {
			return got, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// track asks one address for what "chronyc tracking" shows.
func track(ctx context.Context, place string) (*skew.Host, error) {
	conn, err := dialChrony(ctx, place)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout / 2)); err != nil { // a socket's deadline is on the real clock
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client := chrony.Client{Connection: conn}
	got, err := client.Communicate(chrony.NewTrackingPacket())
	if err != nil {
		return nil, fmt.Errorf("clock: chronyd at %s: %w", place, err)
	}
	reply, ok := got.(*chrony.ReplyTracking)
	if !ok {
		return nil, fmt.Errorf("clock: chronyd at %s answered something else than was asked", place)
	}
	return tracked(&reply.Tracking), nil
}

// tracked reads chronyd's state. CurrentCorrection is what it would add to this
// host's clock; half the root delay and the root dispersion bound what may be
// wrong (RFC 5905 section 11.2).
func tracked(t *chrony.Tracking) *skew.Host {
	const notSynchronised, maxStratum = 3, 15
	offset, bound := -t.CurrentCorrection, t.RootDelay/2+t.RootDispersion
	if t.LeapStatus == notSynchronised || t.Stratum == 0 || t.Stratum > maxStratum || !sane(offset) || !sane(bound) || bound < 0 {
		return &skew.Host{Source: "chrony", Unsynchronised: true}
	}
	return &skew.Host{Offset: inSeconds(offset), Bound: inSeconds(bound), Source: "chrony"}
}

// sane reports whether a number of seconds is a duration.
func sane(s float64) bool { return math.Abs(s) < math.MaxInt64/float64(time.Second)/2 }

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// dialChrony connects to chronyd. Its Unix socket is one of datagrams, so this
// side needs a name too, where chronyd can write: beside it, as chronyc does.
func dialChrony(ctx context.Context, place string) (net.Conn, error) {
	if !filepath.IsAbs(place) {
		return new(net.Dialer).DialContext(ctx, "udp", place)
	}
	mine := filepath.Join(filepath.Dir(place), "longcase."+strconv.Itoa(os.Getpid())+".sock")
	_ = os.Remove(mine) // of a process that had this number and was killed
	unix, err := net.DialUnix("unixgram", &net.UnixAddr{Name: mine, Net: "unixgram"}, &net.UnixAddr{Name: place, Net: "unixgram"})
	if err != nil {
		_ = os.Remove(mine) // bound, but not connected
		return nil, err
	}
	conn := named{unix, mine}
	if err := os.Chmod(mine, 0o666); err != nil { //nolint:gosec // chronyd is another user, and it is in chronyd's own directory
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// named is a connection whose own name goes with it.
type named struct {
	net.Conn
	path string
}

func (n named) Close() error {
	err := n.Conn.Close()
	_ = os.Remove(n.path)
	return err
}
