// Package app puts the rooms together: a config.Config becomes an engine, a key
// ring, an issuer, a gate and their listeners. It decides nothing about tokens;
// it opens files, listens, starts what must run and ends it again.
//
//	err := app.Serve(ctx, app.Options{Config: cfg, Stderr: os.Stderr})
//
// It is the only importer of engines.
package app
