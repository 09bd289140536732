package clock

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/beevik/ntp"

	"github.com/longcase/longcase/verify/skew"
)

// refused is how long a server that asked to be left alone (RFC 5905 section
// 7.4, kiss of death) is.
const refused = 15 * time.Minute

// server is one NTP server of the configuration.
type server struct {
	name  string
	alone time.Time // not to be asked before
}

// sntp asks every server that is named at once and returns the median of those
// that answer well; nil: none does.
func (w *Watch) sntp(ctx context.Context) *skew.Host {
	answers := make([]*skew.Host, len(w.servers))
	var all sync.WaitGroup
	for i, s := range w.servers {
		all.Go(func() {
			got, err := w.ask(ctx, s)
			if err != nil {
				w.cfg.Log.Debug("an NTP server does not answer well", "server", s.name, "err", err)
			}
			answers[i] = got
		})
	}
	all.Wait()
	return median(answers)
}

func (w *Watch) ask(ctx context.Context, s *server) (*skew.Host, error) {
	now := w.cfg.Now()
	if now.Before(s.alone) {
		return nil, errors.New("it asked to be left alone")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := ntp.QueryWithOptions(s.name, ntp.QueryOptions{
		Timeout: timeout,
		Dialer: func(_, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "udp", address)
			if err == nil {
				context.AfterFunc(ctx, func() { conn.Close() }) // ends the answer's wait, too
			}
			return conn, err
		},
	})
	if err != nil {
		return nil, err
	}
	if err := got.Validate(); err != nil {
		if errors.Is(err, ntp.ErrKissOfDeath) {
			s.alone = now.Add(refused)
		}
		return nil, err
	}
	return &skew.Host{Offset: -got.ClockOffset, Bound: got.RootDistance, Source: "ntp " + s.name}, nil
}

// median is the answer in the middle; of two, the one that is surer of itself.
func median(answers []*skew.Host) *skew.Host {
	good := slices.DeleteFunc(answers, func(h *skew.Host) bool { return h == nil })
	if len(good) == 0 {
		return nil
	}
	slices.SortFunc(good, func(a, b *skew.Host) int { return cmp.Compare(a.Offset, b.Offset) })
	below, above := good[(len(good)-1)/2], good[len(good)/2]
	if below.Bound < above.Bound {
		return below
	}
	return above
}
