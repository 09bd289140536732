package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"sync"
	"testing"

	"github.com/longcase/longcase/token"
)

// them is another issuer that is accepted here, with a key of the same kid.
const them = "https://other-tokens.example.com"

// strangersPairs are keys that are not ours: those of the other issuer.
var strangersPairs = sync.OnceValue(func() map[token.Algorithm]pair {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	all := map[token.Algorithm]pair{
		token.HS256: {token.HS256, must(token.NewSecretSigner("k", otherSecret())), otherSecret(), nil},
	}
	for alg, key := range map[token.Algorithm]crypto.Signer{
		token.ES256: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		token.ES384: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		token.RS256: rsaKey,
		token.PS256: rsaKey,
		token.EdDSA: must(edKey, err),
	} {
		all[alg] = pair{alg, must(token.NewSigner("k", alg, key)), key.Public(), key}
	}
	return all
})

func otherSecret() []byte { return []byte(strings.Repeat("another-", 4)) }

// A forger makes the attacks of one family, with one algorithm after the other.
type forger struct {
	*testing.T
	set  []attack
	turn int
}

// next is the pair whose turn it is.
func (f *forger) next() pair {
	algs := algorithms()
	f.turn++
	return pairs()[algs[f.turn%len(algs)]]
}

// signed adds a token with these parameters and claims, rightly signed: only
// what it says can be wrong.
func (f *forger) signed(name, parameters, payload string) {
	p := f.next()
	f.add(name, p, p.forge(f.T, p.header(parameters), payload))
}

// headed adds a rightly signed token of good claims with this whole header,
// where @alg stands for the algorithm.
func (f *forger) headed(name, header string) {
	p := f.next()
	f.add(name, p, p.forge(f.T, strings.ReplaceAll(header, "@alg", string(p.alg)), goodClaims()))
}

func (f *forger) add(name string, p pair, raw string) {
	f.set = append(f.set, attackOn(name, p.alg, raw))
}

// good is the token the attacks of an algorithm begin with.
func good(t *testing.T, p pair) string {
	t.Helper()
	return p.forge(t, p.header(""), goodClaims())
}

// parts are the three parts of a token.
func parts(raw string) (header, payload, signature string) {
	list := strings.SplitN(raw, ".", 3)
	return list[0], list[1], list[2]
}

// with is goodClaims with member put before all others.
func with(member string) string { return strings.Replace(goodClaims(), "{", "{"+member+",", 1) }

// withLast is goodClaims with member put after all others.
func withLast(member string) string {
	return strings.TrimSuffix(goodClaims(), "}") + "," + member + "}"
}

// without is goodClaims less the member name, and with another in its place if
// there is one.
func without(name, instead string) string {
	all := strings.Split(strings.Trim(goodClaims(), "{}"), ",")
	var kept []string
	for _, member := range all {
		if !strings.HasPrefix(member, `"`+name+`":`) {
			kept = append(kept, member)
		}
	}
	if instead != "" {
		kept = append(kept, instead)
	}
	return "{" + strings.Join(kept, ",") + "}"
}

// cases are spellings of a lower-case name in other cases: all of them for a
// name of few letters, else those that differ in one or in all.
func cases(name string) []string {
	var list []string
	letters := len(name)
	for bits := 1; bits < 1<<letters; bits++ {
		if letters > 4 && bits&(bits-1) != 0 && bits != 1<<letters-1 {
			continue
		}
		b := []byte(name)
		for i := range b {
			if bits>>i&1 == 1 && 'a' <= b[i] && b[i] <= 'z' {
				b[i] -= 'a' - 'A'
			}
		}
		if s := string(b); s != name {
			list = append(list, s)
		}
	}
	return list
}

// escapes are spellings of name that mean the same in JSON.
func escapes(name string) []string {
	const hex = "0123456789abcdef"
	spell := func(c byte) string { return `\u00` + string(hex[c>>4]) + string(hex[c&15]) }
	var list []string
	for i := range name {
		list = append(list, name[:i]+spell(name[i])+name[i+1:])
	}
	var whole strings.Builder
	for i := range name {
		whole.WriteString(spell(name[i]))
	}
	return append(list, whole.String())
}
