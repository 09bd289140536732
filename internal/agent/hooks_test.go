package agent

import (
	"context"
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

func TestWhatHappensIsTold(t *testing.T) {
	var told []string
	pubs := append(everything(), Publication{Form: AWSContainer, Name: "down", Listen: listen, Keys: func(context.Context) (render.Keys, error) {
		return render.Keys{}, fresh.Fail(fresh.Unavailable, "down")
	}})
	a := prepared(t, Config{Publish: pubs, Hooks: Hooks{
		Served:  func(f Form, name string) { told = append(told, string(f)+" "+name) },
		Refused: func(f Form, name string, why Refusal) { told = append(told, string(f)+" "+name+" "+string(why)) },
	}})
	session := body(ask(a, "PUT", imdsToken, ttlHeader, "60"))
	down, err := a.secretOf(pubs[len(pubs)-1]).text()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		target  string
		headers []string
		want    string
	}{
		{imdsRoles + "/role", []string{tokenHeader, session}, "imds role"},
		{imdsRoles, []string{tokenHeader, session}, ""}, // a name is no credential
		{imdsRoles, nil, "imds  header"},
		{"/container/role", []string{"Authorization", secretText(t, a, AWSContainer)}, "aws-container role"},
		{"/container/down", []string{"Authorization", down}, "aws-container down unavailable"},
		{gceDefault + "token", []string{"Metadata-Flavor", "Google"}, "gce-metadata mail"},
		{gceDefault + "token", []string{"Origin", "x"}, "gce-metadata  browser"},
		{"/", nil, ""},
		{"/elsewhere", nil, "  not_found"},
		{"/elsewhere", []string{"Host", "evil"}, "  host"},
	} {
		told = nil
		ask(a, "GET", tt.target, tt.headers...)
		if want := slices.DeleteFunc([]string{tt.want}, func(s string) bool { return s == "" }); !slices.Equal(told, want) {
			t.Errorf("%s %q: told %q, want %q", tt.target, tt.headers, told, want)
		}
	}
}

func TestABoundServerHasLimitsAndKeepsItsContext(t *testing.T) {
	type key struct{}
	s := &http.Server{ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "kept") }}
	Bound(s)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	ctx := s.ConnContext(t.Context(), a)
	if _, knows := ctx.Value(callerKey{}).(caller); ctx.Value(key{}) != "kept" || !knows {
		t.Error("the server's own ConnContext is lost, or the connection is not known")
	}
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= patience || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("limits are missing, or an answer has no time: %+v", s)
	}
}
