package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/longcase/longcase/internal/admin"
	"github.com/longcase/longcase/internal/app"
	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/store"
)

func storeBackupCommand(env *Env) *cobra.Command {
	b := &storeBackup{office: office{env: env}}
	cmd := &cobra.Command{
		Use:   "backup TO",
		Short: "Copy the embedded store to a new directory, while the server serves or when it is stopped",
		Args:  arguments(1, 1),
		RunE:  func(cmd *cobra.Command, args []string) error { return b.run(cmd.Context(), args[0]) },
	}
	b.flags(cmd)
	cmd.Flags().StringVar(&b.data, "data", "", "data `directory`, instead of the configuration's")
	jsonFlag(cmd, &b.asJSON)
	return cmd
}

// storeBackup is one run of store backup.
type storeBackup struct {
	office
	data   string
	asJSON bool

	key string // where the key-encryption key lies
}

// backedUp is the result for programs.
type backedUp struct {
	Store  string `json:"store"`  // the copy
	Of     string `json:"of"`     // what it is put back as
	Served bool   `json:"served"` // a running server made it
	Key    string `json:"key"`    // the key-encryption key, which is not in it
}

func (b *storeBackup) run(ctx context.Context, to string) error {
	dir, err := b.dir()
	if err != nil {
		return err
	}
	if err := app.NeedStore(dir); err != nil && b.socket == "" {
		return usage("%w", err)
	}
	to, err = filepath.Abs(to)
	if err != nil {
		return err
	}
	if err := makeEmpty(to); err != nil {
		return usage("%w", err)
	}
	did := backedUp{Store: filepath.Join(to, app.StoreDir), Of: filepath.Join(dir, app.StoreDir), Served: true, Key: b.key}
	socket := b.socket
	if socket == "" {
		socket = filepath.Join(dir, admin.Socket)
	}
	err = answered(admin.Dial(socket).StoreBackup(ctx, did.Store))
	if errors.Is(err, admin.ErrDown) && b.socket == "" {
		did.Served = false
		err = b.stopped(ctx, dir, did.Store)
	}
	if err != nil {
		return err
	}
	if b.asJSON {
		return printJSON(b.env.Stdout, did)
	}
	did.print(b.env)
	return nil
}

// dir is the data directory, and notes where the key is.
func (b *storeBackup) dir() (string, error) {
	data, key := config.Data{Engine: config.Embedded, Dir: config.DataDir}, config.Secret{}
	if name := b.env.configFile(b.file); name != "" {
		cfg, err := load(name)
		if err != nil {
			return "", err
		}
		data, key = cfg.Data, cfg.Keys.EncryptWith
	}
	switch {
	case b.data != "":
		data.Dir = b.data
	case data.Database():
		return "", usage("%s: longcase backs up its embedded store; a database has its own means: docs/operating-stores.md", data)
	}
	switch {
	case key.Env != "":
		b.key = "$" + key.Env
	case key.File != "":
		b.key = key.File
	default:
		b.key = filepath.Join(data.Dir, "kek")
	}
	return data.Dir, nil
}

// makeEmpty makes a directory for the copy, or takes one that is empty.
func makeEmpty(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: %w: name a new directory for each backup", dir, fs.ErrExist)
	}
	return err
}

// stopped copies a store that no server uses.
func (b *storeBackup) stopped(ctx context.Context, dir, to string) error {
	s, err := openStore(ctx, b.env, config.Data{Engine: config.Embedded, Dir: dir}, app.StoreOptions{Existing: true})
	if err != nil {
		return err
	}
	return kept(errors.Join(backupOf(ctx, s, to), s.Close()))
}

func backupOf(ctx context.Context, s store.Movable, to string) error {
	e, ok := s.(interface {
		Backup(ctx context.Context, dir string) error
	})
	if !ok {
		return errors.New("this store cannot be copied as files")
	}
	return e.Backup(ctx, to)
}

func (d backedUp) print(env *Env) {
	by := "while the server serves"
	if !d.Served {
		by = "no server uses it"
	}
	fmt.Fprintf(env.Stdout, `backup   %s, of %s (%s)
key      %s is not in it, and without it the backup is worth nothing: keep both, apart
restore  stop the server; put %s back as %s; start the server;
         longcase session revoke --before NOW    ends what the backup revives
`, d.Store, d.Of, by, d.Key, d.Store, d.Of)
}
