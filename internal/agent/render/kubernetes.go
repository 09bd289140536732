package render

import (
	"encoding/json"
	"fmt"
	"time"
)

const (
	execV1      = "client.authentication.k8s.io/v1"
	execV1beta1 = "client.authentication.k8s.io/v1beta1"
)

// ExecCredential is what a Kubernetes credential plugin prints. info is the
// value of KUBERNETES_EXEC_INFO: the version asked for is the one printed; empty
// is v1. A client runs the plugin again only after expirationTimestamp, or after
// a 401, so the end told is before the end: by a tenth of what remains, at most
// a minute.
func ExecCredential(t Token, info string, now time.Time) ([]byte, error) {
	version, err := execVersion(info)
	if err != nil {
		return nil, err
	}
	type status struct {
		End   string `json:"expirationTimestamp,omitempty"`
		Token string `json:"token"`
	}
	end := t.Expires
	if !end.IsZero() {
		end = end.Add(-min(end.Sub(now)/10, time.Minute))
	}
	return line(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     status `json:"status"`
	}{version, "ExecCredential", status{optional(end), t.Value}}), nil
}

func execVersion(info string) (string, error) {
	if info == "" {
		return execV1, nil
	}
	var asked struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal([]byte(info), &asked); err != nil {
		return "", fmt.Errorf("KUBERNETES_EXEC_INFO is not JSON: %w", err)
	}
	if asked.Kind != "ExecCredential" || (asked.APIVersion != execV1 && asked.APIVersion != execV1beta1) {
		return "", fmt.Errorf("KUBERNETES_EXEC_INFO asks for %.100q %.100q: known are ExecCredential of %s and %s", asked.APIVersion, asked.Kind, execV1, execV1beta1)
	}
	return asked.APIVersion, nil
}
