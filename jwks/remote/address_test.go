package remote

import (
	"net/http"
	"testing"
	"time"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for address, want := range map[string][2]bool{"93.184.216.34:443": {true, true}, "127.0.0.1:443": {false, true}, "10.0.0.1:443": {false, false}} {
		for i, loopback := range []bool{false, true} {
			if err := (rules{loopback: loopback}).control("tcp", address, nil); (err == nil) != want[i] {
				t.Errorf("%s for an issuer on loopback %v: %v", address, loopback, err)
			}
		}
	}
}

func FuzzAge(f *testing.F) {
	f.Add("public, max-age=300", "20")
	f.Add(`MAX-AGE="60", no-cache`, "-1")
	f.Add("max-age=99999999999999999999,,=", "99999999999999999999")
	f.Fuzz(func(t *testing.T, control, spent string) {
		got := age(http.Header{"Cache-Control": {control}, "Age": {spent}})
		if nap := renewal(got, true); got < 0 || got > 24*time.Hour || nap < minAge || nap > maxAge {
			t.Errorf("age %s, renewed after %s", got, nap)
		}
	})
}
