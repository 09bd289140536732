package token_test

import (
	"testing"

	"github.com/longcase/longcase/token"
)

const typical = `{"iss":"https://tokens.example.com","sub":"service-a","aud":"https://service-b.example.com","client_id":"service-a",` +
	`"jti":"b2f1c7d9e0a34856","iat":1700000000,"nbf":1699999990,"exp":1700000300,"scope":"orders.read"}`

func BenchmarkParse(b *testing.B) {
	raw := must(signers()[token.ES256].Sign("at+jwt", []byte(typical)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClaims(b *testing.B) {
	j := must(token.Parse(must(signers()[token.ES256].Sign("at+jwt", []byte(typical)))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Claims(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range algorithms() {
		j := must(token.Parse(must(signers()[alg].Sign("at+jwt", []byte(typical)))))
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := j.Verify(signers()[alg].Key()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
