package token

import "testing"

func TestATokensIdNamesItsNode(t *testing.T) {
	n := NodeOf("tokens-1.example.com")
	if got := IssuedBy(n.ID("abc")); got != n || n == NodeOf("tokens-2.example.com") || n != NodeOf("tokens-1.example.com") {
		t.Errorf("node %q, read back as %q", n, got)
	}
	if got := Node("").ID("abc"); got != "abc" {
		t.Errorf("an id without a node = %q", got)
	}
	for _, foreign := range []string{"", "abc", "lc.", "lc.abcdefgh", "lc.abcdefg.x", "lc.abcdefghi.x", "lc.ABCDEFGH.x", "lc.abcdef01.x", "xlc.abcdefgh.x"} {
		if got := IssuedBy(foreign); got != "" {
			t.Errorf("IssuedBy(%q) = %q, want none", foreign, got)
		}
	}
}
