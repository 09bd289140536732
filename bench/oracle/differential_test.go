package oracle

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// compare fails unless everybody accepts what we accept and understands the
// same. It reports whether we accept.
func compare(t *testing.T, raw string, p pair) bool {
	t.Helper()
	got, err := ours(raw, p.signer.Key())
	if err != nil {
		var e *token.Error
		if !errors.As(err, &e) {
			t.Errorf("the error is no refusal: %v", err)
		}
		return false
	}
	if ignoresHeader(t, raw) {
		return true
	}
	peers := map[string]func(string, token.Algorithm, any) (reading, error){"go-jose": bySquare, "jwx": byJWX}
	for name, read := range peers {
		want, err := read(raw, p.alg, p.pub)
		if err != nil {
			t.Errorf("accepted, but %s: %v\n%s", name, err, raw)
			continue
		}
		if !same(got, want) {
			t.Errorf("read differently from %s:\n%+v\n%+v\n%s", name, got, want, raw)
		}
	}
	return true
}

// ignoresHeader reports whether the header holds a parameter that we leave
// alone, as RFC 7515 allows, and that the others read and may choke on.
func ignoresHeader(t *testing.T, raw string) bool {
	t.Helper()
	j, err := token.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	var h map[string]json.RawMessage
	if err := json.Unmarshal(j.Header(), &h); err != nil {
		t.Errorf("header %q: %v", j.Header(), err)
	}
	for _, name := range []string{"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "cty"} {
		if _, ok := h[name]; ok {
			return true
		}
	}
	return false
}

func same(a, b reading) bool {
	return a.iss == b.iss && a.sub == b.sub && a.jti == b.jti && slices.Equal(a.aud, b.aud) &&
		sameSecond(a.exp, b.exp) && sameSecond(a.iat, b.iat) && sameSecond(a.nbf, b.nbf) && reflect.DeepEqual(a.all, b.all)
}

// sameSecond compares our time with another's, who keeps whole seconds, and of
// whom jwx rounds the last nanosecond up.
func sameSecond(our, other time.Time) bool {
	return our.Truncate(time.Second).Equal(other) || our.Add(time.Microsecond).Equal(other)
}

// Every header with every payload, rightly signed.
func TestAcceptedMeansTheSameToEveryone(t *testing.T) {
	hs256 := pairs()[token.HS256]
	accepted, total := 0, 0
	for _, header := range headers() {
		for _, payload := range payloads() {
			total++
			if compare(t, sign(header, payload), hs256) {
				accepted++
			}
		}
	}
	t.Logf("%d tokens, %d accepted", total, accepted)
	if accepted*50 < total || accepted*2 > total {
		t.Errorf("%d of %d accepted: the corpus no longer says anything", accepted, total)
	}
}

// Random edits of good payloads and headers, rightly signed. The seed is fixed,
// so a failure repeats.
func TestAcceptedEditsMeanTheSameToEveryone(t *testing.T) {
	hs256 := pairs()[token.HS256]
	r := rand.New(rand.NewPCG(1, 2))
	good := slices.DeleteFunc(append(payloads(), slices.Repeat([]string{typical}, 300)...), func(p string) bool {
		return len(p) > 8000
	})
	n, accepted := long(2_000_000), 0
	for i := range n {
		header, payload := hs, good[r.IntN(len(good))]
		if i%8 == 0 {
			header = edit(r, headers()[r.IntN(len(headers()))])
		} else {
			payload = edit(r, payload)
		}
		if compare(t, sign(header, payload), hs256) {
			accepted++
		}
	}
	t.Logf("%d tokens, %d accepted", n, accepted)
	if accepted*50 < n {
		t.Errorf("%d of %d accepted: the edits no longer say anything", accepted, n)
	}
}

// What each algorithm signs, everybody accepts, and what is edited afterwards
// nobody here does.
func TestSignedMeansTheSameToEveryone(t *testing.T) {
	for alg, p := range pairs() {
		raw, err := p.signer.Sign("at+jwt", []byte(typical))
		if err != nil {
			t.Fatal(err)
		}
		if !compare(t, raw, p) {
			t.Errorf("%s: our own token is refused", alg)
		}
		r := rand.New(rand.NewPCG(3, 4))
		for range long(2000) {
			if bad := edit(r, raw); bad != raw && compare(t, bad, p) {
				t.Errorf("%s: an edited token is accepted: %s", alg, bad)
			}
		}
	}
}

// FuzzDifferential signs any header and payload, and compares.
func FuzzDifferential(f *testing.F) {
	for _, header := range headers() {
		f.Add(header, typical)
	}
	for _, payload := range payloads() {
		f.Add(hs, payload)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		compare(t, sign(header, payload), pairs()[token.HS256])
	})
}

// FuzzRaw compares the reading of any text, with every key.
func FuzzRaw(f *testing.F) {
	for _, alg := range algorithms() {
		f.Add(must(pairs()[alg].signer.Sign("at+jwt", []byte(typical))))
	}
	f.Add(sign(hs, `{}`))
	f.Add(strings.Repeat(".", 100))
	f.Fuzz(func(t *testing.T, raw string) {
		for _, p := range pairs() {
			compare(t, raw, p)
		}
	})
}
