package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/gate"
	"github.com/longcase/longcase/internal/telemetry"
	"github.com/longcase/longcase/issuer"
)

func TestOutcomesAreCountedAndShown(t *testing.T) {
	m := telemetry.New("1.2.3")
	m.Issuer().Refused(issuer.Event{Endpoint: "token", Grant: "refresh_token", Code: "invalid_grant", Client: "must-not-be-a-label"})
	m.Gate().Decided(gate.Decision{Edge: "proxy", Route: "/orders/", Reason: "expired", Took: time.Millisecond})
	m.Gate().Decided(gate.Decision{Edge: "proxy", Route: "/orders/", Preflight: true})
	m.Gate().Decided(gate.Decision{Edge: "proxy", Preflight: true, Reason: "no_route"})
	m.Retired(3, nil, time.Unix(1700000000, 0))
	m.Credential(fresh.Event{Layer: "role", Kind: fresh.RenewedAhead, Expires: time.Unix(1700003600, 0), Took: time.Second})
	m.Credential(fresh.Event{Layer: "endless", Kind: fresh.Obtained, Generation: 1})
	m.Credential(fresh.Event{Layer: "none", Kind: fresh.Failed})
	m.Credential(fresh.Event{Layer: "dropped", Kind: fresh.Obtained, Generation: 1, Expires: time.Unix(1700003600, 0)})
	m.Forget("dropped")

	for accept, kind := range map[string]string{"": "application/openmetrics-text", "*/*": "application/openmetrics-text", "text/plain": "text/plain"} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, kind) {
			t.Errorf("Accept %q: %q, want %q", accept, got, kind)
		}
		for _, want := range []string{
			`longcase_issuer_outcomes_total{endpoint="token",error="invalid_grant",grant="refresh_token",outcome="refused"} 1`,
			`longcase_gate_decisions_total{edge="proxy",reason="expired",route="/orders/"} 1`,
			`longcase_gate_decisions_total{edge="proxy",reason="preflight",route="/orders/"} 1`,
			`longcase_gate_decisions_total{edge="proxy",reason="no_route",route=""} 1`,
			`longcase_store_retired_buckets_total 3`, `longcase_build_info{version="1.2.3"} 1`,
			`longcase_credential_events_total{credential="role",event="renewed_ahead"} 1`,
			`longcase_credential_expires_timestamp_seconds{credential="role"} 1.7000036e+09`, `longcase_credential_renewal_seconds_sum 1`,
			`longcase_credential_expires_timestamp_seconds{credential="endless"} +Inf`, `longcase_credential_expires_timestamp_seconds{credential="none"} 0`,
		} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("Accept %q: no %s", accept, want)
			}
		}
		if strings.Contains(w.Body.String(), `expires_timestamp_seconds{credential="dropped"}`) {
			t.Error("a credential that is gone has an end, which will pass")
		}
		if strings.Contains(w.Body.String(), "must-not-be-a-label") {
			t.Error("a request's own text became a label")
		}
	}
}
