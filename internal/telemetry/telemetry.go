// Package telemetry turns what the rooms tell through their hooks into metrics.
// It is the only importer of a metrics library; the rooms know none. Labels come
// from configuration and tables, never from a request, so their number is
// bounded.
package telemetry

import (
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/agent"
	"github.com/longcase/longcase/issuer"
)

// Metrics is every metric of one process. Make one with New.
type Metrics struct {
	registry    *prometheus.Registry
	outcomes    *prometheus.CounterVec
	decisions   *prometheus.CounterVec
	judging     prometheus.Histogram
	feedBroken  prometheus.Counter
	retired     prometheus.Counter
	retireFails prometheus.Counter
	retireLast  prometheus.Gauge
	storeCalls  *prometheus.HistogramVec
	storeFails  *prometheus.CounterVec
	storeUp     *prometheus.GaugeVec
	leases      *prometheus.CounterVec
	leaseEnds   *prometheus.GaugeVec
	renewing    prometheus.Histogram
	handedOut   *prometheus.CounterVec
	turnedAway  *prometheus.CounterVec
}

// New returns the metrics of a program of this version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		outcomes: counters("longcase_issuer_outcomes_total", "Outcomes of the token service.", "outcome", "endpoint", "grant", "error"),
		decisions: counters("longcase_gate_decisions_total",
			"Judgements of the gate; reason is empty for accepted tokens, preflight for CORS preflights that were left alone.", "edge", "route", "reason"),
		judging: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "longcase_gate_judging_seconds", Help: "Time to judge one request.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 8),
		}),
		feedBroken:  counter("longcase_gate_feed_broken_total", "How often the feed of early ends had to be opened again."),
		retired:     counter("longcase_store_retired_buckets_total", "Buckets dropped after their end."),
		retireFails: counter("longcase_store_retire_failures_total", "Attempts to drop buckets that failed."),
		retireLast: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "longcase_store_retire_last_success_timestamp_seconds", Help: "When buckets were last looked at for retirement."}),
		storeCalls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "longcase_store_call_seconds", Help: "Time of one call of the store, whatever came of it.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 4, 9),
		}, []string{"engine", "method"}),
		storeFails: counters("longcase_store_call_errors_total",
			"Calls of the store that did not do what was asked; not_found, conflict and ended belong to its work.", "engine", "method", "error"),
		storeUp:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "longcase_store_up", Help: "1 while the store can be reached."}, []string{"engine"}),
		handedOut:  counters("longcase_agent_served_total", "Credentials handed to programs, or written.", "form", "credential"),
		turnedAway: counters("longcase_agent_refused_total", "Requests to the agent that were refused.", "form", "credential", "reason"),
		leases:     counters("longcase_credential_events_total", "Transitions of credentials that are kept fresh.", "credential", "event"),
		leaseEnds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "longcase_credential_expires_timestamp_seconds", Help: "End of the lease in hand; 0 where there is none, +Inf where it has no end."}, []string{"credential"}),
		renewing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "longcase_credential_renewal_seconds", Help: "Time of one renewal that succeeded.",
			Buckets: prometheus.ExponentialBuckets(1e-3, 4, 8),
		}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "longcase_build_info", Help: "The version that runs."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.outcomes, m.decisions, m.judging, m.feedBroken, m.retired, m.retireFails, m.retireLast, build,
		m.storeCalls, m.storeFails, m.storeUp,
		m.leases, m.leaseEnds, m.renewing, m.handedOut, m.turnedAway,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Handler answers GET /metrics in OpenMetrics, and in Prometheus text format to
// whoever asks for that.
func (m *Metrics) Handler() http.Handler {
	metrics := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if accept := r.Header.Get("Accept"); accept == "" || accept == "*/*" {
			r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		}
		metrics.ServeHTTP(w, r)
	})
	return mux
}

// Issuer returns hooks that count the issuer's outcomes.
func (m *Metrics) Issuer() issuer.Hooks {
	count := func(outcome string) func(issuer.Event) {
		return func(e issuer.Event) { m.outcomes.WithLabelValues(outcome, e.Endpoint, e.Grant, e.Code).Inc() }
	}
	return issuer.Hooks{
		Issued: count("issued"), Repeated: count("repeated"), Refused: count("refused"), Reused: count("reused"),
		Ended: count("ended"), Revoked: count("revoked"), Introspected: count("introspected"),
		SignedIn: count("signed_in"), SignInFailed: count("sign_in_failed"), Followed: count("followed"),
	}
}

// Gate returns hooks that count the gate's judgements.
func (m *Metrics) Gate() gate.Hooks {
	return gate.Hooks{
		Decided: func(d gate.Decision) {
			reason := d.Reason
			if d.Preflight && reason == "" {
				reason = "preflight"
			}
			m.decisions.WithLabelValues(d.Edge, d.Route, reason).Inc()
			m.judging.Observe(d.Took.Seconds())
		},
		FeedBroken: func(error) { m.feedBroken.Inc() },
	}
}

// Agent returns hooks that count what the agent hands out and refuses.
func (m *Metrics) Agent() agent.Hooks {
	return agent.Hooks{
		Served: func(f agent.Form, name string) { m.handedOut.WithLabelValues(string(f), name).Inc() },
		Refused: func(f agent.Form, name string, why agent.Refusal) {
			m.turnedAway.WithLabelValues(string(f), name, string(why)).Inc()
		},
	}
}

// Credential counts one transition of a credential's layer.
func (m *Metrics) Credential(e fresh.Event) {
	m.leases.WithLabelValues(e.Layer, string(e.Kind)).Inc()
	end := 0.0
	switch {
	case !e.Expires.IsZero():
		end = float64(e.Expires.UnixMilli()) / 1000
	case e.Generation != 0:
		end = math.Inf(1)
	}
	m.leaseEnds.WithLabelValues(e.Layer).Set(end)
	if e.Took > 0 {
		m.renewing.Observe(e.Took.Seconds())
	}
}

// Forget drops the end of a credential that is not kept fresh any more.
func (m *Metrics) Forget(credential string) { m.leaseEnds.DeleteLabelValues(credential) }

// Retired counts one look at what is over.
func (m *Metrics) Retired(buckets int, err error, now time.Time) {
	if err != nil {
		m.retireFails.Inc()
		return
	}
	m.retired.Add(float64(buckets))
	m.retireLast.Set(float64(now.Unix()))
}

// StoreCall counts one call of the store; outcome is the name of its error,
// empty where there is none.
func (m *Metrics) StoreCall(engine, method, outcome string, took time.Duration) {
	m.storeCalls.WithLabelValues(engine, method).Observe(took.Seconds())
	if outcome != "" {
		m.storeFails.WithLabelValues(engine, method, outcome).Inc()
	}
}

// StoreUp says whether the store can be reached.
func (m *Metrics) StoreUp(engine string, up bool) {
	value := 0.0
	if up {
		value = 1
	}
	m.storeUp.WithLabelValues(engine).Set(value)
}

// Gauge adds a gauge that is read when somebody asks.
func (m *Metrics) Gauge(name, help string, labels map[string]string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}
