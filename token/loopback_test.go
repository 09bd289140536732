package token_test

import (
	"testing"

	"github.com/longcase/longcase/token"
)

func TestLoopbackIsThisMachineAlone(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "a.localhost": false, "localhost.example.com": false, "localho\u017ft": false,
		"127.1": false, "0x7f.0.0.1": false, "2130706433": false, "127.0.0.1.example.com": false,
		"0.0.0.0": false, "::": false, "10.0.0.1": false, "169.254.169.254": false, "::ffff:10.0.0.1": false, "::1%eth0": false,
		"[::1]": false, "127.0.0.1:80": false,
	} {
		if got := token.Loopback(host); got != want {
			t.Errorf("Loopback(%q) = %v", host, got)
		}
	}
}
