package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longcase/longcase/fresh"
)

// tv is a double of a token service with a device endpoint (RFC 8628), strict
// about the interval. It is served without a socket, so that time can be made.
type tv struct {
	mu       sync.Mutex
	begun    time.Time
	codes    int       // given
	polled   time.Time // last
	polls    int
	hasty    int           // polls that came too early
	interval time.Duration // that holds now
	told     time.Duration // that the client knows of
	person   time.Duration // after which the person has entered the code
	denies   bool
	refresh  string // in the answer
	refuse   string // refreshes are refused with this error
	stumbles string // polls are answered with this error
	found    int    // readings of the metadata
	extra    string // of the device answer
	forms    []url.Values
	broken   bool // the connection breaks
}

func (s *tv) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_ = r.ParseForm()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forms = append(s.forms, r.PostForm)
	switch {
	case s.broken:
		return nil, errors.New("connection reset")
	case strings.HasPrefix(r.URL.Path, "/.well-known/"):
		s.found++
		says(200, `{"issuer":"https://tv.test","token_endpoint":"https://tv.test/token","device_authorization_endpoint":"https://tv.test/device"}`)(w, r)
	case r.URL.Path == "/device":
		s.codes++
		s.begun, s.polled, s.interval = time.Now(), time.Now(), 5*time.Second
		s.told = max(s.told, 2*time.Second)
		says(200, fmt.Sprintf(`{"device_code":"d%d","user_code":"WDJB-%d","verification_uri":"https://tv.test/go","expires_in":600%s}`, s.codes, s.codes, s.extra))(w, r)
	case r.PostForm.Get("grant_type") == "refresh_token":
		if s.refuse != "" {
			says(400, `{"error":"`+s.refuse+`"}`)(w, r)
			break
		}
		says(200, `{"access_token":"refreshed","expires_in":3600}`)(w, r)
	default:
		s.poll(w, r)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (s *tv) poll(w http.ResponseWriter, r *http.Request) {
	s.polls++
	early := time.Since(s.polled) < s.interval
	s.polled = time.Now()
	refuse := func(code string) { says(400, `{"error":"`+code+`"}`)(w, r) }
	switch since := time.Since(s.begun); {
	case s.stumbles != "":
		refuse(s.stumbles)
	case r.PostForm.Get("device_code") != fmt.Sprintf("d%d", s.codes):
		refuse("invalid_grant")
	case early:
		s.hasty++
		s.told += 5 * time.Second
		s.interval = s.told
		refuse("slow_down")
	case since >= 10*time.Minute:
		refuse("expired_token")
	case since < s.person:
		refuse("authorization_pending")
	case s.denies:
		refuse("access_denied")
	default:
		says(200, fmt.Sprintf(`{"access_token":"signed-in","expires_in":3600,"refresh_token":%q}`, s.refresh))(w, r)
	}
}

func (s *tv) config() Config {
	return Config{TokenEndpoint: "https://tv.test/token", DeviceEndpoint: "https://tv.test/device", Client: "tv", Scopes: []string{"watch"}, HTTP: &http.Client{Transport: s}}
}

// screen shows codes.
type screen struct{ shown []DeviceCode }

func (s *screen) show(c DeviceCode) { s.shown = append(s.shown, c) }

// within fetches with a timeout.
func within(d time.Duration, root fresh.Root[fresh.Token]) (fresh.Credential[fresh.Token], error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return root(ctx, time.Now())
}

func TestAPersonSignsInOnceAndIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{person: 22 * time.Second, refresh: "r1", extra: `,"interval":5,"verification_uri_complete":"https://tv.test/go?code=WDJB-1"`}
		var screen screen
		begun := time.Now()
		root := Device(s.config(), State{}, screen.show)
		c, err := within(time.Minute, root)
		if err != nil || c.Value.Value != "signed-in" || time.Since(begun) != 25*time.Second || s.polls != 5 {
			t.Errorf("%v after %s and %d polls", err, time.Since(begun), s.polls)
		}
		want := DeviceCode{UserCode: "WDJB-1", URI: "https://tv.test/go", Complete: "https://tv.test/go?code=WDJB-1", Expires: begun.Add(10 * time.Minute).Round(0).UTC()}
		if len(screen.shown) != 1 || screen.shown[0] != want {
			t.Errorf("the screen shows %+v", screen.shown)
		}
		if s.forms[0].Get("scope") != "watch" || s.forms[0].Get("client_id") != "tv" || s.forms[0].Has("grant_type") {
			t.Errorf("asked with %v", s.forms[0])
		}
		if c, err := within(time.Minute, root); err != nil || c.Value.Value != "refreshed" || s.codes != 1 {
			t.Errorf("then %v, %d codes", err, s.codes)
		}
		s.refuse = "invalid_grant" // the session is over
		if c, err := within(time.Minute, root); err != nil || c.Value.Value != "signed-in" || len(screen.shown) != 2 {
			t.Errorf("then %v, shown %d codes", err, len(screen.shown))
		}
		s.refuse = "invalid_client"
		if _, err := within(time.Minute, root); !isReason(err, fresh.Refused) || len(screen.shown) != 2 {
			t.Errorf("a client that is refused: %v, shown %d codes", err, len(screen.shown))
		}
	})
}

func TestACodeOutlivesTheFetchAndTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{person: 80 * time.Second}
		state := State{File: filepath.Join(t.TempDir(), "tv.state")}
		var screen screen
		root := Device(s.config(), state, screen.show)
		for range 2 {
			if _, err := within(30*time.Second, root); !isReason(err, fresh.Unavailable) || !strings.Contains(err.Error(), "nobody has entered the code WDJB-1 at https://tv.test/go yet") {
				t.Errorf("%v", err)
			}
		}
		restarted := Device(s.config(), state, screen.show)
		if c, err := within(30*time.Second, restarted); err != nil || c.Value.Value != "signed-in" {
			t.Errorf("%v", err)
		}
		if s.codes != 1 || s.hasty != 0 || len(screen.shown) != 2 || screen.shown[0] != screen.shown[1] {
			t.Errorf("%d codes, %d hasty polls, shown %v", s.codes, s.hasty, screen.shown)
		}
	})
}

func TestHowASignInFails(t *testing.T) {
	tests := []struct {
		name   string
		tv     *tv
		after  time.Duration
		reason fresh.Reason
		code   string
		wait   time.Duration
	}{
		{"the person says no", &tv{person: 7 * time.Second, denies: true}, 10 * time.Second, fresh.Refused, "access_denied", 5 * time.Minute},
		{"nobody comes", &tv{person: time.Hour}, 10 * time.Minute, fresh.Refused, "expired_token", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var screen screen
				begun := time.Now()
				root := Device(tt.tv.config(), State{}, screen.show)
				_, err := within(time.Hour, root)
				var no *Error
				var e *fresh.Error
				if !errors.As(err, &no) || no.Code != tt.code || !errors.As(err, &e) || e.Reason != tt.reason || e.RetryAfter != tt.wait || time.Since(begun) != tt.after {
					t.Errorf("%v after %s, want %s after %s", err, time.Since(begun), tt.code, tt.after)
				}
				tt.tv.person, tt.tv.denies = 0, false
				if _, err := within(time.Minute, root); err != nil || tt.tv.codes != 2 || len(screen.shown) != 2 {
					t.Errorf("the next attempt: %v, %d codes", err, tt.tv.codes)
				}
			})
		})
	}
}

// A refusal that is not about the code leaves it to the person who has it.
func TestACodeOutlivesOtherRefusals(t *testing.T) {
	for _, code := range []string{"temporarily_unavailable", "server_error", "invalid_client"} {
		synctest.Test(t, func(t *testing.T) {
			s := &tv{person: 20 * time.Second, stumbles: code}
			var screen screen
			root := Device(s.config(), State{}, screen.show)
			for range 2 {
				if _, err := within(time.Minute, root); err == nil || !strings.Contains(err.Error(), code) {
					t.Errorf("%v, want %s", err, code)
				}
			}
			s.stumbles = ""
			if _, err := within(time.Minute, root); err != nil || s.codes != 1 || len(screen.shown) != 1 {
				t.Errorf("after %s: %v, %d codes, shown %d times", code, err, s.codes, len(screen.shown))
			}
		})
	}
}

func TestTheMetadataHoldsWhileAPersonIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{person: time.Minute}
		cfg := s.config()
		cfg.Issuer, cfg.TokenEndpoint, cfg.DeviceEndpoint = "https://tv.test", "", ""
		if _, err := within(time.Hour, Device(cfg, State{}, func(DeviceCode) {})); err != nil || s.found != 1 || s.polls < 10 {
			t.Errorf("%v; the metadata was read %d times for %d polls, want once", err, s.found, s.polls)
		}
	})
}

func TestAClockThatIsSetBackDelaysNoPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{person: 15 * time.Second}
		back := time.Duration(0)
		cfg := s.config()
		cfg.Now = func() time.Time { return time.Now().Add(-back).Round(0) }
		root := Device(cfg, State{}, func(DeviceCode) {})
		_, _ = within(12*time.Second, root)
		back = time.Hour
		if c, err := within(30*time.Second, root); err != nil || c.Value.Value != "signed-in" {
			t.Errorf("%v", err)
		}
	})
}

func TestSlowDownIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tv{person: 40 * time.Second, extra: `,"interval":"2"`}
		if _, err := within(time.Hour, Device(s.config(), State{}, func(DeviceCode) {})); err != nil {
			t.Fatal(err)
		}
		// Polls after 2 s, too early for a busy service, and then each 7 s.
		if s.hasty != 1 || s.polls != 7 {
			t.Errorf("%d polls, %d too early", s.polls, s.hasty)
		}
	})
}

func TestDeviceAnswers(t *testing.T) {
	tests := []struct {
		name string
		body string
		want error
		wait time.Duration
	}{
		{"usual", `{"device_code":"d","user_code":"U","verification_uri":"https://a.test","expires_in":600,"interval":7}`, nil, 7 * time.Second},
		{"the early name", `{"device_code":"d","user_code":"U","verification_url":"https://a.test","expires_in":"600"}`, nil, 5 * time.Second},
		{"an interval of nothing", `{"device_code":"d","user_code":"U","verification_uri":"https://a.test","expires_in":600,"interval":0}`, nil, time.Second},
		{"an absurd interval", `{"device_code":"d","user_code":"U","verification_uri":"https://a.test","expires_in":600,"interval":1e9}`, nil, time.Minute},
		{"over at once", `{"device_code":"d","user_code":"U","verification_uri":"https://a.test","expires_in":0}`, fresh.Ended, 0},
		{"no code", `{"user_code":"U","verification_uri":"https://a.test"}`, fresh.Malformed, 0},
		{"no user code", `{"device_code":"d","verification_uri":"https://a.test"}`, fresh.Malformed, 0},
		{"a user code that writes on the screen", `{"device_code":"d","user_code":"U\u001b[2J","verification_uri":"https://a.test"}`, fresh.Malformed, 0},
		{"a place in the clear", `{"device_code":"d","user_code":"U","verification_uri":"http://a.test"}`, fresh.Malformed, 0},
		{"a place too long to be read", `{"device_code":"d","user_code":"U","verification_uri":"https://a.test/` + strings.Repeat("x", 1<<20) + `"}`, fresh.Malformed, 0},
		{"a place that is a script", `{"device_code":"d","user_code":"U","verification_uri":"javascript:alert(1)"}`, fresh.Malformed, 0},
		{"cut off", `{"device_code":`, fresh.Malformed, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := readDevice(answerOf(tt.body), start)
			if !errors.Is(err, tt.want) || p.Interval != tt.wait {
				t.Errorf("%+v, %v; want %s, %v", p, err, tt.wait, tt.want)
			}
		})
	}
}

func TestDeviceSettings(t *testing.T) {
	show := func(DeviceCode) {}
	nameless, halved := (&tv{}).config(), (&tv{}).config()
	nameless.Client, halved.DeviceEndpoint = "", ""
	d := newDouble(t, usual)
	for name, root := range map[string]fresh.Root[fresh.Token]{
		"no client":                Device(nameless, State{}, show),
		"no prompt":                Device((&tv{}).config(), State{}, nil),
		"half the endpoints":       Device(halved, State{}, show),
		"none in the metadata":     Device(d.config(), State{}, show),
		"a prompt for nobody else": Device(Config{}, State{}, show),
	} {
		if _, err := fetch(t, root); !isReason(err, fresh.Misconfigured) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if slices.ContainsFunc(d.requests(), func(r http.Request) bool { return r.Method == http.MethodPost }) {
		t.Error("the token endpoint was asked for a code")
	}
}
