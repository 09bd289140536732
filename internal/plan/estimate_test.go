package plan

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/internal/config"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const (
	issuer = "issuer: {url: https://issuer.test, lifetimes: {access: 5m, session_idle: 1h, session_absolute: 12h}, "
	web    = "clients: [{id: web-app, authenticate: none, grants: [authorization_code, refresh_token], redirect_uris: ['http://127.0.0.1/cb'], audiences: [https://b.test], scopes: [read]}]}"
)

func TestALoadIsReadOffTheConfiguration(t *testing.T) {
	l, err := Ask{Rate: 10, Logins: -1, Revoked: -1}.Load(parse(t, issuer+web))
	if err != nil {
		t.Fatal(err)
	}
	want := Load{Sessions: 10, Life: 12 * time.Hour, Idle: time.Hour, Used: 12 * time.Hour, Every: 5 * time.Minute, Access: time.Hour,
		Codes: true, Logins: 1, Revoked: 0.01, Subject: 24, Shared: len("web-app") + len("https://b.test") + len(`"read",`)}
	if l != want {
		t.Errorf("Load = %+v,\nwant   %+v", l, want)
	}
	if got := l.Refreshes(); got != 143 {
		t.Errorf("a session of 12 h is refreshed %v times each 5 min, want 143: at its end it is over", got)
	}
	if got := l.Tokens(); got != 1440 {
		t.Errorf("Tokens = %v, want 1440", got)
	}
}

func TestWhatTheConfigurationSaysOfClients(t *testing.T) {
	const keyed = "{id: keyed, authenticate: private_key_jwt, jwks: {file: k}, grants: [authorization_code, refresh_token], redirect_uris: ['http://127.0.0.1/cb'], audiences: [https://b.test]}"
	tests := []struct {
		name, clients string
		ask           Ask
		want          func(Load) bool
	}{
		{"one of two proves itself by a key", "clients: [" + keyed + ", " + web[len("clients: ["):], Ask{Rate: 1}, func(l Load) bool { return l.Assertions == 0.5 }},
		{"none refreshes: they are added at run time", "clients: []}", Ask{Rate: 1}, func(l Load) bool { return l.Codes && l.Shared == usualShared }},
		{"names as in the file", "users: [{name: al, password: {hash: '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Z0ow6zf8QzC1mGPlWHcnAvZWxpVX0xWFzlvcaYoz9cE'}}]}", Ask{Rate: 1}, func(l Load) bool { return l.Subject == 2 }},
		{"used for a while", web, Ask{Rate: 1, Used: time.Hour}, func(l Load) bool { return l.Refreshes() == 11 && l.Live() == 7200 }},
		{"never longer than it lives", web, Ask{Rate: 1, Used: 24 * time.Hour}, func(l Load) bool { return l.Used == 12*time.Hour }},
		{"no logins", web, Ask{Rate: 1, Logins: 0}, func(l Load) bool { return l.Logins == 0 && len(l.Flows()) == 2 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := tt.ask.Load(parse(t, issuer+tt.clients))
			if err != nil || !tt.want(l) {
				t.Errorf("Load = %+v, %v", l, err)
			}
		})
	}
}

func TestAConfigurationThatKeepsNoSessions(t *testing.T) {
	if _, err := (Ask{Rate: 1}).Load(parse(t, "console: {}")); !errors.Is(err, ErrNoIssuer) {
		t.Errorf("without an issuer: %v", err)
	}
	if _, err := (Ask{Rate: 1}).Load(parse(t, "issuer: {url: https://issuer.test}")); !errors.Is(err, ErrNoEnd) {
		t.Errorf("without an absolute end: %v", err)
	}
	if _, err := (Ask{Rate: 1, Every: 2 * time.Hour}).Load(parse(t, issuer+web)); err == nil {
		t.Error("refreshes that come after the idle end were taken")
	}
	l, err := Ask{Rate: 1}.Load(parse(t, "issuer: {url: https://issuer.test, lifetimes: {access: 1h, session_idle: 30m, session_absolute: 12h}, "+web))
	if err != nil || l.Refreshes() != 0 {
		t.Errorf("access tokens that outlive an idle session: %v refreshes, %v; want none", l.Refreshes(), err)
	}
}

// plain is a load of sessions alone, whose rows take what the table says.
func plain(rate float64, life time.Duration) Load {
	return Load{Sessions: rate, Life: life, Idle: life, Used: life, Subject: 20, Shared: 50}
}

// TestRowsByHand holds the rows against what one finds with a pencil: rate times
// (life + 10 min + half a minute + half a bucket).
func TestRowsByHand(t *testing.T) {
	tests := []struct {
		engine string
		rate   float64
		life   time.Duration
		rows   float64
	}{
		{config.Embedded, 10, 12 * time.Hour, 10 * (43200 + 600 + 30 + 1800)},
		{config.Embedded, 10, 30 * time.Minute, 10 * (1800 + 600 + 30 + 90)},
		{config.Embedded, 1, 30 * 24 * time.Hour, 2592000 + 600 + 30 + 43200},
		{config.Postgres, 10, 12 * time.Hour, 10 * (43200 + 600 + 30 + 5400)},     // partitions of 3 h
		{config.Postgres, 1, 30 * 24 * time.Hour, 2592000 + 600 + 30 + 43200},     // of a day
		{config.Postgres, 1, 365 * 24 * time.Hour, 31536000 + 600 + 30 + 1209600}, // of 28 days
		{config.Cassandra, 10, 12 * time.Hour, 10 * (43200 + 600)},
	}
	for _, tt := range tests {
		est := plain(tt.rate, tt.life).Steady(tt.engine, Setup{GCGrace: 3 * time.Hour, Replicas: 3})
		if got := est.Stored[0].Rows; math.Abs(got-tt.rows) > 1 {
			t.Errorf("%s, %v/s for %v: %.0f rows, want %.0f", tt.engine, tt.rate, tt.life, got, tt.rows)
		}
	}
}

// TestTheIncidentByHand: 10 tokens a second are 864,000 rows a day, 123 MB in
// each copy.
func TestTheIncidentByHand(t *testing.T) {
	rows, bytes := plain(10, 12*time.Hour).RowPerToken()
	if rows != 864_000 || math.Round(bytes/1e6) != 123 {
		t.Errorf("%.0f rows, %.1f MB a day", rows, bytes/1e6)
	}
}

// TestGraceCountsByHand: at 10 rows a second a gc_grace of 3 h, 3 d and 10 d
// keeps 108,000, 2,592,000 and 8,640,000 rows that are over.
func TestGraceCountsByHand(t *testing.T) {
	l := plain(10, 30*time.Minute)
	each := engines[config.Cassandra].over[Sessions].of(l.Flows()[0])
	for grace, rows := range map[time.Duration]float64{3 * time.Hour: 108_000, 72 * time.Hour: 2_592_000, 240 * time.Hour: 8_640_000} {
		est := l.Steady(config.Cassandra, Setup{GCGrace: grace})
		if got := est.Grace(); math.Abs(got-rows*each) > 1 {
			t.Errorf("gc_grace %v: %.1f MB, want %.1f", grace, got/1e6, rows*each/1e6)
		}
	}
}

func drawLoad(t *rapid.T) Load {
	life := time.Duration(rapid.Int64Range(1, 10*365*24*3600).Draw(t, "life")) * time.Second
	return Load{
		Sessions: rapid.Float64Range(0.001, 1e6).Draw(t, "rate"), Life: life, Idle: life,
		Used:  time.Duration(rapid.Int64Range(1, int64(life/time.Second)).Draw(t, "used")) * time.Second,
		Every: time.Duration(rapid.Int64Range(0, 86400).Draw(t, "every")) * time.Second, Access: time.Hour,
		Codes: rapid.Bool().Draw(t, "codes"), Logins: rapid.Float64Range(0, 1).Draw(t, "logins"), Revoked: rapid.Float64Range(0, 1).Draw(t, "revoked"),
		Assertions: rapid.Float64Range(0, 1).Draw(t, "assertions"), Proofs: rapid.Float64Range(0, 1e6).Draw(t, "proofs"),
		Subject: rapid.IntRange(1, 1024).Draw(t, "subject"), Shared: rapid.IntRange(1, 4096).Draw(t, "shared"),
	}
}

// TestMoreIsNeverLess: twice the rate, a longer life or a longer gc_grace takes
// at least as much room, and no figure runs over at a million sessions a second
// that live for ten years.
func TestMoreIsNeverLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		s := Setup{GCGrace: time.Duration(rapid.Int64Range(0, 30*24).Draw(t, "grace")) * time.Hour, Replicas: 3}
		longer, faster, slower := l, l, s
		longer.Life += time.Duration(rapid.Int64Range(1, 1000).Draw(t, "more")) * time.Second
		faster.Sessions *= 2
		slower.GCGrace += time.Hour
		for _, name := range Engines() {
			was := l.Steady(name, s)
			for what, is := range map[string]Estimate{"rate": faster.Steady(name, s), "life": longer.Steady(name, s), "gc_grace": l.Steady(name, slower)} {
				if is.Disk < was.Disk*(1-1e-9) || is.Live < was.Live*(1-1e-9) {
					t.Errorf("%s: more %s took the disk from %v to %v", name, what, was.Disk, is.Disk)
				}
			}
			for _, n := range []float64{was.Disk, was.Most, was.Growth, was.Writes, was.Live} {
				if !(n > 0) || n > 1e24 {
					t.Errorf("%s: %+v", name, was)
				}
			}
			if was.Most < was.Disk {
				t.Errorf("%s: at most %v, on average %v", name, was.Most, was.Disk)
			}
		}
	})
}

func TestSizesReachAMillion(t *testing.T) {
	sizes := plain(10, 12*time.Hour).Sizes(4, Setup{GCGrace: 3 * time.Hour, Replicas: 3}, Engines())
	if len(sizes) != 6 || math.Abs(sizes[5].Requests-1e6) > 1 {
		t.Fatalf("%d sizes: %+v", len(sizes), sizes)
	}
	for i, s := range sizes {
		// by hand: requests times 240 µs over four processors, 70 % busy
		if want := int(math.Ceil(s.Requests * 240e-6 / 2.8)); s.Nodes != want {
			t.Errorf("%.0f requests a second: %d nodes, want %d", s.Requests, s.Nodes, want)
		}
		if i > 0 && s.Engines[0].Disk <= sizes[i-1].Engines[0].Disk {
			t.Errorf("%.0f requests a second take less than %.0f", s.Requests, sizes[i-1].Requests)
		}
	}
	if sizes[0].Engines[0].Wall || !sizes[5].Engines[0].Wall || sizes[5].Engines[2].Wall {
		t.Errorf("one process does ten requests a second, not a million; Cassandra has no wall: %+v", sizes)
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]float64{"10/s": 10, "600/m": 10, "36000/h": 10, "864000/d": 10, "0.5/s": 0.5, "1000000/s": 1e6} {
		if got, err := ParseRate(text); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("ParseRate(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "/s", "0/s", "-1/s", "1e3/s", "1000001/s", "10/w", "10 /s", "1.0000/s", "∞/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"10/s", "0.125/d", "999999999/d", "1e9/s", "NaN/s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if rate, err := ParseRate(text); err == nil && !(rate > 0 && rate <= maxRate) {
			t.Errorf("ParseRate(%q) = %v", text, rate)
		}
	})
}
