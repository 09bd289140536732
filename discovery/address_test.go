package discovery_test

import (
	"testing"

	"github.com/longcase/longcase/discovery"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	tests := []struct {
		address string
		open    bool // for any issuer
		local   bool // for an issuer on loopback
	}{
		{"93.184.216.34:443", true, true},
		{"[2606:2800:220:1::1]:443", true, true},
		{"[64:ff9b::5db8:d822]:443", true, true}, // NAT64 of a public address
		{"127.0.0.1:443", false, true},
		{"127.8.8.8:443", false, true},
		{"[::1]:443", false, true},
		{"[::ffff:127.0.0.1]:443", false, true},
		{"10.0.0.1:443", false, false},
		{"172.16.5.5:443", false, false},
		{"192.168.1.1:443", false, false},
		{"169.254.169.254:80", false, false},
		{"[::ffff:169.254.169.254]:80", false, false},
		{"[64:ff9b::a9fe:a9fe]:80", false, false}, // NAT64 of the metadata service
		{"[2002:a9fe:a9fe::1]:80", false, false},  // 6to4 of it
		{"[fd00:ec2::254]:80", false, false},
		{"[fe80::1%eth0]:80", false, false},
		{"100.100.100.200:80", false, false},
		{"0.0.0.0:80", false, false},
		{"[::]:80", false, false},
		{"224.0.0.1:80", false, false},
		{"255.255.255.255:80", false, false},
		{"no address", false, false},
		{"", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.address, func(t *testing.T) {
			for loopback, want := range map[bool]bool{false: tt.open, true: tt.local} {
				err := discovery.CheckAddress(tt.address, loopback)
				if (err == nil) != want {
					t.Errorf("issuer on loopback %v: dialled %v, want %v (%v)", loopback, err == nil, want, err)
				}
			}
		})
	}
}
