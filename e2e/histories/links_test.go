package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the network between engines and a server.
type link struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newLink leads from listen, whose port may be 0, to upstream, until the test
// ends.
func newLink(t *testing.T, listen, upstream string) *link {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{t, toxiproxy.NewProxy(server, upstream, listen, upstream)}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.proxy.Stop)
	return l
}

func (l *link) address() string { return l.proxy.Listen }

// poison has the link misbehave for a while.
func (l *link) poison(rng *rand.Rand, least, most int, toxics ...string) {
	for _, toxic := range toxics {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			l.t.Error(err)
		}
	}
	pause(rng, least, most)
	l.proxy.Toxics.ResetToxics(context.Background())
}

// cut closes every connection, and refuses new ones for a while.
func (l *link) cut(rng *rand.Rand) {
	l.proxy.Stop()
	pause(rng, 1, 400)
	for range 100 {
		if err := l.proxy.Start(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	l.t.Error("the link cannot be mended")
}

// faults are those of the network.
func (l *link) faults() []fault {
	toxic := func(kind, stream, attributes string) string {
		return fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, kind+stream, kind, stream, attributes)
	}
	return []fault{
		{"cut", true, func(rng *rand.Rand) {
			for range 3 {
				l.cut(rng)
				pause(rng, 20, 150)
			}
		}},
		{"latency", false, func(rng *rand.Rand) {
			slow := `"latency": 20, "jitter": 18`
			l.poison(rng, 300, 900, toxic("latency", "upstream", slow), toxic("latency", "downstream", slow))
		}},
		{"answers lost", true, func(rng *rand.Rand) {
			l.poison(rng, 500, 2600, toxic("timeout", "downstream", `"timeout": 0`))
		}},
		{"requests lost", true, func(rng *rand.Rand) {
			l.poison(rng, 500, 2600, toxic("timeout", "upstream", `"timeout": 0`))
		}},
		{"reset", true, func(rng *rand.Rand) {
			l.poison(rng, 100, 500, toxic("reset_peer", "downstream", fmt.Sprintf(`"timeout": %d`, rng.IntN(5))))
		}},
	}
}
