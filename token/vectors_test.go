package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
)

// The payload that RFC 7515 appendices A.1 to A.3 sign.
const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

const (
	a1 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	a2 = "eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7" +
		"AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6x" +
		"BArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv" +
		"Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
	a3 = "eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	a4 = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d" +
		"WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

// vectorKeys are the keys of RFC 7515 A.1 to A.3 and RFC 8037 A.2.
func vectorKeys(t *testing.T) map[string]token.Key {
	t.Helper()
	num := func(s string) *big.Int { return new(big.Int).SetBytes(unb64(t, s)) }
	key := func(alg token.Algorithm, pub any) token.Key {
		k, err := token.NewKey("", alg, pub)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	n := "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR" +
		"T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB" +
		"dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia" +
		"GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
	return map[string]token.Key{
		"A.1": key(token.HS256, unb64(t, "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")),
		"A.2": key(token.RS256, &rsa.PublicKey{N: num(n), E: 65537}),
		"A.3": key(token.ES256, &ecdsa.PublicKey{
			Curve: elliptic.P256(),
			X:     num("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
			Y:     num("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
		}),
		"A.4": key(token.EdDSA, ed25519.PublicKey(unb64(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))),
	}
}

func TestVectorsOfRFC7515And8037(t *testing.T) {
	vectors := map[string]string{"A.1": a1, "A.2": a2, "A.3": a3, "A.4": a4}
	keys := vectorKeys(t)
	for name, raw := range vectors {
		j, err := token.Parse(raw)
		if err != nil {
			t.Fatalf("%s: Parse: %v", name, err)
		}
		for other, key := range keys {
			err := j.Verify(key)
			if other == name && err != nil {
				t.Errorf("%s: Verify: %v", name, err)
			}
			if other != name && !errors.Is(err, token.BadAlgorithm) {
				t.Errorf("%s: Verify with the key of %s = %v, want %v", name, other, err, token.BadAlgorithm)
			}
		}
	}
}

func TestClaimsOfRFC7515(t *testing.T) {
	for _, raw := range []string{a1, a2, a3} {
		j, err := token.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := j.Claims()
		if err != nil {
			t.Fatal(err)
		}
		if c.Issuer != "joe" || !c.Expires.Equal(time.Unix(1300819380, 0)) || string(c.Raw) != string(unb64(t, joe)) {
			t.Errorf("Claims = %+v", c)
		}
		if root, ok := c.Member("http://example.com/is_root"); !ok || string(root) != "true" {
			t.Errorf("Member(is_root) = %s, %v", root, ok)
		}
	}
}

func TestPayloadThatIsNoObjectHasNoClaims(t *testing.T) {
	j, err := token.Parse(a4)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := j.Claims(); !errors.Is(err, token.Malformed) {
		t.Errorf("Claims = %+v, %v, want %v", c, err, token.Malformed)
	}
}

func TestEd25519SignsAsRFC8037A4(t *testing.T) {
	seed := unb64(t, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	s, err := token.NewSigner("", token.EdDSA, ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := token.Fingerprint(s.Key()), "SHA256:kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("Fingerprint = %s, want the thumbprint of RFC 8037 A.3, %s", got, want)
	}
	raw, err := s.Sign("", []byte(`{"iss":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := check(raw, vectorKeys(t)["A.4"]); err != nil {
		t.Errorf("the key of A.4 refuses what its private half signed: %v", err)
	}
}

func TestFingerprintIsTheThumbprintOfRFC7638(t *testing.T) {
	n := "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok" +
		"njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA" +
		"ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFC" +
		"ur-kEgU8awapJzKnqDKgw"
	k, err := token.NewKey("", token.RS256, &rsa.PublicKey{N: new(big.Int).SetBytes(unb64(t, n)), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := token.Fingerprint(k), "SHA256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; got != want {
		t.Errorf("Fingerprint = %s, want %s", got, want)
	}
}
