package oracle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/longcase/longcase/token"
)

// unsigned adds the good token's header and payload with another signature.
func (f *forger) unsigned(name string, p pair, signature []byte) {
	f.add(name, p, b64(p.header(""))+"."+b64(goodClaims())+"."+b64(string(signature)))
}

// signatureOf is a good signature of the good token.
func signatureOf(f *forger, p pair) []byte {
	_, _, signature := parts(good(f.T, p))
	return must(base64.RawURLEncoding.DecodeString(signature))
}

// psychic are ECDSA signatures that need no key, or are in another form
// (CVE-2022-21449, RFC 7518 section 3.4).
func psychic(f *forger) {
	for _, alg := range []token.Algorithm{token.ES256, token.ES384} {
		p := pairs()[alg]
		pub, ok := p.pub.(*ecdsa.PublicKey)
		if !ok {
			f.Fatalf("%s: %T", alg, p.pub)
		}
		params := pub.Params()
		size := (params.BitSize + 7) / 8
		edge := edgesOf(params.N, params.P, size)
		for _, r := range edge {
			for _, s := range edge {
				f.unsigned(fmt.Sprintf("r = %.20x, s = %.20x", r, s), p, slices.Concat(r, s))
			}
		}
		sig := signatureOf(f, p)
		r, s := sig[:size], sig[size:]
		for _, e := range edge {
			f.unsigned("a good r", p, slices.Concat(r, e))
			f.unsigned("a good s", p, slices.Concat(e, s))
		}
		misshapen(f, p, r, s)
	}
}

// edgesOf are numbers at the edges of what a half of a signature may be.
func edgesOf(order, prime *big.Int, size int) [][]byte {
	one := big.NewInt(1)
	numbers := []*big.Int{
		new(big.Int), one, big.NewInt(2), new(big.Int).Sub(order, one), order, new(big.Int).Add(order, one), new(big.Int).Rsh(order, 1),
		prime, new(big.Int).Sub(prime, one), new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one), new(big.Int).Lsh(one, uint(8*size-1)),
	}
	list := make([][]byte, len(numbers))
	for i, n := range numbers {
		list[i] = n.FillBytes(make([]byte, size))
	}
	return list
}

// misshapen are the two halves of a good signature put together wrongly.
func misshapen(f *forger, p pair, r, s []byte) {
	type pairOfInts struct{ R, S *big.Int }
	der := must(asn1.Marshal(pairOfInts{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)}))
	zero := []byte{0}
	reversed := func(b []byte) []byte { b = slices.Clone(b); slices.Reverse(b); return b }
	for name, sig := range map[string][]byte{
		"s and r": slices.Concat(s, r), "r twice": slices.Concat(r, r), "s twice": slices.Concat(s, s), "r alone": r, "s alone": s, "backwards": reversed(slices.Concat(r, s)),
		"little-endian": slices.Concat(reversed(r), reversed(s)), "ASN.1": der, "ASN.1 and a byte": slices.Concat(der, zero), "ASN.1 of zeros": {0x30, 6, 2, 1, 0, 2, 1, 0}, "ASN.1 of nothing": {0x30, 0},
		"ASN.1 of ones": {0x30, 6, 2, 1, 1, 2, 1, 1}, "a zero before each": slices.Concat(zero, r, zero, s), "a zero before": slices.Concat(zero, r, s), "a zero after": slices.Concat(r, s, zero), "a zero between": slices.Concat(r, zero, s),
		"three halves": slices.Concat(r, s, r), "twice": slices.Concat(r, s, r, s), "in hexadecimals": fmt.Appendf(nil, "%x%x", r, s), "in base64": []byte(b64(string(slices.Concat(r, s)))), "one zero": zero, "compact recovery": slices.Concat([]byte{27}, r, s),
		"wider": slices.Concat(make([]byte, 16), r, make([]byte, 16), s), "narrower": slices.Concat(r[1:], s[1:]), "in P-521's width": slices.Concat(make([]byte, 66-len(r)), r, make([]byte, 66-len(s)), s),
	} {
		f.unsigned("the halves: "+name, p, sig)
	}
}

// numerals are Edwards and RSA signatures moved by the order or the modulus,
// which some implementations reduce first (RFC 8032 section 5.1.7), and ones
// that need no key.
func numerals(f *forger) {
	p := pairs()[token.EdDSA]
	sig := signatureOf(f, p)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := new(big.Int).SetBytes(reverse(sig[32:]))
	for i := int64(1); i <= 15; i++ {
		moved := new(big.Int).Add(s, new(big.Int).Mul(order, big.NewInt(i)))
		if moved.BitLen() <= 256 {
			f.unsigned(fmt.Sprintf("S + %d L", i), p, slices.Concat(sig[:32], reverse(moved.FillBytes(make([]byte, 32)))))
		}
	}
	for _, point := range smallOrder() {
		for _, scalar := range [][]byte{make([]byte, 32), sig[32:], append([]byte{1}, make([]byte, 31)...)} {
			f.unsigned("R of small order", p, slices.Concat(point, scalar))
		}
	}
	key, _ := p.private.(ed25519.PrivateKey)
	message := b64(p.header("")) + "." + b64(goodClaims())
	withContext := must(key.Sign(nil, []byte(message), &ed25519.Options{Context: "jwt"}))
	f.unsigned("Ed25519ctx", p, withContext)
	moduli(f)
}

func reverse(b []byte) []byte { b = slices.Clone(b); slices.Reverse(b); return b }

// smallOrder are encodings of points whose order divides eight, canonical or
// not.
func smallOrder() [][]byte {
	zero, one, top := make([]byte, 32), append([]byte{1}, make([]byte, 31)...), bytes.Repeat([]byte{0xff}, 32)
	minus := slices.Clone(top)
	minus[0], minus[31] = 0xec, 0x7f
	sign := append(make([]byte, 31), 0x80)
	return [][]byte{zero, one, top, minus, sign, append(append([]byte{1}, make([]byte, 30)...), 0x80), append(append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f), append(append([]byte{0xee}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)}
}

func moduli(f *forger) {
	for _, alg := range []token.Algorithm{token.RS256, token.PS256} {
		p := pairs()[alg]
		pub, ok := p.pub.(*rsa.PublicKey)
		if !ok {
			f.Fatalf("%s: %T", alg, p.pub)
		}
		size := pub.Size()
		sig := signatureOf(f, p)
		n, one := pub.N, big.NewInt(1)
		for name, m := range map[string]*big.Int{
			"0": new(big.Int), "1": one, "N - 1": new(big.Int).Sub(n, one), "N": n, "N + 1": new(big.Int).Add(n, one), "all ones": new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one),
			"N - s": new(big.Int).Sub(n, new(big.Int).SetBytes(sig)),
		} {
			f.unsigned("the number "+name, p, m.FillBytes(make([]byte, size)))
		}
		f.unsigned("s + N", p, new(big.Int).Add(n, new(big.Int).SetBytes(sig)).FillBytes(make([]byte, size+1)))
		f.unsigned("a zero before", p, slices.Concat([]byte{0}, sig))
		f.unsigned("a zero after", p, slices.Concat(sig, []byte{0}))
		f.unsigned("backwards", p, reverse(sig))
	}
}

// flipped have one bit of the signature changed, or some of it missing.
func flipped(f *forger) {
	for _, alg := range algorithms() {
		p := pairs()[alg]
		sig := signatureOf(f, p)
		step := 1
		if len(sig) > 64 {
			step = 5 // an RSA signature and one on P-384: every fifth byte
		}
		for i := 0; i < len(sig); i += step {
			for bit := range 8 {
				changed := slices.Clone(sig)
				changed[i] ^= 1 << bit
				f.unsigned(fmt.Sprintf("byte %d, bit %d", i, bit), p, changed)
			}
			f.unsigned(fmt.Sprintf("its first %d bytes", i), p, sig[:i])
			f.unsigned(fmt.Sprintf("all but its first %d bytes", i+1), p, sig[i+1:])
			if zeros := make([]byte, len(sig)-i); !bytes.Equal(zeros, sig[i:]) { // one in sixteen Ed25519 signatures ends so
				f.unsigned(fmt.Sprintf("zeros from byte %d", i), p, append(slices.Clone(sig[:i]), zeros...))
			}
		}
		for _, more := range []int{1, 2, 3, 16, 32, 64} {
			f.unsigned(fmt.Sprintf("%d bytes more", more), p, append(slices.Clone(sig), bytes.Repeat([]byte{7}, more)...))
		}
	}
}

// respelled are good tokens in another spelling of base64 (RFC 7515 section 2,
// RFC 4648 section 3.5): one token, one spelling.
func respelled(f *forger) {
	for _, alg := range algorithms() {
		p := pairs()[alg]
		list := []string{b64(p.header("")), b64(goodClaims()), b64(string(signatureOf(f, p)))}
		for i, part := range list {
			for name, spelled := range spellBase64(part) {
				changed := slices.Clone(list)
				changed[i] = spelled
				f.add(fmt.Sprintf("part %d: %s", i, name), p, strings.Join(changed, "."))
			}
		}
		for _, dot := range []string{"%2e", "%2E", "\uff0e", "\u3002", ". ", " .", ".\n", ":", ",", "..", "\u2024"} {
			f.add("dot as "+dot, p, strings.Join(list, dot))
		}
	}
}

// spellBase64 are spellings that lenient decoders take for part.
func spellBase64(part string) map[string]string {
	all := map[string]string{
		"=": part + "=", "==": part + "==", "===": part + "===", "====": part + "====", "= before": "=" + part, "%3D": part + "%3D", "A after": part + "A", "one less": part[:len(part)-1],
		"in upper case": strings.ToUpper(part), "standard base64 around": base64.StdEncoding.EncodeToString([]byte(part)), "twice": part + part,
	}
	for _, filler := range []string{"\n", "\r", "\r\n", "\t", "\v", "\f", "\x00", "\x7f", "!", "*", "%", "$", "\u00ad", "\u200b", "\xff", "'", "\\", "%0A", "="} {
		for _, at := range []int{0, 1, len(part) / 2, len(part) - 1, len(part)} {
			all[fmt.Sprintf("%q at %d", filler, at)] = part[:at] + filler + part[at:]
		}
	}
	if std := strings.NewReplacer("-", "+", "_", "/").Replace(part); std != part {
		all["the standard alphabet"] = std
	}
	for _, other := range unused(part) {
		all["unused bits as "+other[len(other)-1:]] = other
	}
	return all
}

// unused are the spellings of part that differ only in the bits that the last
// character has too many.
func unused(part string) []string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	bits := map[int]int{2: 4, 3: 2}[len(part)%4]
	last := strings.IndexByte(alphabet, part[len(part)-1])
	var list []string
	for more := 1; more < 1<<bits; more++ {
		list = append(list, part[:len(part)-1]+string(alphabet[last|more]))
	}
	return list
}
