package selfsign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/longcase/longcase/fresh"
	"github.com/longcase/longcase/token"
)

const maxKey = 64 << 10

// signer reads the key anew.
func (c Config) signer() (token.Signer, error) {
	data, where := c.Key, "the key"
	if c.KeyFile != "" {
		var err error
		if data, err = read(c.KeyFile); err != nil {
			return token.Signer{}, err
		}
		where = c.KeyFile
	}
	key, err := token.ParsePrivateKey(data)
	if err != nil {
		return token.Signer{}, &fresh.Error{Reason: fresh.Malformed, Detail: where, Err: err}
	}
	s, err := named(c.Algorithm, key)
	if err != nil {
		return token.Signer{}, &fresh.Error{Reason: fresh.Misconfigured, Detail: where, Err: err}
	}
	return s, nil
}

// named is key's signer, whose kid is the key's thumbprint (RFC 7638).
func named(alg token.Algorithm, key crypto.Signer) (token.Signer, error) {
	if alg == "" {
		alg = natural(key)
	}
	k, err := token.NewKey("", alg, key.Public())
	if err != nil {
		return token.Signer{}, err
	}
	return token.NewSigner(strings.TrimPrefix(token.Fingerprint(k), "SHA256:"), alg, key)
}

// natural is what a key signs with if nobody says.
func natural(key crypto.Signer) token.Algorithm {
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		if pub.Curve.Params().BitSize == 384 {
			return token.ES384
		}
		return token.ES256
	case *rsa.PublicKey:
		return token.RS256
	}
	return token.EdDSA
}

// read returns what the regular file at path holds; it waits for no FIFO.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fresh.Fail(fresh.Misconfigured, "%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	if len(data) > maxKey {
		return nil, fresh.Fail(fresh.Malformed, "%s has more than %d bytes", path, maxKey)
	}
	return data, nil
}

func unreadable(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	e := &fresh.Error{Reason: fresh.Unavailable, Detail: path + " cannot be read", Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Reason = fresh.Misconfigured
	}
	return e
}
