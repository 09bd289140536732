package steady

import (
	"context"
	"time"
)

// A token service of incident 4 keeps a row for each token, and with no
// RefreshTokenExpiresIn none of them ends. Names are those of Apigee Edge's kms
// keyspace.
const (
	tokenTable = `CREATE TABLE oauth_20_refresh_tokens (key text PRIMARY KEY, access_token text, organization_name text, client_id text,
		app_id text, api_products text, scope text, status text, issued_at bigint, expires_in int, refresh_count int)
		WITH compaction = {'class': 'LeveledCompactionStrategy'}`
	tokenInsert = `INSERT INTO oauth_20_refresh_tokens (key, access_token, organization_name, client_id, app_id, api_products, scope, status, issued_at, expires_in, refresh_count)
		VALUES (?, ?, 'acme', 'dGhlIGNsaWVudCBvZiBpbmNpZGVudCA0', '0c1b6a5e-6d0f-4a55-9b53-0d3a8c1e7f11', '[orders]', 'orders.read', 'approved', ?, 0, 0)`
)

// Incident writes tokens without an end, so many a lifetime, and returns what
// they take after each.
func Incident(ctx context.Context, c Cluster, tokens, lifetimes int) ([]float64, error) {
	const keyspace, table = "steady_incident", "oauth_20_refresh_tokens"
	if err := c.keyspace(ctx, keyspace); err != nil {
		return nil, err
	}
	s, err := c.connect(keyspace)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Query(tokenTable).ExecContext(ctx); err != nil {
		return nil, err
	}
	var disk []float64
	for life := range lifetimes {
		at := start().Add(time.Duration(life) * 12 * time.Hour).UnixMilli()
		err := together(tokens, 64, func(i int) error {
			return s.Query(tokenInsert, name(32), name(32), at+int64(i)*100).ExecContext(ctx)
		})
		if err != nil {
			return nil, err
		}
		if err := c.nodetool("flush", keyspace); err != nil {
			return nil, err
		}
		n, err := settled(ctx, func() (int64, error) { return c.files(keyspace, table+"-") })
		if err != nil {
			return nil, err
		}
		disk = append(disk, n)
	}
	return disk, nil
}
