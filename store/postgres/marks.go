package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/longcase/longcase/store"
)

type marks struct{ e *Engine }

const insertMark = `INSERT INTO TABLE_ (bucket, id) VALUES ($1, $2) ON CONFLICT DO NOTHING`

// First implements store.Marks. Marks are bounded by the server's disk: when that
// is full it returns store.ErrFull. An outcome that is unknown may have marked:
// whoever asked must refuse.
func (m marks) First(ctx context.Context, mark store.Mark) (bool, error) {
	if err := m.e.door.Enter(ctx); err != nil {
		return false, err
	}
	defer m.e.door.Leave()
	if err := mark.Check(m.e.cfg.Now()); err != nil {
		return false, err
	}
	return m.insert(ctx, mark.ID())
}

// insert reports whether there was no such mark.
func (m marks) insert(ctx context.Context, id store.ID) (bool, error) {
	bucket, name := parts(id)
	n, err := m.e.insert(ctx, kindMark, bucket, insertMark, bucket, name)
	switch {
	case errors.Is(err, errDiskFull):
		return false, fmt.Errorf("%w: %w", store.ErrFull, err)
	case err != nil:
		return false, fmt.Errorf("mark: %w", err)
	}
	return n > 0, nil
}
