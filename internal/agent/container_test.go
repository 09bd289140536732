package agent

import (
	"context"
	"testing"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/internal/agent/render"
)

func TestAContainersTokenIsItsOwn(t *testing.T) {
	a := prepared(t, Config{Publish: []Publication{
		{Form: AWSContainer, Name: "a", Listen: listen, Keys: someKeys},
		{Form: AWSContainer, Name: "b", Listen: listen, Keys: func(context.Context) (render.Keys, error) {
			return render.Keys{}, fresh.Fail(fresh.Unavailable, "STS answered 503")
		}},
	}})
	key := func(name string) string {
		v, err := a.secretOf(Publication{Form: AWSContainer, Name: name}).text()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if key("a") == key("b") {
		t.Error("two credentials have one token")
	}
	ok := `{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"hush/key","Token":"hush+session","Expiration":"2026-11-22T11:00:00Z"}` + "\n"
	rows(t, a, []row{
		{name: "its own", target: "/container/a", headers: []string{"Authorization", key("a")}, status: 200, body: ok},
		{name: "unavailable", target: "/container/b", headers: []string{"Authorization", key("b")}, status: 503, body: `{"code":"Service Unavailable","message":"b: unavailable: STS answered 503"}` + "\n"},
		{name: "another's", target: "/container/a", headers: []string{"Authorization", key("b")}, status: 401},
		{name: "none", target: "/container/a", status: 401},
		{name: "an empty one", target: "/container/a", headers: []string{"Authorization", ""}, status: 401},
		{name: "a longer one", target: "/container/a", headers: []string{"Authorization", key("a") + "A"}, status: 401},
		{name: "with a scheme", target: "/container/a", headers: []string{"Authorization", "Bearer " + key("a")}, status: 401},
		{name: "twice", target: "/container/a", headers: []string{"Authorization", key("a"), "Authorization", key("a")}, status: 401},
		{name: "an unknown name is no other answer", target: "/container/c", headers: []string{"Authorization", key("a")}, status: 401},
		{name: "a path below", target: "/container/a/b", headers: []string{"Authorization", key("a")}, status: 401},
		{name: "PUT", method: "PUT", target: "/container/a", headers: []string{"Authorization", key("a")}, status: 405},
	})
}
