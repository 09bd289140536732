package ask

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/longcase/longcase/fresh"
)

func get(ctx context.Context, t *testing.T, url string) (Answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Do(Direct, req, "the service")
}

func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	t.Cleanup(Direct.CloseIdleConnections)
	return s.URL
}

func TestARedirectIsAnAnswer(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request went elsewhere") })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	a, err := get(t.Context(), t, url)
	if err != nil || a.Status != http.StatusTemporaryRedirect {
		t.Errorf("Do = %d, %v", a.Status, err)
	}
	if err := a.OK("the service", ""); !errors.Is(err, fresh.Refused) {
		t.Errorf("OK = %v, want Refused", err)
	}
}

func TestAClientOfTheCallersFollowsNoRedirectEither(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request went elsewhere") })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("client_assertion=secret"))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := Do(&http.Client{Transport: Direct.Transport}, req, "the service"); err != nil || a.Status != http.StatusTemporaryRedirect {
		t.Errorf("Do = %d, %v", a.Status, err)
	}
}

// What is no HTTP comes back in the errors of net/http, all of it.
func TestAServiceThatSpeaksNoHTTPIsShortened(t *testing.T) {
	for name, said := range map[string]string{"a line": strings.Repeat("x", 50_000) + "\r\n\r\n", "a header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.Write([]byte(said))
			_ = conn.Close()
		})
		_, err := get(t.Context(), t, url)
		if text := fmt.Sprint(err); !errors.Is(err, fresh.Unavailable) || len(text) > 400 {
			t.Errorf("%s: an error of %d bytes, %.80s", name, len(text), text)
		}
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxBody+1)) })
	if _, err := get(t.Context(), t, url); !errors.Is(err, fresh.Malformed) {
		t.Errorf("Do = %v, want Malformed", err)
	}
}

func TestWhatCannotBeReachedIsNamedWithoutItsQuery(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := get(ctx, t, url+"/?code=secret")
	if !errors.Is(err, fresh.Unavailable) || !strings.Contains(err.Error(), "the service") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a service that hangs: %v", err)
	}
	if _, err = get(t.Context(), t, "http://127.0.0.1:1/?code=secret"); !errors.Is(err, fresh.Unavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err = get(ctx, t, url); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestARefusalSaysHowLongToWait(t *testing.T) {
	date := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		name       string
		status     int
		retryAfter string
		reason     fresh.Reason
		wait       time.Duration
	}{
		{"seconds", 503, "7", fresh.Unavailable, 7 * time.Second},
		{"a date, by the service's own clock", 429, date.Add(90 * time.Second).Format(http.TimeFormat), fresh.Unavailable, 90 * time.Second},
		{"a date that has passed", 429, date.Add(-time.Hour).Format(http.TimeFormat), fresh.Unavailable, 0},
		{"absurdly long", 503, "99999999", fresh.Unavailable, 5 * time.Minute},
		{"longer than every duration", 503, "9223372037", fresh.Unavailable, 5 * time.Minute},
		{"beyond every number", 503, "99999999999999999999", fresh.Unavailable, 0},
		{"nonsense", 500, "soon", fresh.Unavailable, 0},
		{"a refusal", 403, "", fresh.Refused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := Answer{Status: tt.status, Header: http.Header{"Retry-After": {tt.retryAfter}}, Date: date}
			err := a.OK("the service", "no \x1b[31mway\n\xff"+strings.Repeat("x", 1000))
			var e *fresh.Error
			if !errors.As(err, &e) || e.Reason != tt.reason || e.RetryAfter != tt.wait {
				t.Fatalf("OK = %#v", err)
			}
			if !strings.Contains(e.Detail, "no [31mwayxxx") || len(e.Detail) > 400 {
				t.Errorf("the service's words: %q", e.Detail)
			}
		})
	}
}

func TestARefusalDoesNotRepeatWhatWasSent(t *testing.T) {
	secret := strings.Repeat("eyJ", 200)
	err := Answer{Status: 401}.OK("the service", "the token "+secret+" of you is over, "+secret, "", "you", secret)
	if want := "the service answered 401: the token [secret] of you is over, [secret]"; err == nil || err.Error() != want {
		t.Errorf("OK = %v, want %s", err, want)
	}
}

func TestTheDateOfACacheIsNotTheServices(t *testing.T) {
	age := ""
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if age != "" {
			w.Header().Set("Age", age)
		}
		w.Header().Set("Date", "Sun, 22 Nov 2026 10:00:00 GMT")
	})
	a, err := get(t.Context(), t, url)
	if want := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC); err != nil || !a.Date.Equal(want) {
		t.Errorf("Date = %v, %v", a.Date, err)
	}
	age = "3"
	if a, err = get(t.Context(), t, url); err != nil || !a.Date.IsZero() {
		t.Errorf("Date beside an Age = %v, %v", a.Date, err)
	}
}

func TestCheckURL(t *testing.T) {
	for url, good := range map[string]bool{
		"https://sts.amazonaws.com": true, "http://127.0.0.1:1338/": true, "http://localhost": true, "http://[::1]:80": true,
		"http://sts.amazonaws.com": false, "http://10.0.0.1": false, "ftp://127.0.0.1": false, "https://u:p@a": false, "": false,
		"https:///x": false, "https://a/#f": false,
	} {
		if err := CheckURL(url); (err == nil) != good {
			t.Errorf("CheckURL(%q) = %v", url, err)
		}
	}
}
