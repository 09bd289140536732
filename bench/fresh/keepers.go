package fresh

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/auth"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"
	"k8s.io/client-go/transport"

	"github.com/longcase/longcase/fresh"
)

// errDown is what an upstream that is down answers.
var errDown = errors.New("503 Service Unavailable")

// upstream mints tokens that know their end, unless it is down.
type upstream struct {
	life time.Duration
	slow time.Duration // each call takes this long
	down atomic.Bool

	mu     sync.Mutex
	calls  int
	minted map[string]time.Time // token -> its end
}

func newUpstream(life time.Duration) *upstream {
	return &upstream{life: life, minted: map[string]time.Time{}}
}

func (u *upstream) mint() (value string, expires time.Time, err error) {
	u.mu.Lock()
	u.calls++
	n := u.calls
	u.mu.Unlock()
	time.Sleep(u.slow)
	if u.down.Load() {
		return "", time.Time{}, errDown
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	value, expires = "token-"+strconv.Itoa(n), time.Now().Add(u.life)
	u.minted[value] = expires
	return value, expires, nil
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls
}

// live reports whether an API would take the token now.
func (u *upstream) live(value string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	end, known := u.minted[value]
	return known && time.Now().Before(end)
}

// revoke ends every token that was minted so far.
func (u *upstream) revoke() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.minted)
}

// get returns a cached token.
type get func(ctx context.Context) (string, error)

// keeper is one contender: a cache in front of an upstream.
type keeper struct {
	name string
	make func(u *upstream) get
}

func keepers() []keeper {
	return []keeper{
		{"longcase", longcase},
		{"x/oauth2", reuse},
		{"aws-sdk-go-v2", credentialsCache},
		{"cloud auth", cachedProvider(false)},
		{"cloud auth, blocking", cachedProvider(true)},
		{"client-go", cachingSource},
	}
}

// layer is a Longcase layer over u.
func layer(u *upstream, policy fresh.Policy) *fresh.Layer[fresh.Token] {
	return fresh.New(func(context.Context, time.Time) (fresh.Credential[fresh.Token], error) {
		value, expires, err := u.mint()
		if err != nil {
			return fresh.Credential[fresh.Token]{}, fresh.Fail(fresh.Unavailable, "%v", err)
		}
		return fresh.Credential[fresh.Token]{Value: fresh.Token{Value: value, Type: "Bearer"}, Expires: expires}, nil
	}, policy)
}

func longcase(u *upstream) get {
	l := layer(u, fresh.Policy{})
	return func(ctx context.Context) (string, error) {
		lease, err := l.Get(ctx)
		return lease.Value.Value, err
	}
}

// source is u as an oauth2.TokenSource.
type source struct{ u *upstream }

// Token implements oauth2.TokenSource.
func (s source) Token() (*oauth2.Token, error) {
	value, expires, err := s.u.mint()
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: value, TokenType: "Bearer", Expiry: expires}, nil
}

func fromSource(s oauth2.TokenSource) get {
	return func(context.Context) (string, error) {
		t, err := s.Token()
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	}
}

func reuse(u *upstream) get { return fromSource(oauth2.ReuseTokenSource(nil, source{u})) }

func cachingSource(u *upstream) get { return fromSource(transport.NewCachedTokenSource(source{u})) }

func credentialsCache(u *upstream) get {
	cache := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		value, expires, err := u.mint()
		return aws.Credentials{AccessKeyID: value, SecretAccessKey: "s", CanExpire: true, Expires: expires}, err
	}), func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = 5 * time.Minute // as the SDK sets it for container credentials
	})
	return func(ctx context.Context) (string, error) {
		c, err := cache.Retrieve(ctx)
		return c.AccessKeyID, err
	}
}

// provider is u as a provider of cloud.google.com/go/auth.
type provider struct{ u *upstream }

// Token implements auth.TokenProvider.
func (p provider) Token(context.Context) (*auth.Token, error) {
	value, expires, err := p.u.mint()
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: value, Type: "Bearer", Expiry: expires}, nil
}

func cachedProvider(blocking bool) func(u *upstream) get {
	return func(u *upstream) get {
		p := auth.NewCachedTokenProvider(provider{u}, &auth.CachedTokenProviderOptions{DisableAsyncRefresh: blocking})
		return func(ctx context.Context) (string, error) {
			t, err := p.Token(ctx)
			if err != nil {
				return "", err
			}
			return t.Value, nil
		}
	}
}
