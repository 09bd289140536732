package token_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/longcase/longcase/token"
)

// The table is the contract: a change here is a change for users.
func TestReasons(t *testing.T) {
	want := []struct {
		reason token.Reason
		status int
		oauth  string
	}{
		{"no_token", 401, ""},
		{"malformed", 401, "invalid_token"},
		{"too_large", 401, "invalid_token"},
		{"bad_algorithm", 401, "invalid_token"},
		{"unknown_key", 401, "invalid_token"},
		{"bad_signature", 401, "invalid_token"},
		{"wrong_type", 401, "invalid_token"},
		{"wrong_issuer", 401, "invalid_token"},
		{"wrong_audience", 401, "invalid_token"},
		{"missing_claim", 401, "invalid_token"},
		{"not_yet_valid", 401, "invalid_token"},
		{"issued_in_future", 401, "invalid_token"},
		{"expired", 401, "invalid_token"},
		{"lifetime_too_long", 401, "invalid_token"},
		{"insufficient_scope", 403, "insufficient_scope"},
		{"client_not_allowed", 403, "insufficient_scope"},
		{"replayed", 401, "invalid_token"},
		{"binding_missing", 401, "invalid_token"},
		{"binding_mismatch", 401, "invalid_token"},
		{"revoked", 401, "invalid_token"},
		{"key_revoked", 401, "invalid_token"},
		{"keys_unavailable", 503, ""},
		{"revocations_stale", 503, ""},
		{"not_allowed", 403, ""},
		{"rate_limited", 429, ""},
	}
	all := token.Reasons()
	if len(all) != len(want) {
		t.Fatalf("%d reasons, want %d", len(all), len(want))
	}
	titles := map[string]token.Reason{}
	for i, w := range want {
		m := all[i].Meaning()
		if all[i] != w.reason || m.Status != w.status || m.OAuth != w.oauth {
			t.Errorf("row %d: %s %d %q, want %s %d %q", i, all[i], m.Status, m.OAuth, w.reason, w.status, w.oauth)
		}
		if other, twice := titles[m.Title]; twice || m.Title == "" || m.Remedy == "" {
			t.Errorf("%s: title %q (also of %q), remedy %q", all[i], m.Title, other, m.Remedy)
		}
		titles[m.Title] = all[i]
	}
}

func TestUnknownReasonIsSaidAsMalformed(t *testing.T) {
	if got, want := token.Reason("x").Meaning(), token.Malformed.Meaning(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestErrorIsItsReasonAndItsCause(t *testing.T) {
	err := fmt.Errorf("gate: %w", &token.Error{Reason: token.Expired, Detail: "exp was 3 s ago", Err: io.EOF})
	if !errors.Is(err, token.Expired) || !errors.Is(err, io.EOF) || errors.Is(err, token.NotYetValid) {
		t.Errorf("%v is not what it is made of", err)
	}
	if got, want := err.Error(), "gate: expired: exp was 3 s ago: EOF"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	if got, want := token.Refuse(token.NoToken, "").Error(), "no_token"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	bare := token.Refuse(token.Revoked, "sid %d", 1)
	if !errors.Is(bare, token.Revoked) || bare.Error() != "revoked: sid 1" {
		t.Errorf("Refuse = %v", bare)
	}
}
