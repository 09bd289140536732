package steady

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/longcase/longcase/internal/plan"
	"github.com/longcase/longcase/store"
)

// Load is a token service under a constant rate, in the store's own time.
type Load struct {
	plan.Load
	Step time.Duration // the clock moves by this much; what falls into it happens at once
}

// texts are what an issuer writes into a record beside its numbers: the same for
// every session of a client, except the subject.
type texts struct{ client, audience, scopes string }

func (l Load) texts() texts {
	fill := func(n int) string { return strings.Repeat("orders.read", n/11+1)[:n] }
	third := l.Shared / 3
	return texts{fill(third), "https://" + fill(max(third-8, 0)), fill(max(l.Shared-2*third, 0))}
}

// name is one that nobody else has, as a user's id in a directory or a token's.
func name(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// session is one as the issuer writes it (issuer/session.go).
func (l Load) session(now time.Time) store.Session {
	end := now.Add(l.Life).Truncate(time.Second)
	return store.Session{ID: store.NewID(now, end), End: end, Generation: 1, Client: l.texts().client, Subject: name(l.Subject), Data: l.sessionData(now, now.Add(l.refreshed()))}
}

// refreshed is when a session was refreshed last, after its beginning: any time,
// or never.
func (l Load) refreshed() time.Duration {
	if l.Every <= 0 {
		return 0
	}
	return rand.N(l.Every)
}

func (l Load) sessionData(begun, used time.Time) []byte {
	t := l.texts()
	return fmt.Appendf(nil, `{"mac":"2DLVZXOZUBJLEMQZ","begun":%d,"used":%d,"grant":"authorization_code","aud":%q,"scopes":[%q],"auth_time":%d}`,
		begun.Unix(), used.UnixMilli(), t.audience, t.scopes, begun.Unix())
}

// code is an authorization code (issuer/code.go), used or not.
func (l Load) code(now time.Time, subject string) store.Document {
	t := l.texts()
	end := now.Add(plan.CodeLife).Truncate(time.Second)
	data := fmt.Appendf(nil, `{"mac":"2DLVZXOZUBJLEMQZ","client":%q,"sub":%q,"redirect_uri":"http://127.0.0.1:8080/callback","challenge":"%s","aud":%q,"scopes":[%q],"auth_time":%d,"iat":%d,"exp":%d}`,
		t.client, subject, name(43), t.audience, t.scopes, now.Unix(), now.Unix(), now.UnixMilli())
	return store.Document{Kind: store.Code, ID: store.NewID(now, end), End: end, Data: data}
}

// used is the code after its one use.
func used(d store.Document, session store.ID) store.Document {
	tail := fmt.Sprintf(`,"used":true,"sid":"%s","jti":"lc.ya6q4tai.%s","jti_exp":%d}`, session, name(22), d.End.Unix())
	d.Data = append(d.Data[:len(d.Data)-1:len(d.Data)-1], tail...)
	return d
}

// login is a browser's login session (issuer/login_session.go).
func (l Load) login(now time.Time, subject string) store.Document {
	end := now.Add(l.Life).Truncate(time.Second)
	return store.Document{Kind: store.Login, ID: store.NewID(now, end), End: end,
		Data: fmt.Appendf(nil, `{"mac":"2DLVZXOZUBJLEMQZ","sub":%q,"auth_time":%d}`, subject, now.Unix())}
}
