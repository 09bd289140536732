package cli

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/longcase/longcase/token"
	"github.com/longcase/longcase/verify"
)

func TestAVerdictForProgramsHasEachKey(t *testing.T) {
	claims := token.Claims{Issuer: "i", Raw: []byte(`{"iss":"i"}`)}
	ahead, none := 21*time.Second, time.Duration(0)
	tests := []struct {
		name    string
		verdict verify.Verdict
		want    string
	}{
		{"accepted", verify.Verdict{Claims: claims},
			`{"accepted":true,"reason":"","detail":"","claims":{"iss":"i"},"skew_seconds":null}`},
		{"refused before the signature held", verify.Verdict{Reason: token.Malformed, Detail: "two parts"},
			`{"accepted":false,"reason":"malformed","detail":"two parts","claims":null,"skew_seconds":null}`},
		{"signed and refused: its claims say why", verify.Verdict{Reason: token.NotYetValid, Detail: "d", Claims: claims, Skew: &ahead},
			`{"accepted":false,"reason":"not_yet_valid","detail":"d","claims":{"iss":"i"},"skew_seconds":21}`},
		{"no skew is known to be none", verify.Verdict{Reason: token.Expired, Skew: &none},
			`{"accepted":false,"reason":"expired","detail":"","claims":null,"skew_seconds":0}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, got bytes.Buffer
			_ = printVerdict(&Env{Stdout: &out, Now: time.Now}, tt.verdict, true) // its error is the exit code
			if err := json.Compact(&got, out.Bytes()); err != nil || got.String() != tt.want {
				t.Errorf("%v\n got %s\nwant %s", err, &got, tt.want)
			}
		})
	}
}
