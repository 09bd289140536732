package app

import (
	"context"
	"errors"

	"github.com/longcase/longcase/internal/config"
	"github.com/longcase/longcase/internal/doctor"
	"github.com/longcase/longcase/store/cassandra"
	"github.com/longcase/longcase/store/cassandra/survey"
)

// ErrNotSurveyed says that doctor does not read such a target.
var ErrNotSurveyed = errors.New("doctor reads keyspaces of Cassandra (cassandra://HOST/KEYSPACE) in this version")

// Unreached reports whether an error of Examine or Backfill says that the
// cluster was not reached or not entered, or has no such keyspace.
func Unreached(err error) bool {
	for _, e := range []error{survey.ErrUnreachable, survey.ErrRefused, survey.ErrNoKeyspace, survey.ErrTooOld} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Examine reads a keyspace, which is never written to, and judges it.
func Examine(ctx context.Context, data config.Data, ask doctor.Ask, o StoreOptions) (*doctor.Report, error) {
	cluster, err := surveyed(data, o.withDefaults())
	if err != nil {
		return nil, err
	}
	k, err := survey.Read(ctx, survey.Config{
		Cluster: cluster, Now: o.Now,
		Sample: func(tables []string) []string { return doctor.Tokens(tables, ask.Tables) },
	})
	if err != nil {
		return nil, err
	}
	return doctor.Examined(k, ask), nil
}

type (
	// Fill is what Backfill is asked for.
	Fill = survey.Fill
	// Filled is how far Backfill came.
	Filled = survey.Filled
)

// Backfill writes, for rows of a table without an end, statements that give
// them one; it runs none.
func Backfill(ctx context.Context, data config.Data, fill Fill, o StoreOptions) (Filled, error) {
	cluster, err := surveyed(data, o.withDefaults())
	if err != nil {
		return Filled{}, err
	}
	return survey.Backfill(ctx, survey.Config{Cluster: cluster, Now: o.Now}, fill)
}

// surveyed is how the cluster of a keyspace is reached.
func surveyed(data config.Data, o StoreOptions) (cassandra.Config, error) {
	if data.Engine != config.Cassandra {
		return cassandra.Config{}, ErrNotSurveyed
	}
	password, err := data.Password.Read(o.Getenv)
	if err != nil {
		return cassandra.Config{}, err
	}
	c := cassandra.Config{
		Hosts: data.Cluster.Hosts, Keyspace: data.Cluster.Keyspace, LocalDC: data.Cluster.LocalDC,
		User: data.Cluster.User, Password: password, Now: o.Now,
	}
	c.TLS, err = clusterTLS(data.Cluster)
	return c, err
}
