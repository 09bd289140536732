package verify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
)

// FAPI 2.0 section 5.3.2.1: 10 s ahead always pass, more than 60 s never.
func TestClocksAheadMatrix(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	for _, leeway := range []int{-1, 1, 5, 10, 20, 30, 45, 60} {
		v := only(t, Issuer{Leeway: asLeeway(leeway)}, key)
		for ahead := -120; ahead <= 120; ahead++ {
			most := max(leeway, 10)
			early := ahead > most
			both := good().with(claims{"iat": at(ahead).Unix(), "nbf": at(ahead).Unix()})
			wantMatrix(t, v, key, both, leeway, ahead, early, token.NotYetValid)
			iat := good().with(claims{"iat": at(ahead).Unix(), "nbf": nil})
			wantMatrix(t, v, key, iat, leeway, ahead, early, token.IssuedInFuture)
			nbf := good().with(claims{"nbf": at(ahead).Unix()})
			wantMatrix(t, v, key, nbf, leeway, ahead, early, token.NotYetValid)
			if early != (ahead > 60) && (ahead <= 10 || ahead > 60) {
				t.Fatalf("leeway %d, %d s ahead: the table itself breaks FAPI", leeway, ahead)
			}
		}
	}
}

func asLeeway(seconds int) time.Duration {
	if seconds < 0 {
		return NoLeeway
	}
	return time.Duration(seconds) * time.Second
}

func wantMatrix(t *testing.T, v *Verifier, key token.Signer, c claims, leeway, ahead int, early bool, reason token.Reason) {
	t.Helper()
	got := v.at(sign(t, key, "at+jwt", c), Need{}, start)
	if !early {
		reason = ""
	}
	if got.Reason != reason {
		t.Fatalf("leeway %d s, %d s ahead: reason %q, want %q (%s)", leeway, ahead, got.Reason, reason, got.Detail)
	}
}

func TestExpiryMatrix(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	raw := sign(t, key, "at+jwt", good()) // ends at 300 s
	for _, leeway := range []int{-1, 1, 30, 60} {
		v := only(t, Issuer{Leeway: asLeeway(leeway)}, key)
		for s := 180; s <= 420; s++ {
			want := token.Reason("")
			if s >= 300+max(leeway, 0) { // the first 10 s are for clocks ahead, not behind
				want = token.Expired
			}
			if got := v.at(raw, Need{}, at(s)); got.Reason != want {
				t.Fatalf("leeway %d s, at %d s: reason %q, want %q", leeway, s, got.Reason, want)
			}
		}
	}
}

func TestDiagnosesName(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	tests := []struct {
		name   string
		claims claims
		now    time.Time
		reason token.Reason
		detail string // how it begins
		skew   float64
	}{
		{
			"incident 2", good().with(claims{"iat": at(21).Unix(), "nbf": at(21).Unix()}), start, token.NotYetValid,
			"nbf is 21 s in the future (leeway 10 s); this token alone says that the issuer's clock is at least 21 s ahead of this host: check NTP there (iat 2026-03-01T12:00:21Z, this host 2026-03-01T12:00:00Z)", 21,
		},
		{
			"issued ahead", good().with(claims{"iat": float64(at(21).Unix()) + 0.5, "nbf": nil}), start, token.IssuedInFuture,
			"iat is 21.5 s in the future (leeway 10 s); this token alone says that the issuer's clock is at least 21.5 s ahead", 21.5,
		},
		{
			"dated back, still ahead", good().with(claims{"iat": at(31).Unix(), "nbf": at(21).Unix()}), start, token.NotYetValid,
			"nbf is 21 s in the future (leeway 10 s); this token alone says that the issuer's clock is at least 31 s ahead", 31,
		},
		{
			"meant for later", good().with(claims{"nbf": at(60).Unix()}), start, token.NotYetValid,
			"nbf is 60 s in the future (leeway 10 s); iat is not, so the issuer lets this token begin later", 0,
		},
		{"over", good(), at(312), token.Expired, "exp was 12 s ago (leeway 10 s)", 0},
		{"too long", good().with(claims{"exp": at(7200).Unix()}), start, token.LifetimeTooLong, "exp - iat is 7200 s; at most 3600 s is accepted from https://a.test", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := only(t, Issuer{Leeway: 10 * time.Second}, key) // which has seen no other token
			got := v.at(sign(t, key, "at+jwt", tt.claims), Need{}, tt.now)
			wantReason(t, got, tt.reason)
			if !strings.HasPrefix(got.Detail, tt.detail) {
				t.Errorf("detail = %q\nwant     %q…", got.Detail, tt.detail)
			}
			if (got.Skew != nil) != (tt.skew != 0) || got.Skew != nil && got.Skew.Seconds() != tt.skew {
				t.Errorf("skew = %v, want %v s", got.Skew, tt.skew)
			}
		})
	}
}

func TestLifetimeIsMeasuredByWhatThereIs(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v := only(t, Issuer{Profile: JWT, MaxLifetime: time.Hour}, key)
	bare := good().with(claims{"iat": nil, "nbf": nil})
	tests := []struct {
		name   string
		claims claims
		want   token.Reason
	}{
		{"exp - nbf of an hour", bare.with(claims{"nbf": start.Unix(), "exp": at(3600).Unix()}), ""},
		{"exp - nbf of more", bare.with(claims{"nbf": start.Unix(), "exp": at(3601).Unix()}), token.LifetimeTooLong},
		{"a dated back nbf does not count", good().with(claims{"nbf": at(-10).Unix(), "exp": at(3600).Unix()}), ""},
		{"only exp, an hour from now", bare.with(claims{"exp": at(3600).Unix()}), ""},
		{"only exp, a day from now", bare.with(claims{"exp": at(86400).Unix()}), token.LifetimeTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantReason(t, v.at(sign(t, key, "", tt.claims), Need{}, start), tt.want)
		})
	}
	day := only(t, Issuer{Profile: JWT}, key)
	wantReason(t, day.at(sign(t, key, "", good().with(claims{"exp": at(86400).Unix()})), Need{}, start), "")
	wantReason(t, day.at(sign(t, key, "", good().with(claims{"exp": at(86401).Unix()})), Need{}, start), token.LifetimeTooLong)
}

// Only differences of instants count, and what a policy does not speak of does
// not matter.
func TestVerdictsDoNotDependOnWhatTheyShouldNot(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{}, key)
	rapid.Check(t, func(rt *rapid.T) {
		offset := func(name string) int { return rapid.IntRange(-200, 200).Draw(rt, name) }
		iat, nbf, exp, now := offset("iat"), offset("nbf"), offset("exp"), offset("now")
		shift := rapid.IntRange(-1e8, 1e9).Draw(rt, "shift")
		times := func(by int) claims {
			return good().with(claims{"iat": at(iat + by).Unix(), "nbf": at(nbf + by).Unix(), "exp": at(exp + by).Unix()})
		}
		first := v.at(sign(t, key, "at+jwt", times(0)), Need{}, at(now))
		moved := v.at(sign(t, key, "at+jwt", times(shift)), Need{}, at(now+shift))
		if first.Reason != moved.Reason {
			rt.Fatalf("moved by %d s: %q became %q", shift, first.Reason, moved.Reason)
		}
		extra := times(0).with(claims{rapid.StringMatching(`x_[a-z]{1,8}`).Draw(rt, "name"): rapid.String().Draw(rt, "value")})
		if more := v.at(sign(t, key, "at+jwt", extra), Need{}, at(now)); more.Reason != first.Reason {
			rt.Fatalf("an unknown claim: %q became %q", first.Reason, more.Reason)
		}
	})
}

// More leeway never refuses what less leeway accepts.
func TestLeewayOnlyWidens(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	rapid.Check(t, func(rt *rapid.T) {
		less := rapid.IntRange(1, 60).Draw(rt, "less")
		more := rapid.IntRange(less, 60).Draw(rt, "more")
		c := good().with(claims{"iat": at(rapid.IntRange(-90, 90).Draw(rt, "iat")).Unix(), "exp": at(rapid.IntRange(-90, 90).Draw(rt, "exp")).Unix(), "nbf": nil})
		raw := sign(t, key, "at+jwt", c)
		if only(t, Issuer{Leeway: asLeeway(less)}, key).at(raw, Need{}, start).Accepted() &&
			!only(t, Issuer{Leeway: asLeeway(more)}, key).at(raw, Need{}, start).Accepted() {
			rt.Fatalf("accepted with %d s, refused with %d s", less, more)
		}
	})
}

// Every byte of a signed token matters.
func TestNoByteCanBeChanged(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{}, key)
	raw := sign(t, key, "at+jwt", good())
	for i := range raw {
		for _, c := range []byte{'A', 'z', '-', '.', '=', '\n', raw[i] ^ 1} {
			if c == raw[i] {
				continue
			}
			if got := v.at(raw[:i]+string(c)+raw[i+1:], Need{}, start); got.Accepted() {
				t.Fatalf("byte %d as %q is accepted", i, c)
			}
		}
		if v.at(raw[:i], Need{}, start).Accepted() {
			t.Fatalf("cut at %d is accepted", i)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := newSigner(f, "k1", token.HS256)
	v := only(f, Issuer{Profile: JWT, Algorithms: []token.Algorithm{token.HS256}}, key)
	f.Add("", []byte("{}"), int64(0))
	f.Add("at+jwt", mustJSON(f, good()), start.Unix())
	f.Add("JWT", []byte(`{"iss":"https://a.test","sub":"a","aud":"https://orders.test","exp":1e300,"iat":-1}`), int64(1))
	f.Add("", []byte(`{"iss":"https://a.test","sub":"a","aud":["https://orders.test",""],"exp":9223372036854775807}`), int64(-62135596801))
	f.Fuzz(func(t *testing.T, typ string, body []byte, now int64) {
		raw := string(body)
		if signed, err := key.Sign(typ, body); err == nil {
			raw = signed
		}
		got := v.at(raw, Need{}, time.Unix(now, 0))
		if got.Accepted() && (got.Claims.Issuer != issuerA || got.Claims.Expires.IsZero() || got.Claims.Subject == "") {
			t.Errorf("accepted %s", body)
		}
		if !got.Accepted() && len(fmt.Sprint(got.Detail)) > 4096 {
			t.Errorf("a sentence of %d bytes", len(got.Detail))
		}
	})
}

func TestTheLongestLifeIsThatOfAnyPolicy(t *testing.T) {
	key := newSigner(t, "k1", token.ES256)
	v, err := New(Config{Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Keys: keysOf(key), MaxLifetime: time.Minute},
		{URL: issuerA, Audience: mail, Keys: keysOf(key), MaxLifetime: 2 * time.Hour, Leeway: NoLeeway},
		{URL: issuerB, Audience: orders, Keys: keysOf(key)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]time.Duration{issuerA: 2*time.Hour + 10*time.Second, issuerB: time.Hour + 2*DefaultLeeway, "https://c.test": 0} {
		if got := v.LongestLife(url); got != want {
			t.Errorf("LongestLife(%q) = %s, want %s", url, got, want)
		}
	}
}
