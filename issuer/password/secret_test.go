package password_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/longcase/longcase/issuer/password"
)

func TestSecretsAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := password.NewSecret()
		if err := password.CheckSecret(s); err != nil {
			t.Fatal(err)
		}
		if len(s) != 55 || seen[s] {
			t.Fatalf("secret of %d characters, seen before: %v", len(s), seen[s])
		}
		seen[s] = true
	}
}

// known has no checksum.
const known = "lc_cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestEveryTypingErrorInASecretIsSeen(t *testing.T) {
	s := password.NewSecret()
	for i := range s {
		for _, c := range "aZ0_-= \n" {
			mutated := s[:i] + string(c) + s[i+1:]
			if err := password.CheckSecret(mutated); mutated != s && !errors.Is(err, password.ErrSecret) {
				t.Errorf("character %d as %q: %v, want ErrSecret", i, c, err)
			}
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "chosen": "correct horse battery staple", "cut": s[:54], "longer": s + "0",
		"without checksum": known, "prefix in capitals": "LC_CS_" + s[6:], "huge": strings.Repeat(s, 1000),
	} {
		if err := password.CheckSecret(bad); !errors.Is(err, password.ErrSecret) || strings.Contains(err.Error(), s[10:]) {
			t.Errorf("%s: %v, want ErrSecret", name, err)
		}
	}
}

func TestSecretHash(t *testing.T) {
	hash := password.HashSecret("abc") // FIPS 180-2 appendix B.1
	if want := "sha256$ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"; hash.String() != want {
		t.Errorf("hash of abc is %s, want %s", hash, want)
	}
	back, err := password.ParseSecretHash(hash.String())
	if err != nil || back != hash {
		t.Errorf("ParseSecretHash(%s) = %s, %v", hash, back, err)
	}
	if !back.Matches("abc") || back.Matches("abd") || back.Matches("") {
		t.Error("Matches takes what it must not, or the other way round")
	}
	text := hash.String()
	for name, bad := range map[string]string{
		"empty": "", "no prefix": text[7:], "capitals": "SHA256$" + text[7:], "short": text[:49], "long": text + "A",
		"padded": text + "=", "loose bits": text[:49] + "1", "base64 instead of base64url": strings.ReplaceAll(text, "-", "+"),
		"line feed": text[:20] + "\n" + text[20:], "line feed instead of a character": text[:20] + "\n" + text[21:], "hex": "sha256$" + strings.Repeat("ab", 32),
	} {
		if _, err := password.ParseSecretHash(bad); !errors.Is(err, password.ErrSecretHash) {
			t.Errorf("%s: %v, want ErrSecretHash", name, err)
		}
	}
}

func FuzzParseSecretHash(f *testing.F) {
	f.Add(password.HashSecret("abc").String())
	f.Add("sha256$")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := password.ParseSecretHash(text); err == nil && h.String() != text {
			t.Errorf("ParseSecretHash took %q, which is written %q", text, h)
		}
	})
}
