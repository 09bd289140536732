package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"testing"

	"github.com/longcase/longcase/jwks"
	"github.com/longcase/longcase/token"
)

// confusions are tokens whose header says another algorithm than the key's
// (RFC 8725 sections 2.1 and 3.1).
func confusions(f *forger) {
	macs := map[string]func() hash.Hash{"HS256": sha256.New, "hs256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	for _, alg := range algorithms() {
		p := pairs()[alg]
		for spelling, secret := range spellings(f.T, p) {
			for name, h := range macs {
				for _, kid := range []string{`,"kid":"k"`, ""} {
					header := fmt.Sprintf(`{"alg":%q%s,"typ":"at+jwt"}`, name, kid)
					f.add(name+" with the public key as "+spelling, p, macced(h, secret, header, goodClaims()))
				}
			}
		}
	}
	swaps(f)
	nones(f)
}

func macced(h func() hash.Hash, secret []byte, header, payload string) string {
	message := b64(header) + "." + b64(payload)
	mac := hmac.New(h, secret)
	mac.Write([]byte(message))
	return message + "." + b64(string(mac.Sum(nil)))
}

// spellings are the forms in which a public key lies about, each of which
// somebody has taken for the secret of HS256.
func spellings(t *testing.T, p pair) map[string][]byte {
	t.Helper()
	if p.alg == token.HS256 {
		return map[string][]byte{
			"nothing": nil, "zeros": make([]byte, 32), "its kid": []byte("k"), "the word": []byte("secret"), "its own text": []byte(b64(string(secret()))),
			"its hexadecimals": []byte(hex.EncodeToString(secret())), "one byte less": secret()[:31], "one byte more": append(secret(), '\n'),
		}
	}
	der := must(x509.MarshalPKIXPublicKey(p.pub))
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	set := must(jwks.Marshal([]token.Key{p.signer.Key()}))
	jwk := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(set)), `{"keys":[`), `]}`)
	all := map[string][]byte{
		"DER": der, "PEM": []byte(text), "PEM without its last line feed": []byte(strings.TrimSuffix(text, "\n")),
		"PEM with CRLF": []byte(strings.ReplaceAll(text, "\n", "\r\n")), "PEM in one line": []byte(strings.ReplaceAll(text, "\n", "")),
		"PEM with the two characters": []byte(strings.ReplaceAll(text, "\n", `\n`)), "PEM and a zero": append([]byte(text), 0),
		"base64 of DER": []byte(base64.StdEncoding.EncodeToString(der)), "hexadecimals of DER": []byte(hex.EncodeToString(der)),
		"a key set": set, "a JWK": []byte(jwk), "a fingerprint": []byte(token.Fingerprint(p.signer.Key())),
		"a certificate": selfSigned(t, p), "PEM of a certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t, p)}),
	}
	for name, raw := range rawKey(p.pub) {
		all[name], all[name+" in base64url"] = raw, []byte(b64(string(raw)))
	}
	return all
}

// rawKey are the numbers of a key.
func rawKey(pub any) map[string][]byte {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		der := x509.MarshalPKCS1PublicKey(k)
		return map[string][]byte{
			"the modulus": k.N.Bytes(), "PKCS #1": der, "PEM of PKCS #1": pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}),
			"the modulus in decimals": []byte(k.N.String()), "the exponent": big.NewInt(int64(k.E)).Bytes(),
		}
	case *ecdsa.PublicKey:
		point := must(k.Bytes())
		half := len(point) / 2
		compressed := append([]byte{2 + point[len(point)-1]&1}, point[1:half+1]...)
		return map[string][]byte{"the point": point, "x and y": point[1:], "x": point[1 : half+1], "y": point[half+1:], "the compressed point": compressed}
	case ed25519.PublicKey:
		return map[string][]byte{"the point": k}
	}
	return nil
}

func selfSigned(t *testing.T, p pair) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "k"}, NotAfter: now()}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.pub, p.private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// swaps are signed by one key under the name of every other algorithm there is
// (RFC 7518, RFC 8037, RFC 8812, RFC 9864).
func swaps(f *forger) {
	names := []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
		"Ed25519", "Ed448", "ES256K", "ES521", "RS1", "HS1", "ML-DSA-44", "SHA256", "RSA1_5", "RSA-OAEP", "A128KW", "dir", "PBES2-HS256+A128KW",
	}
	for _, alg := range algorithms() {
		p := pairs()[alg]
		for _, name := range append(names, cases(strings.ToLower(string(alg)))...) {
			for _, kid := range []string{`"kid":"k",`, ""} {
				if token.Named(name) == alg {
					continue // its own; EdDSA has two
				}
				header := fmt.Sprintf(`{%s"alg":%q,"typ":"at+jwt"}`, kid, name)
				f.add("signed as "+string(alg)+", called "+name, p, p.forge(f.T, header, goodClaims()))
			}
		}
	}
}

// nones say that there is no signature, in every case and with what lenient
// readers take for it.
func nones(f *forger) {
	names := append(cases("none"), "none", "", " ", "none ", " none", "none\\u0000", "n\\u006fne", "\\u006eone", "nоne", "ｎｏｎｅ", "non", "nonee", "null", "false", "0", "none,HS256")
	for _, name := range names {
		for _, claims := range []string{goodClaims(), without("exp", fmt.Sprintf(`"exp":%d`, epoch+3000))} {
			p := f.next()
			message := b64(`{"alg":"`+name+`","kid":"k","typ":"at+jwt"}`) + "." + b64(claims)
			_, _, rest := parts(good(f.T, p))
			for _, signature := range []string{".", "", ".AA", "." + rest, ".none", "..", ".e30"} {
				f.add("alg none as "+name, p, message+signature)
			}
		}
	}
	for _, alg := range []string{"null", "0", "false", "[]", "{}", `["none"]`, `["HS256","none"]`, `{"alg":"none"}`, "true", "1"} {
		f.headed("alg as "+alg, `{"alg":`+alg+`,"kid":"k","typ":"at+jwt"}`)
	}
}

// wrongHash are RSA signatures over another hash, padding or salt than the
// algorithm's (RFC 7518 sections 3.3 and 3.5).
func wrongHash(f *forger) {
	for _, alg := range []token.Algorithm{token.RS256, token.PS256} {
		p := pairs()[alg]
		key, ok := p.private.(*rsa.PrivateKey)
		if !ok {
			f.Fatalf("%s: %T", alg, p.private)
		}
		message := b64(p.header("")) + "." + b64(goodClaims())
		for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			digest := h.New()
			digest.Write([]byte(message))
			sum := digest.Sum(nil)
			if alg == token.PS256 || h != crypto.SHA256 {
				f.add("padded as v1.5 with "+h.String(), p, message+"."+b64(string(must(rsa.SignPKCS1v15(rand.Reader, key, h, sum)))))
			}
			for _, salt := range []int{0, 1, 20, 31, 32, 33, 64} {
				if alg == token.PS256 && h == crypto.SHA256 && salt == 32 {
					continue
				}
				sig := must(rsa.SignPSS(rand.Reader, key, h, sum, &rsa.PSSOptions{SaltLength: salt}))
				f.add(fmt.Sprintf("PSS with %s and a salt of %d", h, salt), p, message+"."+b64(string(sig)))
			}
		}
	}
}
