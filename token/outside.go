package token

// ParseClaims reads claims that did not come in a token, such as the answer of
// an introspection endpoint (RFC 7662 section 2.2), as strictly as JWS.Claims
// reads a payload. Raw is object itself.
func ParseClaims(object []byte) (Claims, error) {
	c, err := readClaims(string(object))
	if err != nil {
		return Claims{}, err
	}
	c.Raw = object
	return c, nil
}
