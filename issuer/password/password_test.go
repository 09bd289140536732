package password_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longcase/longcase/issuer/password"
)

// reference is from the test suite of the reference implementation of argon2.
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

// cheap is well formed and matches nothing known.
const cheap = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestReferenceHashMatchesItsPassword(t *testing.T) {
	hash, err := password.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	h := password.NewHasher(1)
	for _, tt := range []struct {
		password string
		want     bool
	}{{"password", true}, {"differentpassword", false}, {"", false}, {strings.Repeat("a", password.MaxLength+1), false}} {
		if got, err := h.Matches(t.Context(), hash, tt.password); got != tt.want || err != nil {
			t.Errorf("Matches(%.20q) = %v, %v, want %v", tt.password, got, err, tt.want)
		}
	}
}

func TestHashIsReadAsItIsWritten(t *testing.T) {
	h := password.NewHasher(1)
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Hash(t.Context(), "correct horse")
	if err != nil || other.String() == hash.String() {
		t.Errorf("two hashes of one password are equal: the salt is not fresh (%v)", err)
	}
	back, err := password.Parse(hash.String())
	if err != nil || back.String() != hash.String() {
		t.Fatalf("Parse(%s) = %s, %v", hash, back, err)
	}
	if ok, _ := h.Matches(t.Context(), back, "correct horse"); !ok {
		t.Error("the password does not match its own hash")
	}
	if ok, _ := h.Matches(t.Context(), back, "correct horsf"); ok {
		t.Error("another password matches")
	}
	if ok, _ := h.Matches(t.Context(), password.Hash{}, ""); ok {
		t.Error("the zero Hash matches")
	}
}

func TestNewPasswordsAreBounded(t *testing.T) {
	h := password.NewHasher(1)
	for name, p := range map[string]string{"empty": "", "long": strings.Repeat("x", 1025)} {
		if _, err := h.Hash(t.Context(), p); !errors.Is(err, password.ErrPassword) {
			t.Errorf("%s: %v, want ErrPassword", name, err)
		}
	}
}

func TestHashesThatAreRefused(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(reference, old, new, 1) }
	tests := map[string]string{
		"empty":               "",
		"bcrypt":              "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"plain text":          "password",
		"argon2i":             with("argon2id", "argon2i"),
		"another version":     with("v=19", "v=16"),
		"no version":          with("$v=19", ""),
		"memory of a machine": with("m=65536", "m=4194304"),
		"too little memory":   with("m=65536,t=2,p=1", "m=8,t=2,p=2"),
		"no passes":           with("t=2", "t=0"),
		"too many passes":     with("t=2", "t=17"),
		"no lanes":            with("p=1", "p=0"),
		"too many lanes":      with("p=1", "p=17"),
		"lanes overflow":      with("p=1", "p=257"),
		"sign":                with("t=2", "t=+2"),
		"leading zero":        with("t=2", "t=02"),
		"parameters swapped":  with("m=65536,t=2", "t=2,m=65536"),
		"short salt":          with("c29tZXNhbHQ", "c29tZQ"),
		"padded salt":         with("c29tZXNhbHQ", "c29tZXNhbHQ=="),
		"loose salt bits":     with("c29tZXNhbHQ", "c29tZXNhbHR"),
		"short key":           with("CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "CTFhFdXP"),
		"line feed in key":    with("CTFhFdXP", "CTFh\nFdXP"),
		"trailing part":       reference + "$",
		"trailing line feed":  reference + "\n",
		"huge":                reference + strings.Repeat("A", 1<<20),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := password.Parse(text); !errors.Is(err, password.ErrHash) {
				t.Errorf("Parse = %v, want ErrHash", err)
			}
		})
	}
}

func TestHashingWaitsForASlotAsLongAsItsContext(t *testing.T) {
	h := password.NewHasher(1)
	slow, err := password.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var refused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := h.Matches(ctx, slow, "password"); errors.Is(err, context.Canceled) {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if refused == 0 {
		t.Error("eight callers without time hashed with one slot")
	}
}

func TestUsers(t *testing.T) {
	hash, err := password.NewHasher(1).Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	users, err := password.NewUsers([]password.User{{Name: "alice", Hash: hash}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, user, password string
		want                 bool
	}{
		{"right", "alice", "correct horse", true},
		{"wrong password", "alice", "correct hors", false},
		{"no password", "alice", "", false},
		{"name in capitals", "ALICE", "correct horse", false},
		{"unknown name with a known password", "bob", "correct horse", false},
		{"no name", "", "correct horse", false},
	}
	for _, tt := range tests {
		subject, ok, err := users.Check(t.Context(), tt.user, tt.password)
		if ok != tt.want || err != nil || (subject != "") != tt.want {
			t.Errorf("%s: Check = %q, %v, %v", tt.name, subject, ok, err)
		}
	}
	for name, want := range map[string]bool{"alice": true, "bob": false, "": false} {
		if has, err := users.Has(t.Context(), name); has != want || err != nil {
			t.Errorf("Has(%q) = %v, %v", name, has, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	for range 20 {
		if _, ok, _ := users.Check(ctx, "alice", "wrong"); ok {
			t.Error("a caller without time was let in")
		}
	}
}

func TestUsersNamesEveryWrongOne(t *testing.T) {
	hash, err := password.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	_, err = password.NewUsers([]password.User{{Name: "a", Hash: hash}, {Name: "", Hash: hash}, {Name: "a", Hash: hash}, {Name: "c"}}, 1)
	for _, want := range []string{"users[1]: name", "users[2]: name", "users[3]: password"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if users, err := password.NewUsers(nil, 1); err != nil {
		t.Errorf("no users: %v", err)
	} else if _, ok, _ := users.Check(t.Context(), "", ""); ok {
		t.Error("nobody was let in")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(reference)
	f.Add(cheap)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, text string) {
		hash, err := password.Parse(text)
		if err == nil && hash.String() != text {
			t.Errorf("Parse took %q, which is written %q", text, hash)
		}
	})
}
