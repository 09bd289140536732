package password

import (
	"context"
	"errors"
	"fmt"
)

// User is one who may log in. Name is also the subject of the tokens.
type User struct {
	Name string
	Hash Hash
}

// Users is a fixed list of users. It is safe for concurrent use.
type Users struct {
	hasher *Hasher
	hashes map[string]Hash
	dummy  Hash // compared for names that nobody has, so that they cost the same
}

// NewUsers checks the list and returns it. At most parallel passwords are hashed
// at a time. The error names every user that is wrong.
func NewUsers(users []User, parallel int) (*Users, error) {
	u := &Users{hasher: NewHasher(parallel), hashes: make(map[string]Hash, len(users)), dummy: dummyHash()}
	var errs []error
	for i, user := range users {
		if err := u.add(user); err != nil {
			errs = append(errs, fmt.Errorf("users[%d]: %w", i, err))
		}
	}
	return u, errors.Join(errs...)
}

func (u *Users) add(user User) error {
	_, twice := u.hashes[user.Name]
	switch {
	case user.Name == "" || len(user.Name) > 255:
		return errors.New("name: want 1 to 255 bytes")
	case twice:
		return fmt.Errorf("name: %q is there twice", user.Name)
	case len(user.Hash.key) == 0:
		return fmt.Errorf("password of %q: no hash", user.Name)
	}
	u.hashes[user.Name] = user.Hash
	if costlier(user.Hash, u.dummy) || len(u.hashes) == 1 {
		u.dummy = user.Hash
	}
	return nil
}

// Check reports whether name has this password, and the subject it stands for.
// A name that nobody has takes as long as one whose hash is the costliest. The
// error is ctx's: whether the password is right is then not known.
func (u *Users) Check(ctx context.Context, name, password string) (subject string, ok bool, err error) {
	hash, known := u.hashes[name]
	if !known {
		hash = u.dummy
	}
	ok, err = u.hasher.Matches(ctx, hash, password)
	if err != nil || !ok || !known {
		return "", false, err
	}
	return name, true, nil
}

// Has reports whether subject is one of the users. The error is always nil.
func (u *Users) Has(_ context.Context, subject string) (bool, error) {
	_, known := u.hashes[subject]
	return known, nil
}

func costlier(a, b Hash) bool {
	return uint64(a.memory)*uint64(a.time) > uint64(b.memory)*uint64(b.time)
}

// dummyHash has the cost of a new hash and the key of no password.
func dummyHash() Hash {
	return Hash{memory: newMemory, time: newTime, lanes: newLanes, salt: make([]byte, newSalt), key: make([]byte, newKey)}
}
