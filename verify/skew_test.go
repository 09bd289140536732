package verify

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify/skew"
)

// Every refusal that a clock could be the cause of says what is known of clocks.
func TestRefusalsNameTheClock(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	tests := []struct {
		name   string
		ahead  int // of the issuer's clock, by its Date headers
		claims claims
		reason token.Reason
		words  []string
		none   string // a word that must not be there
	}{
		{"nbf ahead", 21, good().with(claims{"iat": at(21).Unix(), "nbf": at(21).Unix()}), token.NotYetValid,
			[]string{"nbf is 21 s in the future (leeway 10 s); the clock of ", "ahead of this host", "check NTP there"}, "this token alone"},
		{"iat ahead", 21, good().with(claims{"iat": at(21).Unix(), "nbf": nil}), token.IssuedInFuture,
			[]string{"iat is 21 s in the future (leeway 10 s); the clock of ", "ahead of this host"}, "this token alone"},
		{"over, and the issuer is behind", -40, good().with(claims{"iat": at(-60).Unix(), "nbf": nil, "exp": at(-20).Unix()}), token.Expired,
			[]string{"exp was 20 s ago (leeway 10 s); the clock of the issuer is ", "behind this host", "check NTP there"}, "ahead"},
		{"over, and the clocks agree", 0, good().with(claims{"iat": at(-60).Unix(), "nbf": nil, "exp": at(-20).Unix()}), token.Expired,
			[]string{"exp was 20 s ago (leeway 10 s); the clock of the issuer agrees with this host"}, "check NTP"},
		{"meant for later", 21, good().with(claims{"nbf": at(60).Unix()}), token.NotYetValid,
			[]string{"nbf is 60 s in the future (leeway 10 s); iat is not, so the issuer lets this token begin later; the clock of "}, "this token alone"},
		{"a rest too long", 21, good().with(claims{"iat": nil, "nbf": nil, "exp": at(90000).Unix()}), token.LifetimeTooLong,
			[]string{"exp - now is 89990 s; at most 86400 s is accepted from https://a.test; the clock of "}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := mustNew(t, Config{
				Issuers: []Issuer{{URL: issuerA, Audience: orders, Profile: JWT, Leeway: 10 * time.Second, Keys: keysOf(key)}},
				Skew:    dated(tt.ahead, start),
			})
			got := v.at(sign(t, key, "at+jwt", tt.claims), Need{}, start)
			wantReason(t, got, tt.reason)
			for _, w := range tt.words {
				if !strings.Contains(got.Detail, w) {
					t.Errorf("detail %q lacks %q", got.Detail, w)
				}
			}
			if tt.none != "" && strings.Contains(got.Detail, tt.none) {
				t.Errorf("detail %q says %q", got.Detail, tt.none)
			}
			if s := got.SkewSeconds(); s == nil || math.Abs(*s-float64(tt.ahead)) > 1 {
				t.Errorf("skew = %v, want %d within 1 s", s, tt.ahead)
			}
		})
	}
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}}, Skew: dated(21, start)})
	if got := v.at(sign(t, key, "at+jwt", good().with(claims{"aud": mail})), Need{}, start); got.Skew != nil || strings.Contains(got.Detail, "clock") {
		t.Errorf("no clock is to blame for a wrong audience: %q", got.Detail)
	}
}

// What this host knows of its own clock belongs into the sentence even where one
// token is all that spoke of the issuer's.
func TestThisHostsClockIsNamedToo(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	book := skew.New()
	book.SetHost(&skew.Host{Offset: -21 * time.Second, Bound: 10 * time.Millisecond, Source: "chrony"}, start)
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Leeway: 10 * time.Second, Keys: keysOf(key)}}, Skew: book})
	got := v.at(sign(t, key, "at+jwt", good().with(claims{"iat": at(21).Unix(), "nbf": at(21).Unix()})), Need{}, start)
	wantReason(t, got, token.NotYetValid)
	if !strings.Contains(got.Detail, "behind NTP (chrony)") || !strings.Contains(got.Detail, "check NTP here") || got.Skew == nil {
		t.Errorf("detail = %q, skew %v", got.Detail, got.Skew)
	}
}

// The second token of a fast clock finds more than itself.
func TestTheSecondTokenIsNotAlone(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{Leeway: 10 * time.Second}, key)
	fast := func(id string) string {
		return sign(t, key, "at+jwt", good().with(claims{"iat": at(21).Unix(), "nbf": at(21).Unix(), "jti": id}))
	}
	for range 3 { // the same one says no more when it comes again
		if got := v.at(fast("one"), Need{}, start); !strings.Contains(got.Detail, "this token alone") {
			t.Errorf("the first: %q", got.Detail)
		}
	}
	got := v.at(fast("two"), Need{}, start)
	if strings.Contains(got.Detail, "alone") || !strings.Contains(got.Detail, "2 tokens") {
		t.Errorf("the second: %q", got.Detail)
	}
}

// A token whose signature does not hold says nothing about any clock.
func TestForgedTokensMoveNoClock(t *testing.T) {
	key, stranger := newSigner(t, "k1", token.EdDSA), newSigner(t, "k1", token.EdDSA)
	book := skew.New()
	v := mustNew(t, Config{Issuers: []Issuer{{URL: issuerA, Audience: orders, Keys: keysOf(key)}}, Skew: book})
	for i := range 30 {
		c := good().with(claims{"iat": at(50).Unix(), "jti": string(rune('a' + i))})
		wantReason(t, v.at(sign(t, stranger, "at+jwt", c), Need{}, start), token.BadSignature)
	}
	if e, ok := book.Of(issuerA, start); ok {
		t.Errorf("the book says %+v", e)
	}
}

func TestFollowedSkewWidensOneDirection(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	ahead := func(s int) claims { return good().with(claims{"iat": at(s).Unix(), "nbf": at(s).Unix()}) }
	ended := func(s int) claims {
		return good().with(claims{"iat": at(-200).Unix(), "nbf": at(-200).Unix(), "exp": at(-s).Unix()})
	}
	tests := []struct {
		name   string
		skew   int
		claims claims
		plain  token.Reason // without FollowSkew
		follow token.Reason
	}{
		{"fast by 21 s", 21, ahead(21), token.NotYetValid, ""},
		{"fast by 21 s, a token from further ahead", 21, ahead(30), token.NotYetValid, token.NotYetValid},
		{"fast by 21 s, a token over for longer", 21, ended(15), token.Expired, token.Expired},
		{"slow by 40 s", -40, ended(40), token.Expired, ""},
		{"slow by 40 s, a token over for longer", -40, ended(50), token.Expired, token.Expired},
		{"slow by 40 s, a token from ahead", -40, ahead(15), token.NotYetValid, token.NotYetValid},
		{"fast by 100 s, 60 s ahead", 100, ahead(60), token.NotYetValid, ""},
		{"fast by 100 s, 61 s ahead", 100, ahead(61), token.NotYetValid, token.NotYetValid},
		{"slow by 100 s, over for 59 s", -100, ended(59), token.Expired, ""},
		{"slow by 100 s, over for 60 s", -100, ended(60), token.Expired, token.Expired},
		{"slow by 40 s, over before it began", -40, ended(20).with(claims{"nbf": at(61).Unix()}), token.Expired, token.NotYetValid},
		{"no skew, 10 s ahead", 0, ahead(10), "", ""},
		{"slow by 40 s, 10 s ahead", -40, ahead(10), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for follow, want := range map[bool]token.Reason{false: tt.plain, true: tt.follow} {
				v := mustNew(t, Config{
					Issuers: []Issuer{{URL: issuerA, Audience: orders, Leeway: 10 * time.Second, FollowSkew: follow, Keys: keysOf(key)}},
					Skew:    dated(tt.skew, start),
				})
				wantReason(t, v.at(sign(t, key, "at+jwt", tt.claims), Need{}, start), want)
			}
		})
	}
}

// Otherwise FollowSkew would be a leeway of 60 s for everybody.
func TestATokenDoesNotWidenItsOwnLeeway(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	v := only(t, Issuer{Leeway: 10 * time.Second, FollowSkew: true}, key)
	fast := func(id string) string {
		return sign(t, key, "at+jwt", good().with(claims{"iat": at(21).Unix(), "nbf": at(21).Unix(), "jti": id}))
	}
	wantReason(t, v.at(fast("one"), Need{}, start), token.NotYetValid)
	wantReason(t, v.at(fast("one"), Need{}, start), token.NotYetValid)
	wantReason(t, v.at(fast("two"), Need{}, start), "")
	late := func(id string) string {
		return sign(t, key, "at+jwt", good().with(claims{"iat": at(-100).Unix(), "nbf": at(-100).Unix(), "exp": at(-20).Unix(), "jti": id}))
	}
	for _, id := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		wantReason(t, only(t, Issuer{Leeway: 10 * time.Second, FollowSkew: true}, key).at(late(id), Need{}, start), token.Expired)
		wantReason(t, v.at(late(id), Need{}, start), token.Expired)
	}
}

// Who signs its own tokens says of its own clock what it likes, and of nobody
// else's, whatever names it writes into them.
func TestACallerWidensNobodyElsesLeeway(t *testing.T) {
	caller, other := newSigner(t, "k1", token.EdDSA), newSigner(t, "k1", token.EdDSA)
	v := mustNew(t, Config{Issuers: []Issuer{
		{URL: issuerA, Audience: orders, Leeway: 10 * time.Second, FollowSkew: true, Keys: keysOf(caller)},
		{URL: issuerB, Audience: orders, Leeway: 10 * time.Second, FollowSkew: true, Keys: keysOf(other)},
	}})
	ahead := func(iss, id string, s int) claims {
		return good().with(claims{"iss": iss, "iat": at(s).Unix(), "nbf": at(s).Unix(), "exp": at(s + 300).Unix(), "jti": id})
	}
	for i := range 100 {
		v.at(sign(t, caller, "at+jwt", ahead(issuerA, fmt.Sprintf("lc.k3j2h5a%c.%d", 'a'+i%26, i), 200)), Need{}, start)
		v.at(sign(t, caller, "at+jwt", ahead(issuerB, fmt.Sprint(i), 50)), Need{}, start) // is not B's
	}
	wantReason(t, v.at(sign(t, caller, "at+jwt", ahead(issuerA, "x", 60)), Need{}, start), "")
	wantReason(t, v.at(sign(t, caller, "at+jwt", ahead(issuerA, "y", 61)), Need{}, start), token.NotYetValid)
	wantReason(t, v.at(sign(t, other, "at+jwt", ahead(issuerB, "z", 11)), Need{}, start), token.NotYetValid)
}

// Whatever was measured: 10 s ahead pass, more than 60 s do not, in either
// direction, and following never refuses what the policy alone accepts.
func TestFollowedSkewIsBounded(t *testing.T) {
	key := newSigner(t, "k1", token.EdDSA)
	rapid.Check(t, func(rt *rapid.T) {
		leeway := rapid.IntRange(1, 60).Draw(rt, "leeway")
		book := dated(rapid.IntRange(-300, 300).Draw(rt, "dates"), start)
		for i, ahead := range rapid.SliceOfN(rapid.IntRange(-300, 300), 0, 12).Draw(rt, "tokens") {
			book.Token(&token.Claims{Issuer: issuerA, ID: string(rune('A' + i)), IssuedAt: at(ahead), Expires: at(ahead + 600)}, start)
		}
		verifier := func(follow bool) *Verifier {
			return mustNew(t, Config{
				Issuers: []Issuer{{URL: issuerA, Audience: orders, Leeway: asLeeway(leeway), FollowSkew: follow, Keys: keysOf(key)}},
				Skew:    book,
			})
		}
		early, over := rapid.IntRange(-120, 120).Draw(rt, "early"), rapid.IntRange(-120, 120).Draw(rt, "over")
		c := good().with(claims{"iat": at(early).Unix(), "nbf": at(early).Unix(), "exp": at(-over).Unix()})
		raw := sign(t, key, "at+jwt", c)
		got := verifier(true).at(raw, Need{}, start)
		if got.Accepted() && (early > 60 || over >= 60) {
			rt.Fatalf("accepted %d s early, %d s after its end", early, over)
		}
		if !got.Accepted() && early <= 10 && over < 0 {
			rt.Fatalf("refused %d s early: %s", early, got.Detail)
		}
		if !got.Accepted() && verifier(false).at(raw, Need{}, start).Accepted() {
			rt.Fatalf("following refuses: %s", got.Detail)
		}
	})
}

func TestTheLongestLifeKnowsOfFollowedSkew(t *testing.T) {
	v := only(t, Issuer{MaxLifetime: time.Minute, Leeway: NoLeeway, FollowSkew: true}, newSigner(t, "k1", token.EdDSA))
	if got := v.LongestLife(issuerA); got != 3*time.Minute {
		t.Errorf("LongestLife = %s", got)
	}
}
