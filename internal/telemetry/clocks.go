package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longcase/longcase/verify/skew"
)

// clocks shows what a book of clocks knows at the moment somebody asks.
type clocks struct {
	book      *skew.Book
	now       func() time.Time
	ahead     *prometheus.Desc
	witnesses *prometheus.Desc
	offset    *prometheus.Desc
	bound     *prometheus.Desc
	synced    *prometheus.Desc
}

// Clocks adds the clocks of issuers and of this host.
func (m *Metrics) Clocks(book *skew.Book, now func() time.Time) {
	m.registry.MustRegister(&clocks{
		book: book, now: now,
		ahead: prometheus.NewDesc("longcase_issuer_clock_skew_seconds",
			"How far an issuer's clock is ahead of this host's, at least (bound=low) and at most (bound=high); node where its tokens name one.", []string{"issuer", "node", "bound"}, nil),
		witnesses: prometheus.NewDesc("longcase_issuer_clock_witnesses", "Tokens and Date headers that say so, in the window.", []string{"issuer", "kind"}, nil),
		offset:    prometheus.NewDesc("longcase_host_clock_offset_seconds", "How far this host's clock is ahead of NTP.", []string{"source"}, nil),
		bound:     prometheus.NewDesc("longcase_host_clock_error_seconds", "The most that the offset may be off.", []string{"source"}, nil),
		synced:    prometheus.NewDesc("longcase_host_clock_synchronised", "1 while something keeps this host's clock right, 0 while nothing does.", []string{"source"}, nil),
	})
}

// Describe implements prometheus.Collector.
func (c *clocks) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.ahead, c.witnesses, c.offset, c.bound, c.synced} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *clocks) Collect(out chan<- prometheus.Metric) {
	now := c.now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, n := range c.book.All(now) {
		for node, s := range byNode(n.Clocks) {
			gauge(c.ahead, s.Low.Seconds(), n.Issuer, node, "low")
			gauge(c.ahead, s.High.Seconds(), n.Issuer, node, "high")
		}
		gauge(c.witnesses, float64(n.Tokens), n.Issuer, "token")
		gauge(c.witnesses, float64(n.Dates), n.Issuer, "date")
	}
	if h, known := c.book.Host(now); known {
		if h.Unsynchronised {
			gauge(c.synced, 0, h.Source)
			return
		}
		gauge(c.synced, 1, h.Source)
		gauge(c.offset, h.Offset.Seconds(), h.Source)
		gauge(c.bound, h.Bound.Seconds(), h.Source)
	}
}

// byNode puts clocks without a name into one span: a metric has one value for
// one set of labels.
func byNode(list []skew.Clock) map[string]skew.Clock {
	all := map[string]skew.Clock{}
	for _, c := range list {
		if old, ok := all[c.Node]; ok {
			c.Low, c.High = min(c.Low, old.Low), max(c.High, old.High)
		}
		all[c.Node] = c
	}
	return all
}
