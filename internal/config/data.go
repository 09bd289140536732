package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/longcase/longcase/token"
)

// The engines of Data.
const (
	Embedded  = "embedded"
	Postgres  = "postgres"
	Cassandra = "cassandra"
)

// DataDir is the data directory where none is named: that of the local setup,
// and of every configuration whose data is a database.
const DataDir = "longcase-data"

// Data is where the state is. It prints without its password.
type Data struct {
	Engine   string       // Embedded, Postgres or Cassandra
	Dir      string       // data directory: the embedded store, the admin socket, token files
	Cluster  Cluster      // of Cassandra
	Password DataPassword // of the database, if one is given here

	url *url.URL // of PostgreSQL, without the password
}

// Cluster is a keyspace of Cassandra and how it is reached.
type Cluster struct {
	Hosts       []string // host or host:port
	Keyspace    string
	LocalDC     string
	User        string
	TLS         bool
	CA          string // PEM file; empty: the system's authorities
	Certificate string // PEM file, with Key; empty: none is shown
	Key         string
	Replication int // of a keyspace that is made; 0: the engine's default
}

// DataPassword is that of a database: given, or a variable of the environment. It
// prints as where it comes from.
type DataPassword struct {
	Env   string // from ${NAME}
	given string
}

// String says where the password comes from, never what it is.
func (p DataPassword) String() string {
	switch {
	case p.Env != "":
		return "${" + p.Env + "}"
	case p.given != "":
		return "(given)"
	}
	return ""
}

// GoString is String.
func (p DataPassword) GoString() string { return p.String() }

// Read returns the password; empty: none was given.
func (p DataPassword) Read(getenv func(string) string) (string, error) {
	if p.Env == "" {
		return p.given, nil
	}
	if v := getenv(p.Env); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("data: the password's environment variable %s is empty or not set", p.Env)
}

// ParseData reads what stands after data:, or names a store on the command
// line: a directory, or the URL of a database, whose password is read from the
// environment where it says so. The error never holds a password.
func ParseData(text string, getenv func(string) string) (Data, error) {
	d, f := parseData(text, func(path string) string { return path })
	if f != nil {
		err := errors.New("data " + f.message)
		if f.near != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, f.near)
		}
		return Data{}, err
	}
	password, err := d.Password.Read(getenv)
	if err != nil {
		return Data{}, err
	}
	d.Password = DataPassword{given: password}
	return d, nil
}

// Database reports whether the state is in a database, which other nodes may
// use too.
func (d Data) Database() bool { return d.Engine == Postgres || d.Engine == Cassandra }

// String writes d as the file would, without its password.
func (d Data) String() string {
	switch d.Engine {
	case Postgres:
		return d.url.String()
	case Cassandra:
		at := strings.Join(d.Cluster.Hosts, ",")
		if d.Cluster.User != "" {
			at = url.User(d.Cluster.User).String() + "@" + at
		}
		return "cassandra://" + at + "/" + d.Cluster.Keyspace + d.Cluster.query()
	}
	return d.Dir
}

// query is what stands behind the keyspace, with its question mark.
func (c Cluster) query() string {
	q := url.Values{}
	for key, value := range map[string]string{"local_dc": c.LocalDC, "ca": c.CA, "certificate": c.Certificate, "key": c.Key} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if c.TLS && c.CA == "" && c.Certificate == "" {
		q.Set("tls", "true")
	}
	if c.Replication > 0 {
		q.Set("replication", strconv.Itoa(c.Replication))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// GoString is String.
func (d Data) GoString() string { return d.String() }

// PostgresURL is the URL with its password, as libpq and pgx read it.
func (d Data) PostgresURL(getenv func(string) string) (string, error) {
	password, err := d.Password.Read(getenv)
	if err != nil || password == "" {
		return d.url.String(), err
	}
	whole := *d.url
	whole.User = url.UserPassword(d.url.User.Username(), password)
	return whole.String(), nil
}

// data reads the value of data:.
func (l *loader) data(p *Data, n *yaml.Node, f field, path string) {
	p.Engine, p.Dir = Embedded, l.resolve(f.standard)
	s, ok := l.scalar(n, f, path)
	if !ok {
		return
	}
	d, fault := parseData(s, l.resolve)
	if fault != nil {
		l.fail(n, fault.near, "%s %s", path, fault.message)
		return
	}
	if d.Database() {
		d.Dir = l.resolve(DataDir)
	}
	*p = d
}

// keywordForm is a connection string of libpq that is not a URL.
var keywordForm = regexp.MustCompile(`^\s*(host|hostaddr|port|dbname|user|password|service|sslmode)\s*=`)

func parseData(s string, resolve func(string) string) (Data, *fault) {
	scheme, rest, isURL := strings.Cut(s, "://")
	switch {
	case !isURL && strings.Contains(s, "${"):
		return Data{}, wrong("cannot come from the environment: ${…} works only where a secret is asked for", "")
	case !isURL && keywordForm.MatchString(s):
		return Data{}, wrong("is a directory or a URL: write postgres://USER@HOST:PORT/DATABASE", "")
	case !isURL && s == "":
		return Data{}, wrong("is empty", "")
	case !isURL:
		return Data{Engine: Embedded, Dir: resolve(s)}, nil
	}
	at, f := splitData(rest)
	if f != nil {
		return Data{}, f
	}
	switch scheme {
	case "postgres", "postgresql":
		return at.postgres(resolve)
	case "cassandra":
		return at.cassandra(resolve)
	}
	near := nearest(scheme, []string{Postgres, "postgresql", Cassandra})
	if near != "" {
		near += "://…"
	}
	return Data{}, wrong("is a directory, a postgres:// URL or a cassandra:// URL", near)
}

// dataURL is a URL of a database in its parts, decoded.
type dataURL struct {
	user     string
	password DataPassword
	hosts    string
	name     string // of the database or keyspace
	query    url.Values
}

// splitData takes the URL of a database apart behind its ://. Nothing of it is
// repeated in a fault: where a password was not encoded, any part may be one.
func splitData(rest string) (dataURL, *fault) {
	var d dataURL
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if strings.Contains(path, "@") {
		return d, wrong("has an @ behind its host: in a password / ? # and @ are written %2F %3F %23 and %40", "")
	}
	if f := d.readUser(&authority); f != nil {
		return d, f
	}
	if strings.Contains(authority+path, "${") {
		return d, wrong("cannot come from the environment: ${…} stands for the password alone", "")
	}
	d.hosts = authority
	u, err := url.Parse(path)
	if err != nil {
		return d, wrong("is not a URL", "")
	}
	if strings.Contains(path, "#") {
		return d, wrong("has a fragment (#…): nothing here reads it", "")
	}
	d.name = strings.TrimPrefix(u.Path, "/")
	return d, d.readQuery(u.RawQuery)
}

// readUser takes the user and the password off the authority.
func (d *dataURL) readUser(authority *string) *fault {
	i := strings.LastIndex(*authority, "@")
	if i < 0 {
		return nil
	}
	user, password, given := strings.Cut((*authority)[:i], ":")
	*authority = (*authority)[i+1:]
	var err, bad error
	d.user, err = url.PathUnescape(user)
	switch {
	case !given:
	case secretForm.MatchString(password):
		d.password.Env = password[2 : len(password)-1]
	case strings.Contains(password, "${"):
		return wrong("has a password that is only in part from the environment: ${NAME} stands for all of it", "")
	default:
		d.password.given, bad = url.PathUnescape(password)
	}
	switch {
	case err != nil || bad != nil:
		return wrong("has a user or a password with a % that encodes nothing: a % is written %25", "")
	case d.user == "" || strings.Contains(user, "${"):
		return wrong("has a password and no user, or a user from the environment: USER:${NAME}@HOST", "")
	case given && d.password == DataPassword{}:
		return wrong("has an empty password: leave out the colon", "")
	}
	return nil
}

// readQuery reads the query; a key stands once.
func (d *dataURL) readQuery(raw string) *fault {
	var err error
	if d.query, err = url.ParseQuery(raw); err != nil {
		return wrong("has a query that is not key=value&key=value", "")
	}
	for key, values := range d.query {
		switch {
		case strings.Contains(key, "password"):
			return wrong("has a password in its query: write USER:PASSWORD@HOST, or USER:${NAME}@HOST", "")
		case len(values) > 1:
			return wrong("names "+quote(key)+" twice", "")
		case values[0] == "":
			return wrong("has an empty "+quote(key), "")
		}
	}
	return nil
}

// known refuses keys of the query that nobody reads.
func (d *dataURL) known(keys []string) *fault {
	for key := range d.query {
		if !slices.Contains(keys, key) {
			return wrong("has an unknown "+quote(key)+" in its query; known: "+strings.Join(keys, ", "), nearest(key, keys))
		}
	}
	return nil
}

// postgresKeys are what may stand in the query of a postgres:// URL: libpq's
// parameters that pgx reads, and pgx's own. It is read only.
var postgresKeys = []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "sslsni", "sslnegotiation", "channel_binding", "min_protocol_version",
	"max_protocol_version", "host", "port", "application_name", "connect_timeout", "options", "search_path", "passfile", "krbspn", "krbsrvname",
	"pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_lifetime_jitter", "pool_max_conn_idle_time",
	"pool_health_check_period", "default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity"}

func (d *dataURL) postgres(resolve func(string) string) (Data, *fault) {
	if f := d.known(postgresKeys); f != nil {
		return Data{}, f
	}
	host := d.hosts
	if d.query.Has("host") {
		host = d.query.Get("host")
	}
	switch f := checkDataHost(host); {
	case d.hosts != "" && (d.query.Has("host") || d.query.Has("port")):
		return Data{}, wrong("names its host or port twice", "")
	case strings.Contains(host, ","):
		return Data{}, wrong("names several hosts: name one, an address that follows the primary", "")
	case host == "":
		return Data{}, wrong("names no host: postgres://HOST/DATABASE, or for a Unix socket postgres:///DATABASE?host=/var/run/postgresql", "")
	case f != nil && !strings.HasPrefix(host, "/"):
		return Data{}, f
	case d.name == "" || strings.Contains(d.name, "/"):
		return Data{}, wrong("names no one database: postgres://HOST/DATABASE", "")
	case d.query.Has("port") && !validPort(d.query.Get("port"), ""):
		return Data{}, wrong("has no valid port", "")
	}
	if f := d.postgresTLS(host); f != nil {
		return Data{}, f
	}
	for _, key := range []string{"sslrootcert", "sslcert", "sslkey", "passfile"} {
		if path := d.query.Get(key); path != "" && path != "system" {
			d.query.Set(key, resolve(path))
		}
	}
	u := &url.URL{Scheme: "postgres", Host: d.hosts, Path: "/" + d.name, RawQuery: d.query.Encode()}
	if d.user != "" {
		u.User = url.User(d.user)
	}
	return Data{Engine: Postgres, url: u, Password: d.password}, nil
}

// postgresTLS wants a server that proves who it is beyond this machine.
func (d *dataURL) postgresTLS(host string) *fault {
	modes := []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	mode := d.query.Get("sslmode")
	switch {
	case mode != "" && !slices.Contains(modes, mode):
		return wrong("has an sslmode that is not one of "+strings.Join(modes, ", "), nearest(mode, modes))
	case strings.HasPrefix(host, "/") || token.Loopback(hostname(host)):
	case mode == "":
		d.query.Set("sslmode", "verify-full")
	case slices.Index(modes, mode) < slices.Index(modes, "require"):
		return wrong("has sslmode="+mode+" beyond this machine: use verify-full, or require or verify-ca", "verify-full")
	}
	return nil
}

// cassandraKeys are what may stand in the query of a cassandra:// URL. It is
// read only.
var cassandraKeys = []string{"local_dc", "tls", "ca", "certificate", "key", "replication"}

const maxHosts = 32 // to find a cluster by; it tells of the rest itself

var (
	keyspaceForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)
	centreForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_. -]{0,127}$`)
)

func (d *dataURL) cassandra(resolve func(string) string) (Data, *fault) {
	if f := d.known(cassandraKeys); f != nil {
		return Data{}, f
	}
	c := Cluster{Hosts: strings.Split(d.hosts, ","), Keyspace: d.name, User: d.user, LocalDC: d.query.Get("local_dc")}
	switch {
	case d.name == "":
		return Data{}, wrong("names no keyspace: cassandra://HOST,HOST/KEYSPACE?local_dc=DC", "")
	case !keyspaceForm.MatchString(d.name):
		near := strings.ToLower(strings.ReplaceAll(d.name, "-", "_"))
		if !keyspaceForm.MatchString(near) {
			near = ""
		}
		return Data{}, wrong("has a keyspace that is not up to 48 small letters, digits and _, a letter first", near)
	case d.user != "" && d.password == DataPassword{}:
		return Data{}, wrong("has a user and no password: USER:${NAME}@HOST", "")
	case c.LocalDC != "" && !centreForm.MatchString(c.LocalDC):
		return Data{}, wrong("has a local_dc that is not the name of a data centre, as 'nodetool status' prints it", "")
	}
	if f := checkDataHosts(c.Hosts); f != nil {
		return Data{}, f
	}
	if f := d.cassandraTLS(&c, resolve); f != nil {
		return Data{}, f
	}
	if text := d.query.Get("replication"); text != "" {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n == 0 || n > 32 {
			return Data{}, wrong("has a replication that is not a number from 1 to 32", "")
		}
		c.Replication = int(n)
	}
	return Data{Engine: Cassandra, Cluster: c, Password: d.password}, nil
}

// cassandraTLS reads the files, which mean TLS, and wants it beyond this
// machine.
func (d *dataURL) cassandraTLS(c *Cluster, resolve func(string) string) *fault {
	given := false
	for key, p := range map[string]*string{"ca": &c.CA, "certificate": &c.Certificate, "key": &c.Key} {
		if path := d.query.Get(key); path != "" {
			*p, given = resolve(path), true
		}
	}
	on := d.query.Get("tls")
	c.TLS = given || on == "true"
	switch {
	case on != "" && on != "true" && on != "false":
		return wrong("has a tls that is neither true nor false", "")
	case given && on == "false":
		return wrong("has tls=false and files for TLS: one of the two", "")
	case (c.Certificate == "") != (c.Key == ""):
		return wrong("needs certificate and key together", "")
	case !c.TLS && slices.ContainsFunc(c.Hosts, func(h string) bool { return !token.Loopback(hostname(h)) }):
		return wrong("is plain beyond loopback: add tls=true (and ca=FILE for an authority of your own)", "")
	}
	return nil
}

func checkDataHosts(hosts []string) *fault {
	if len(hosts) > maxHosts {
		return wrong("names "+strconv.Itoa(len(hosts))+" hosts: name a few, 32 at most; they tell of the rest", "")
	}
	for i, host := range hosts {
		if f := checkDataHost(host); f != nil {
			return f
		}
		if slices.Contains(hosts[:i], host) {
			return wrong("names the host "+quote(host)+" twice", "")
		}
	}
	return nil
}

// checkDataHost wants a host or host:port. What is none may be a password whose
// @ was forgotten.
func checkDataHost(s string) *fault {
	if checkText("ntp", s) != nil {
		return wrong("has a host that is not a name or an address, alone or with a port up to 65535", "")
	}
	return nil
}

func hostname(s string) string { return (&url.URL{Host: s}).Hostname() }
