package skew

import (
	"testing"
	"time"
)

func TestSentence(t *testing.T) {
	const ms = time.Millisecond
	fast, good := machine{ahead: 21 * time.Second}, machine{}
	named := machine{ahead: 21 * time.Second, node: "k3j2h5aq"}
	tokens := func(m machine, n int) func(*world) {
		return func(w *world) {
			for range n {
				w.fresh(m, 250*ms)
			}
		}
	}
	poll := func(m machine) func(*world) { return func(w *world) { w.poll(m, 50*ms, 50*ms) } }
	host := func(h Host) func(*world) {
		return func(w *world) { w.book.host, w.book.hostAt = &h, w.now }
	}
	right := host(Host{Offset: 40 * ms, Bound: 30 * ms, Source: "chrony"})
	behind := host(Host{Offset: -20900 * ms, Bound: 100 * ms, Source: "chrony"})
	vague := host(Host{Bound: 8 * time.Second, Source: "kernel"})
	tests := []struct {
		name string
		seen []func(*world)
		want string
	}{
		{"nothing is known", nil, ""},
		{"a token that agrees proves nothing", []func(*world){tokens(good, 1)}, ""},
		{
			"one token", []func(*world){tokens(fast, 1)},
			"the clock of at least one instance of the issuer is at least 20.8 s ahead of this host (1 token): check NTP there",
		},
		{
			"few tokens prove no more than they say", []func(*world){tokens(machine{ahead: 900 * ms}, 2)},
			"the clock of at least one instance of the issuer is at least 0.5 s ahead of this host (2 tokens)",
		},
		{
			"one that says hardly anything", []func(*world){func(w *world) { w.fresh(machine{ahead: time.Second}, 950*ms) }},
			"the clock of at least one instance of the issuer is not behind this host (1 token)",
		},
		{
			"many tokens that agree", []func(*world){tokens(machine{ahead: -400 * ms}, 20)},
			"the clock of at least one instance of the issuer agrees with this host within 0.8 s (10 tokens)",
		},
		{
			"four tokens and a Date, NTP known", []func(*world){tokens(fast, 4), poll(fast), right},
			"the clock of at least one instance of the issuer is 20.9 to 22 s ahead of this host (4 tokens; Date header agrees); this host agrees with NTP within 0.1 s: check NTP there",
		},
		{
			"many tokens", []func(*world){tokens(fast, 20)},
			"the clock of at least one instance of the issuer is 20.8 to 21.8 s ahead of this host (10 tokens): check NTP there",
		},
		{
			"an instance that is named, while another answers", []func(*world){tokens(named, 4), poll(good)},
			"the clock of the issuer's instance k3j2h5aq is at least 20.8 s ahead of this host (4 tokens), that of another one agrees with this host within 1 s: check NTP there",
		},
		{
			"Date alone", []func(*world){poll(fast), right},
			"the clock of the issuer is 20.9 to 22 s ahead of this host (1 Date header); this host agrees with NTP within 0.1 s: check NTP there",
		},
		{
			"the fault is here", []func(*world){poll(fast), behind},
			"the clock of the issuer is 20.9 to 22 s ahead of this host (1 Date header); this host's own clock is 20.9 s behind NTP (chrony): check NTP here",
		},
		{
			"the fault is on both sides", []func(*world){poll(machine{ahead: 60 * time.Second}), behind},
			"the clock of the issuer is 59.9 to 61 s ahead of this host (1 Date header); this host's own clock is 20.9 s behind NTP (chrony): check NTP there and here",
		},
		{
			"this host's state is vague", []func(*world){poll(fast), vague},
			"the clock of the issuer is 20.9 to 22 s ahead of this host (1 Date header); this host agrees with NTP within 8 s: check NTP there and here",
		},
		{
			"nothing keeps this host's clock", []func(*world){poll(fast), host(Host{Unsynchronised: true, Source: "kernel"})},
			"the clock of the issuer is 20.9 to 22 s ahead of this host (1 Date header); this host's own clock is not synchronised (kernel): check NTP there and here",
		},
		{
			"behind", []func(*world){poll(machine{ahead: -21 * time.Second})},
			"the clock of the issuer is 20 to 21.1 s behind this host (1 Date header): check NTP there",
		},
		{
			"behind by tokens alone", []func(*world){tokens(machine{ahead: -21 * time.Second}, 20)},
			"the clock of at least one instance of the issuer is 20.3 to 21.3 s behind this host (10 tokens, unless all were first shown that late): check NTP there",
		},
		{
			"both agree", []func(*world){poll(good), right},
			"the clock of the issuer agrees with this host within 1 s (1 Date header); this host agrees with NTP within 0.1 s",
		},
		{
			"both agree, and both are wrong", []func(*world){poll(good), behind},
			"the clock of the issuer agrees with this host within 1 s (1 Date header); this host's own clock is 20.9 s behind NTP (chrony): check NTP there and here",
		},
		{
			"both agree, whatever keeps them", []func(*world){poll(good), host(Host{Unsynchronised: true, Source: "kernel"})},
			"the clock of the issuer agrees with this host within 1 s (1 Date header); this host's own clock is not synchronised (kernel)",
		},
		{
			"both agree, and this host's state is vague", []func(*world){poll(good), vague},
			"the clock of the issuer agrees with this host within 1 s (1 Date header); this host agrees with NTP within 8 s",
		},
		{
			"a small distance, and this host's state is vague", []func(*world){poll(machine{ahead: 2 * time.Second}), vague},
			"the clock of the issuer is 1.9 to 3 s ahead of this host (1 Date header); this host agrees with NTP within 8 s: check NTP there and here",
		},
		{"nothing is known of the issuer's, and this host's state is vague", []func(*world){vague}, ""},
		{
			"far apart, and this host is wrong too", []func(*world){poll(machine{ahead: 250 * time.Second}), behind},
			"the clock of the issuer is 249.9 to 251 s ahead of this host (1 Date header); this host's own clock is 20.9 s behind NTP (chrony): check NTP there and here",
		},
		{"nothing is known of either", []func(*world){host(Host{Unsynchronised: true, Source: "kernel"})}, ""},
		{
			"only this host's is known", []func(*world){behind},
			"this host's own clock is 20.9 s behind NTP (chrony): check NTP here",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			for _, see := range tt.seen {
				see(w)
			}
			if got := w.book.sentence(iss, w.here()); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestTheHostsStateGrowsOldAndEndsWithItsStep(t *testing.T) {
	b := New()
	b.SetHost(&Host{Source: "chrony"}, start)
	if h, ok := b.Host(start.Add(4 * time.Minute)); !ok || h.Source != "chrony" {
		t.Errorf("after 4 minutes: %+v, %v", h, ok)
	}
	if h, ok := b.Host(start.Add(6 * time.Minute)); ok {
		t.Errorf("after 6 minutes: %+v", h)
	}
	w := newWorld()
	w.book.SetHost(&Host{Source: "chrony"}, start)
	w.host = time.Second
	if h, ok := w.book.hostNow(w.here()); ok {
		t.Errorf("after a step of this host: %+v", h)
	}
	b.SetHost(nil, start)
	if h, ok := b.Host(start); ok {
		t.Errorf("after nothing is known any more: %+v", h)
	}
}
