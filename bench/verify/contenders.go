package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

// A contender checks one subject's token. The first one is bare.
type contender struct {
	name string
	make func(subject) (func() error, error)
}

func contenders() []contender {
	return []contender{
		{"bare", bare},
		{"token", codec},
		{"verify", verifier},
		{"golang-jwt", golangJWT},
		{"go-jose", goJose},
		{"jwx", jwx},
	}
}

var errRefused = errors.New("refused")

func accept(ok bool) error {
	if !ok {
		return errRefused
	}
	return nil
}

// bare is the hash and the signature check, with everything else done before.
func bare(s subject) (func() error, error) {
	dot := strings.LastIndexByte(s.raw, '.')
	message := []byte(s.raw[:dot])
	sig, err := base64.RawURLEncoding.DecodeString(s.raw[dot+1:])
	if err != nil {
		return nil, err
	}
	switch pub := s.pub.(type) {
	case *ecdsa.PublicKey:
		return bareECDSA(s.alg, pub, message, sig)
	case *rsa.PublicKey:
		return bareRSA(s.alg, pub, message, sig), nil
	case ed25519.PublicKey:
		return func() error { return accept(ed25519.Verify(pub, message, sig)) }, nil
	case []byte:
		return func() error {
			mac := hmac.New(sha256.New, pub)
			mac.Write(message)
			return accept(hmac.Equal(mac.Sum(nil), sig))
		}, nil
	}
	return nil, errors.New("bare: unknown key")
}

func bareECDSA(alg token.Algorithm, pub *ecdsa.PublicKey, message, sig []byte) (func() error, error) {
	half := len(sig) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:]),
	})
	if err != nil {
		return nil, err
	}
	if alg == token.ES384 {
		return func() error {
			digest := sha512.Sum384(message)
			return accept(ecdsa.VerifyASN1(pub, digest[:], der))
		}, nil
	}
	return func() error {
		digest := sha256.Sum256(message)
		return accept(ecdsa.VerifyASN1(pub, digest[:], der))
	}, nil
}

func bareRSA(alg token.Algorithm, pub *rsa.PublicKey, message, sig []byte) func() error {
	if alg == token.PS256 {
		return func() error {
			digest := sha256.Sum256(message)
			return rsa.VerifyPSS(pub, crypto.SHA256, digest[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	}
	return func() error {
		digest := sha256.Sum256(message)
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig)
	}
}

// codec is package token alone, with the least that a caller must judge.
func codec(s subject) (func() error, error) {
	return func() error {
		j, err := token.Parse(s.raw)
		if err != nil {
			return err
		}
		if err := j.Verify(s.key); err != nil {
			return err
		}
		c, err := j.Claims()
		if err != nil {
			return err
		}
		if c.Issuer != issuer || !slices.Contains(c.Audience, audience) {
			return errRefused
		}
		return c.Window().Check(s.now, time.Minute)
	}, nil
}

// verifier is Longcase's whole judgement: type, lifetime, scope and binding too.
func verifier(s subject) (func() error, error) {
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{
		{URL: issuer, Audience: audience, Algorithms: []token.Algorithm{s.alg}, Keys: verify.Fixed{s.key}},
	}})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return func() error {
		if verdict := v.Verify(ctx, s.raw, verify.Need{}, s.now); !verdict.Accepted() {
			return token.Refuse(verdict.Reason, "%s", verdict.Detail)
		}
		return nil
	}, nil
}

func golangJWT(s subject) (func() error, error) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{string(s.alg)}), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithLeeway(time.Minute))
	return func() error {
		var c jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(s.raw, &c, func(*jwt.Token) (any, error) { return s.pub, nil })
		return err
	}, nil
}

func goJose(s subject) (func() error, error) {
	algs := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.alg)}
	return func() error {
		t, err := josejwt.ParseSigned(s.raw, algs)
		if err != nil {
			return err
		}
		var c josejwt.Claims
		if err := t.Claims(s.pub, &c); err != nil {
			return err
		}
		return c.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, AnyAudience: []string{audience}, Time: s.now}, time.Minute)
	}, nil
}

func jwx(s subject) (func() error, error) {
	alg, ok := jwa.LookupSignatureAlgorithm(string(s.alg))
	if !ok {
		return nil, errors.New("jwx: unknown algorithm")
	}
	raw := bytes.Clone([]byte(s.raw))
	return func() error {
		_, err := jwxjwt.Parse(raw, jwxjwt.WithKey(alg, s.pub), jwxjwt.WithIssuer(issuer),
			jwxjwt.WithAudience(audience), jwxjwt.WithAcceptableSkew(time.Minute))
		return err
	}, nil
}
