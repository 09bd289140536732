package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Config is what a run needs.
type Config struct {
	Longcase string        // the product's binary
	Bare     []string      // the command that calls ServeBare; the address is added
	Rounds   int           // of both servers; the median counts
	Round    time.Duration // of one server
	Starts   int           // cold starts
	Rest     time.Duration // how long a server rests before its memory is read
}

// The client of the measurement. Its secret guards nothing.
const (
	clientID     = "service"
	clientSecret = "a secret of the benchmark and of nothing else"
)

// Run measures and prints both goals.
func Run(out io.Writer, cfg Config) error {
	dir, err := os.MkdirTemp("", "longcase-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := throughput(out, cfg, dir); err != nil {
		return err
	}
	return atRest(out, cfg, dir)
}

// contender is one of the two servers and what was measured of it.
type contender struct {
	name    string
	address string
	*process
	rate []float64 // requests a second
	cost []float64 // processor microseconds a request
}

func throughput(out io.Writer, cfg Config, dir string) error {
	bare, err := startBare(cfg, dir)
	if err != nil {
		return err
	}
	defer bare.kill()
	longcase, err := startLongcase(cfg, filepath.Join(dir, "throughput"))
	if err != nil {
		return err
	}
	defer longcase.kill()
	both := []*contender{bare, longcase}
	for round := range cfg.Rounds + 1 {
		for _, c := range both {
			if err := c.round(cfg.Round, round > 0); err != nil { // the first round warms up
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	report(out, cfg, bare, longcase)
	return nil
}

// round drives one server for d.
func (c *contender) round(d time.Duration, counts bool) error {
	before, err := c.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	n, err := load(c.address, request(c.address), d)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := c.cpu()
	if err != nil || !counts {
		return err
	}
	c.rate = append(c.rate, float64(n)/took.Seconds())
	c.cost = append(c.cost, float64((after-before).Microseconds())/float64(n))
	return nil
}

func report(out io.Writer, cfg Config, bare, longcase *contender) {
	fmt.Fprintf(out, "I1: client_credentials, ES256, %d connections, median of %d rounds of %v\n\n", connections, cfg.Rounds, cfg.Round)
	fmt.Fprintf(out, "%-22s %10s %8s %14s %8s\n", "", "requests/s", "ratio", "CPU us/request", "ratio")
	for _, c := range []*contender{bare, longcase} {
		fmt.Fprintf(out, "%-22s %10.0f %8.2f %14.1f %8.2f\n", c.name, median(c.rate), median(ratios(c.rate, bare.rate)),
			median(c.cost), median(ratios(c.cost, bare.cost)))
	}
	fmt.Fprintf(out, "\ngoal: at least 0.70 of the bare server's requests/s\n\n")
}

func startBare(cfg Config, dir string) (*contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := start(dir, cfg.Bare[0], append(slices.Clone(cfg.Bare[1:]), address)...)
	return &contender{name: "bare net/http + ES256", address: address, process: p}, err
}

func startLongcase(cfg Config, dir string) (*contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "longcase.yaml")
	if err := os.WriteFile(file, []byte(configuration(address)), 0o600); err != nil {
		return nil, err
	}
	p, err := start(dir, cfg.Longcase, "serve", "-c", file)
	return &contender{name: "longcase serve", address: address, process: p}, err
}

// configuration is an issuer with one client.
func configuration(address string) string {
	sum := sha256.Sum256([]byte(clientSecret))
	return fmt.Sprintf(`data: longcase-data
issuer:
  url: http://%[1]s
  listen: %[1]s
  clients:
    - id: %s
      authenticate: secret
      secret: {hash: "sha256$%s"}
      grants: [client_credentials]
      audiences: ["https://orders.example.com"]
      scopes: [orders.read]
`, address, clientID, base64.RawURLEncoding.EncodeToString(sum[:]))
}

// request is the one request of the load, as it stands on the wire.
func request(address string) []byte {
	const body = "grant_type=client_credentials&scope=orders.read"
	basic := base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret))
	return []byte("POST /token HTTP/1.1\r\nHost: " + address + "\r\nAuthorization: Basic " + basic +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// atRest measures cold starts and memory.
func atRest(out io.Writer, cfg Config, dir string) error {
	var fresh, again, memory []float64
	for i := range cfg.Starts {
		home := filepath.Join(dir, "start-"+strconv.Itoa(i))
		for _, times := range []*[]float64{&fresh, &again} {
			c, err := startLongcase(cfg, home)
			if err != nil {
				return err
			}
			*times = append(*times, float64(c.cold.Microseconds())/1000)
			if i < restedStarts {
				time.Sleep(cfg.Rest)
				kib, err := c.resident()
				if err != nil {
					return err
				}
				memory = append(memory, float64(kib)/1024)
			}
			if err := c.stop(); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "I3: cold start to ready, median of %d\n\n", cfg.Starts)
	fmt.Fprintf(out, "%-32s %8.0f ms   goal: at most 150\n", "new data directory", median(fresh))
	fmt.Fprintf(out, "%-32s %8.0f ms\n", "data directory that exists", median(again))
	fmt.Fprintf(out, "%-32s %8.1f MiB  goal: at most 40\n\n", "resident memory at rest", median(memory))
	return nil
}

// restedStarts is how many of the starts rest for their memory to be read.
const restedStarts = 2

func ratios(of, over []float64) []float64 {
	out := make([]float64, len(of))
	for i := range of {
		out[i] = of[i] / over[i]
	}
	return out
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
