package clock

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/facebook/time/ntp/chrony"
	"go.uber.org/goleak"

	"github.com/longcase/longcase/verify/skew"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stamp writes t as NTP does: seconds since 1900 and a fraction of 32 bits.
func stamp(p []byte, t time.Time) {
	const to1970 = 2208988800
	binary.BigEndian.PutUint32(p, uint32(t.Unix()+to1970))
	binary.BigEndian.PutUint32(p[4:], uint32(float64(t.Nanosecond())/1e9*math.MaxUint32))
}

// answers serves UDP datagrams until the test ends.
func answers(t *testing.T, conn net.PacketConn, answer func(query []byte) []byte) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answer(bytes.Clone(buf[:n])); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
}

func listen(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// ntpServer is an NTP server whose clock is ahead of this host's.
func ntpServer(t *testing.T, ahead time.Duration, change func(reply []byte)) string {
	t.Helper()
	conn := listen(t)
	answers(t, conn, func(query []byte) []byte {
		now := time.Now().Add(ahead)
		reply := make([]byte, 48)
		reply[0], reply[1], reply[2], reply[3] = 0x24, 2, 6, 0xec // version 4, server; stratum 2
		reply[11] = 0x40                                          // a root dispersion of 1 ms
		stamp(reply[16:], now.Add(-time.Minute))
		copy(reply[24:32], query[40:48])
		stamp(reply[32:], now)
		stamp(reply[40:], now)
		if change != nil {
			change(reply)
		}
		return reply
	})
	return conn.LocalAddr().String()
}

func watch(t *testing.T, cfg Config) *Watch {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.kernel = func() (*skew.Host, error) { return &skew.Host{Bound: time.Second, Source: "kernel"}, nil }
	return w
}

// nowhere is an address at which nobody listens.
func nowhere(t *testing.T) string {
	conn := listen(t)
	defer conn.Close()
	return conn.LocalAddr().String()
}

func TestSNTP(t *testing.T) {
	unsynchronised := func(reply []byte) { reply[0] |= 0xc0 }
	kiss := func(reply []byte) { reply[1] = 0; copy(reply[12:], "RATE") }
	forged := func(reply []byte) { reply[24] ^= 0xff } // not an answer to this question
	tests := []struct {
		name    string
		servers []string
		ahead   time.Duration
		source  int // the server that is believed; -1: none
	}{
		{"a server 21 s ahead", []string{ntpServer(t, 21*time.Second, nil)}, -21 * time.Second, 0},
		{"a server 21 s behind", []string{ntpServer(t, -21*time.Second, nil)}, 21 * time.Second, 0},
		{"one of three is wrong", []string{ntpServer(t, time.Hour, nil), ntpServer(t, time.Second, nil), ntpServer(t, 0, nil)}, -time.Second, 1},
		{"one does not answer", []string{nowhere(t), ntpServer(t, 3*time.Second, nil)}, -3 * time.Second, 1},
		{"one is not synchronised", []string{ntpServer(t, 21*time.Second, unsynchronised), ntpServer(t, 0, nil)}, 0, 1},
		{"none is", []string{ntpServer(t, 21*time.Second, unsynchronised)}, 0, -1},
		{"a kiss of death", []string{ntpServer(t, 21*time.Second, kiss)}, 0, -1},
		{"a stranger's answer", []string{ntpServer(t, 21*time.Second, forged)}, 0, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := watch(t, Config{NTP: tt.servers, Chrony: nowhere(t)}).Read(t.Context())
			want := "kernel"
			if tt.source >= 0 {
				want = "ntp " + tt.servers[tt.source]
			}
			if got == nil || got.Source != want || (got.Offset-tt.ahead).Abs() > got.Bound {
				t.Errorf("%+v, want %v from %q", got, tt.ahead, want)
			}
		})
	}
}

func TestAServerThatRefusesIsLeftAlone(t *testing.T) {
	var asked atomic.Int64
	name := ntpServer(t, 0, func(reply []byte) {
		asked.Add(1)
		reply[1] = 0
	})
	now := time.Now()
	w := watch(t, Config{NTP: []string{name}, Chrony: nowhere(t), Now: func() time.Time { return now }})
	for range 3 {
		w.Read(t.Context())
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times after its kiss of death", n)
	}
	now = now.Add(refused)
	if w.Read(t.Context()); asked.Load() != 2 {
		t.Error("not asked again a quarter of an hour later")
	}
}

// A real exchange with chronyd is in the e2e tests.
func TestTracking(t *testing.T) {
	good := chrony.Tracking{Stratum: 3, CurrentCorrection: 20.9, RootDelay: 0.02, RootDispersion: 0.005}
	with := func(change func(*chrony.Tracking)) *chrony.Tracking {
		t := good
		change(&t)
		return &t
	}
	drifts := skew.Host{Source: "chrony", Unsynchronised: true}
	tests := []struct {
		name string
		in   *chrony.Tracking
		want skew.Host
	}{
		{"behind", &good, skew.Host{Offset: -20900 * time.Millisecond, Bound: 15 * time.Millisecond, Source: "chrony"}},
		{"ahead", with(func(t *chrony.Tracking) { t.CurrentCorrection = -0.5 }), skew.Host{Offset: 500 * time.Millisecond, Bound: 15 * time.Millisecond, Source: "chrony"}},
		{"no server yet", with(func(t *chrony.Tracking) { t.Stratum = 0 }), drifts},
		{"stratum 16", with(func(t *chrony.Tracking) { t.Stratum = 16 }), drifts},
		{"leap says so", with(func(t *chrony.Tracking) { t.LeapStatus = 3 }), drifts},
		{"no number", with(func(t *chrony.Tracking) { t.CurrentCorrection = math.NaN() }), drifts},
		{"beyond a duration", with(func(t *chrony.Tracking) { t.RootDispersion = 1e300 }), drifts},
		{"a negative bound", with(func(t *chrony.Tracking) { t.RootDispersion = -1 }), drifts},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tracked(tt.in); *got != tt.want {
				t.Errorf("%+v, want %+v", *got, tt.want)
			}
		})
	}
}

func FuzzChronyReply(f *testing.F) {
	f.Add([]byte{6, 2, 0, 0, 0, 33, 0, 5})
	f.Add(make([]byte, 104))
	f.Fuzz(func(t *testing.T, reply []byte) {
		client := chrony.Client{Connection: &canned{reply: reply}}
		got, err := client.Communicate(chrony.NewTrackingPacket())
		if r, ok := got.(*chrony.ReplyTracking); ok && err == nil {
			if h := tracked(&r.Tracking); h.Bound < 0 || h.Unsynchronised && h.Offset != 0 {
				t.Errorf("%+v from %+v", h, r.Tracking)
			}
		}
	})
}

type canned struct{ reply []byte }

func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) Read(p []byte) (int, error)  { return copy(p, c.reply), nil }

func TestAChronydThatAnswersNonsenseIsPassedOver(t *testing.T) {
	tests := []struct {
		name  string
		reply []byte
	}{
		{"nothing", nil},
		{"one byte", []byte{6}},
		{"refused", append([]byte{6, 2, 0, 0, 0, 33, 0, 5, 0, 2}, make([]byte, 30)...)},
		{"the answer to another question", append([]byte{6, 2, 0, 0, 0, 14, 0, 2, 0, 0}, make([]byte, 30)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := listen(t)
			answers(t, conn, func([]byte) []byte { return tt.reply })
			if got := watch(t, Config{Chrony: conn.LocalAddr().String()}).Read(t.Context()); got == nil || got.Source != "kernel" {
				t.Errorf("%+v, want the kernel's word", got)
			}
		})
	}
}

// The socket of this side goes with its connection.
func TestTheSocketBesideChronydsIsRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chronyd.sock")
	conn, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	answers(t, conn, func([]byte) []byte { return []byte{6} })
	if got := watch(t, Config{Chrony: path}).Read(t.Context()); got == nil || got.Source != "kernel" {
		t.Errorf("%+v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is left beside chronyd's socket", left)
	}
	if got := watch(t, Config{Chrony: filepath.Join(dir, "none.sock")}).Read(t.Context()); got == nil || got.Source != "kernel" {
		t.Errorf("without a socket: %+v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is left after a socket that is not there", left)
	}
}

func TestRunTellsEachReadingAndTheLogOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // held by Run wherever it writes, and here but for sleep
		mu.Lock()
		sleep := func(d time.Duration) {
			mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
		}
		var log bytes.Buffer
		var told []*skew.Host
		state := &skew.Host{Offset: -21 * time.Second, Bound: time.Millisecond, Source: "kernel"}
		w, err := New(Config{
			Chrony: "/nowhere/chronyd.sock",
			Log:    slog.New(slog.NewTextHandler(&log, nil)),
			Tell: func(h *skew.Host, _ time.Time) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, h)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.kernel = func() (*skew.Host, error) {
			mu.Lock()
			defer mu.Unlock()
			return state, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		sleep(10 * time.Minute)
		if n := len(told); n < 8 || n > 13 || told[n-1] != state {
			t.Errorf("told %d times in 10 minutes", n)
		}
		state = nil
		sleep(2 * time.Minute)
		if told[len(told)-1] != nil {
			t.Error("what is not known any more is still told")
		}
		mu.Unlock()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		if n := strings.Count(log.String(), "this host's clock is wrong"); n != 1 {
			t.Errorf("the log says it %d times:\n%s", n, &log)
		}
	})
}

func TestReadEndsWithItsContext(t *testing.T) {
	silent := listen(t)
	answers(t, silent, func([]byte) []byte { return nil })
	name := silent.LocalAddr().String()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	done := make(chan struct{})
	go func() {
		watch(t, Config{NTP: []string{name}, Chrony: name}).Read(ctx)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(timeout):
		t.Error("Read goes on after its context's end")
		<-done
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		says []string
	}{
		{"a URL", Config{NTP: []string{"ntp://time.example"}}, []string{`"ntp://time.example"`}},
		{"an empty name, and too often", Config{NTP: []string{""}, Every: time.Millisecond}, []string{"names no host", "Every is 1ms"}},
		{"a port that is none", Config{NTP: []string{"time.example:ntp"}}, []string{"no port number"}},
		{"nine servers", Config{NTP: strings.Split(strings.Repeat("a,", 9), ",")[:9]}, []string{"9 servers"}},
		{"a relative path", Config{Chrony: "chronyd.sock"}, []string{"Chrony"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			for _, says := range tt.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("New = %v, want %q", err, says)
				}
			}
		})
	}
	if _, err := New(Config{NTP: []string{"time.example", "time.example:123", "192.0.2.1", "[2001:db8::1]:123", "[2001:db8::1]", "2001:db8::1"}}); err != nil {
		t.Error(err)
	}
}

func TestMedian(t *testing.T) {
	h := func(offset, bound int) *skew.Host {
		return &skew.Host{Offset: time.Duration(offset), Bound: time.Duration(bound)}
	}
	tests := []struct {
		name string
		in   []*skew.Host
		want *skew.Host
	}{
		{"none", []*skew.Host{nil, nil}, nil},
		{"one", []*skew.Host{nil, h(1, 1)}, h(1, 1)},
		{"the surer one of two", []*skew.Host{h(5, 1), h(9, 2)}, h(5, 1)},
		{"the surer one of two, above", []*skew.Host{h(5, 3), h(9, 2)}, h(9, 2)},
		{"three", []*skew.Host{h(9e15, 1), h(2, 9), h(-9e15, 1)}, h(2, 9)},
	}
	for _, tt := range tests {
		if got := median(tt.in); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
