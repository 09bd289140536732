package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
)

// Verify reports whether k signed the token. The key decides the algorithm; a
// header that says another is refused. The error is nil or an *Error with
// BadAlgorithm or BadSignature.
func (j JWS) Verify(k Key) error {
	if j.alg != k.alg || j.alg == "" {
		return Refuse(BadAlgorithm, "token says alg %.40q, the key is for %.40q", string(j.alg), string(k.alg))
	}
	if !j.signedBy(k) {
		return Refuse(BadSignature, "signature does not match key %.80q (%s)", k.id, Fingerprint(k))
	}
	return nil
}

func (j JWS) signedBy(k Key) bool {
	message := j.message
	switch pub := k.pub.(type) {
	case *ecdsa.PublicKey:
		return verifyECDSA(k.alg, pub, message, j.sig)
	case *rsa.PublicKey:
		return verifyRSA(k.alg, pub, message, j.sig)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, message, j.sig)
	case *secret:
		mac := hmac.New(sha256.New, pub.bytes)
		mac.Write(message)
		return hmac.Equal(mac.Sum(nil), j.sig)
	}
	return false
}

func verifyRSA(alg Algorithm, pub *rsa.PublicKey, message, sig []byte) bool {
	digest := sha256.Sum256(message)
	if alg == PS256 {
		return rsa.VerifyPSS(pub, crypto.SHA256, digest[:], sig, pssOptions()) == nil
	}
	return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig) == nil
}

// pssOptions are those of RFC 7518 section 3.5: the salt is as long as the hash.
func pssOptions() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
}

func verifyECDSA(alg Algorithm, pub *ecdsa.PublicKey, message, sig []byte) bool {
	if len(sig) != 2*coordinate(alg) {
		return false
	}
	var buf [maxDER]byte
	der := appendDER(buf[:0], sig)
	if alg == ES384 {
		digest := sha512.Sum384(message)
		return ecdsa.VerifyASN1(pub, digest[:], der)
	}
	digest := sha256.Sum256(message)
	return ecdsa.VerifyASN1(pub, digest[:], der)
}

// coordinate is how many bytes each half of an ECDSA signature has (RFC 7518
// section 3.4).
func coordinate(alg Algorithm) int {
	if alg == ES384 {
		return 48
	}
	return 32
}

// maxDER is the length of the longest ES384 signature in ASN.1.
const maxDER = 2 + 2*(2+1+48)

// appendDER appends the signature r || s in the ASN.1 the standard library
// takes. Every length fits one byte. A half that is zero becomes an integer that
// no verification accepts.
func appendDER(out, sig []byte) []byte {
	begin := len(out)
	out = append(out, 0x30, 0)
	out = appendInteger(out, sig[:len(sig)/2])
	out = appendInteger(out, sig[len(sig)/2:])
	out[begin+1] = byte(len(out) - begin - 2)
	return out
}

func appendInteger(out, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	if n[0] >= 0x80 {
		out = append(out, 0x02, byte(len(n)+1), 0)
	} else {
		out = append(out, 0x02, byte(len(n)))
	}
	return append(out, n...)
}
