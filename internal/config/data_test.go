package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const hidden = "hunter2hunter2" // a password that no message may hold

func environment(name string) string {
	return map[string]string{"DB": hidden, "ODD": "p@ss/w?rd#1:%"}[name]
}

// TestDataIsADirectoryOrADatabase lists what stands after data:, in the file and
// on the command line, and what it means.
func TestDataIsADirectoryOrADatabase(t *testing.T) {
	const remote = "?sslmode=verify-full"
	tests := []struct{ name, text, url, shown string }{
		{"a directory", "d", "", "d"},
		{"an absolute one", "/var/lib/longcase", "", "/var/lib/longcase"},
		{"PostgreSQL on this machine", "postgres://longcase@127.0.0.1:55432/longcase", "postgres://longcase@127.0.0.1:55432/longcase", "postgres://longcase@127.0.0.1:55432/longcase"},
		{"its other spelling", "postgresql://localhost/longcase", "postgres://localhost/longcase", "postgres://localhost/longcase"},
		{"a Unix socket", "postgres:///longcase?host=/run/postgresql&port=5433", "postgres:///longcase?host=%2Frun%2Fpostgresql&port=5433", "postgres:///longcase?host=%2Frun%2Fpostgresql&port=5433"},
		{"elsewhere it proves who it is", "postgres://u@db.example.com/l", "postgres://u@db.example.com/l" + remote, "postgres://u@db.example.com/l" + remote},
		{"elsewhere, less", "postgres://u@db.example.com/l?sslmode=require", "postgres://u@db.example.com/l?sslmode=require", "postgres://u@db.example.com/l?sslmode=require"},
		{"a password", "postgres://u:" + hidden + "@[::1]:1/l", "postgres://u:" + hidden + "@[::1]:1/l", "postgres://u@[::1]:1/l"},
		{"a password from the environment", "postgres://u:${DB}@[::1]:1/l", "postgres://u:" + hidden + "@[::1]:1/l", "postgres://u@[::1]:1/l"},
		{"one that needs encoding", "postgres://u:${ODD}@localhost/l", "postgres://u:p%40ss%2Fw%3Frd%231%3A%25@localhost/l", "postgres://u@localhost/l"},
		{"one that is encoded", "postgres://u:p%40ss@localhost/l", "postgres://u:p%40ss@localhost/l", "postgres://u@localhost/l"},
		{"Cassandra on this machine", "cassandra://127.0.0.1,127.0.0.2:9043/longcase?local_dc=dc1", "", "cassandra://127.0.0.1,127.0.0.2:9043/longcase?local_dc=dc1"},
		{"Cassandra elsewhere", "cassandra://u:" + hidden + "@c1.example.com,c2.example.com/l_1?local_dc=dc-1&tls=true&replication=3", "", "cassandra://u@c1.example.com,c2.example.com/l_1?local_dc=dc-1&replication=3&tls=true"},
		{"a file for TLS means TLS", "cassandra://u:${DB}@c1.example.com/l?ca=ca.pem&certificate=c.pem&key=/k.pem", "", "cassandra://u@c1.example.com/l?ca=ca.pem&certificate=c.pem&key=%2Fk.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseData(tt.text, environment)
			if err != nil {
				t.Fatal(err)
			}
			if d.Engine == Postgres {
				if got, err := d.PostgresURL(environment); got != tt.url || err != nil {
					t.Errorf("PostgresURL = %s, %v, want %s", got, err, tt.url)
				}
			}
			written, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			for _, shown := range []string{d.String(), fmt.Sprintf("%v", d), fmt.Sprintf("%+v", d), fmt.Sprintf("%#v", struct{ D Data }{d}), string(written)} {
				if strings.Contains(shown, hidden) {
					t.Errorf("the password shows: %s", shown)
				}
			}
			if d.String() != tt.shown {
				t.Errorf("String = %s, want %s", d, tt.shown)
			}
			text := fmt.Sprintf("data: %q\nkeys: {encrypt_with: {file: kek}}\n", tt.text)
			cfg := mustParse(t, text)
			if inFile := cfg.Data; inFile.Engine != d.Engine || d.Engine == Cassandra && !slices.Equal(inFile.Cluster.Hosts, d.Cluster.Hosts) {
				t.Errorf("in the file %v", inFile)
			}
			if strings.Contains(fmt.Sprintf("%+v", cfg), hidden) {
				t.Error("the configuration shows the password")
			}
		})
	}
}

func TestACassandraURLInItsParts(t *testing.T) {
	cfg := mustParse(t, `{data: "cassandra://u:${DB}@c1.example.com:1,c2.example.com/l?local_dc=dc1&ca=ca.pem&certificate=c.pem&key=/k.pem&replication=5", keys: {encrypt_with: {file: kek}}}`)
	want := Cluster{Hosts: []string{"c1.example.com:1", "c2.example.com"}, Keyspace: "l", LocalDC: "dc1", User: "u", TLS: true,
		CA: "dir/ca.pem", Certificate: "dir/c.pem", Key: "/k.pem", Replication: 5}
	if !reflect.DeepEqual(cfg.Data.Cluster, want) || cfg.Data.Dir != "dir/longcase-data" {
		t.Errorf("%+v in %s, want %+v", cfg.Data.Cluster, cfg.Data.Dir, want)
	}
	if got, err := cfg.Data.Password.Read(environment); got != hidden || err != nil {
		t.Errorf("password %v, %v", got, err)
	}
	if _, err := cfg.Data.Password.Read(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "DB is empty or not set") {
		t.Errorf("without its variable: %v", err)
	}
	pg := mustParse(t, `{data: "postgres://u@db/l?sslrootcert=ca.pem&sslcert=/c.pem", keys: {encrypt_with: {file: kek}}}`)
	if got := pg.Data.String(); got != "postgres://u@db/l?sslcert=%2Fc.pem&sslmode=verify-full&sslrootcert=dir%2Fca.pem" {
		t.Errorf("paths of a PostgreSQL: %s", got)
	}
}

func TestWhatIsWrongWithData(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"an environment reference", "${HOME}/data", "cannot come from the environment"},
		{"a connection string that is no URL", "host=db user=u password=" + hidden, "write postgres://USER@HOST:PORT/DATABASE"},
		{"another database", "mysql://u:" + hidden + "@h/d", "is a directory, a postgres:// URL or a cassandra:// URL"},
		{"one that is misspelt", "postgre://u:" + hidden + "@h/d", `did you mean "postgres://…"`},
		{"no host", "postgres:///l", "names no host"},
		{"no database", "postgres://localhost", "names no one database"},
		{"two databases", "postgres://localhost/a/b", "names no one database"},
		{"several hosts", "postgres://u:" + hidden + "@a,b/l", "names several hosts"},
		{"a port that is none", "postgres://u:" + hidden + "@db:70000/l", "a port up to 65535"},
		{"a forgotten @", "postgres://u:" + hidden + "/l", "a port up to 65535"},
		{"a port in letters", "postgres://u:" + hidden + "@db:five/l", "a port up to 65535"},
		{"plain beyond this machine", "postgres://u:" + hidden + "@db/l?sslmode=disable", "sslmode=disable beyond this machine"},
		{"perhaps plain", "postgres://10.0.0.1/l?sslmode=prefer", "use verify-full"},
		{"plain by a host in the query", "postgres:///l?host=db&sslmode=allow", "beyond this machine"},
		{"two hosts by the query", "postgres://localhost/l?host=db", "names its host or port twice"},
		{"an unknown sslmode", "postgres://db/l?sslmode=verify", "sslmode that is not one of"},
		{"a misspelt key", "postgres://db/l?sslmod=require", `did you mean "sslmode"`},
		{"a key twice", "postgres://db/l?sslmode=require&sslmode=disable", `names "sslmode" twice`},
		{"a password in the query", "postgres://db/l?password=" + hidden, "has a password in its query"},
		{"a password that is not encoded", "postgres://u:" + hidden + "/1@db/l", "%2F"},
		{"another one", "postgres://u:" + hidden + "#1@db/l", "%23"},
		{"one with an @ and a slash", "postgres://u:a@" + hidden + "/1@db/l", "%40"},
		{"a % that encodes nothing", "postgres://u:" + hidden + "%zz@db/l", "%25"},
		{"no user", "postgres://:" + hidden + "@db/l", "a password and no user"},
		{"an empty password", "postgres://u:@db/l", "empty password"},
		{"half a password from the environment", "postgres://u:" + hidden + "${DB}@db/l", "only in part from the environment"},
		{"a user from the environment", "postgres://${DB}:x@db/l", "a user from the environment"},
		{"a host from the environment", "postgres://u@${DB}/l", "stands for the password alone"},
		{"a fragment", "postgres://db/l#x", "has a fragment"},
		{"no variable", "postgres://u:${NONE}@localhost/l", "NONE is empty or not set"},
		{"no keyspace", "cassandra://127.0.0.1", "names no keyspace"},
		{"a keyspace with capitals", "cassandra://127.0.0.1/Longcase", `did you mean "longcase"`},
		{"a keyspace with a dash", "cassandra://127.0.0.1/long-case", `did you mean "long_case"`},
		{"a keyspace that is too long", "cassandra://127.0.0.1/" + strings.Repeat("k", 49), "48 small letters"},
		{"no host of Cassandra", "cassandra:///longcase", "is not a name or an address"},
		{"an empty host", "cassandra://127.0.0.1,,127.0.0.2/longcase", "is not a name or an address"},
		{"a host twice", "cassandra://127.0.0.1,127.0.0.1/longcase", "twice"},
		{"a bad port of Cassandra", "cassandra://u:" + hidden + "@127.0.0.1:0/longcase", "a port up to 65535"},
		{"plain Cassandra beyond this machine", "cassandra://127.0.0.1,10.0.0.1/longcase", "add tls=true"},
		{"plain Cassandra that says so", "cassandra://c1/longcase?tls=false", "add tls=true"},
		{"a file and no TLS", "cassandra://127.0.0.1/longcase?tls=false&ca=f", "tls=false and files for TLS"},
		{"a certificate without its key", "cassandra://127.0.0.1/longcase?certificate=f", "certificate and key together"},
		{"neither true nor false", "cassandra://127.0.0.1/longcase?tls=yes", "neither true nor false"},
		{"a user without a password", "cassandra://u@127.0.0.1/longcase", "a user and no password"},
		{"an empty data centre", "cassandra://127.0.0.1/longcase?local_dc=", `empty "local_dc"`},
		{"a data centre that is none", "cassandra://127.0.0.1/longcase?local_dc=a'b", "nodetool status"},
		{"a misspelt key of Cassandra", "cassandra://127.0.0.1/longcase?localdc=dc1", `did you mean "local_dc"`},
		{"no replication", "cassandra://127.0.0.1/longcase?replication=0", "a number from 1 to 32"},
		{"33 hosts", "cassandra://" + strings.TrimSuffix(strings.Repeat("h,", 33), ",") + "/k", "32 at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseData(tt.text, environment)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), hidden) {
				t.Errorf("ParseData = %v, want %q", err, tt.says)
			}
			_, inFile := Parse("f", fmt.Appendf(nil, "data: %q\nkeys: {encrypt_with: {file: kek}}\n", tt.text))
			if strings.Contains(tt.text, "${NONE}") { // read when the store is opened
				return
			}
			if inFile == nil || !strings.Contains(inFile.Error(), tt.says) || strings.Contains(inFile.Error(), hidden) || !strings.HasPrefix(inFile.Error(), "f:1:7: data ") {
				t.Errorf("in the file: %v", inFile)
			}
		})
	}
}

func TestADatabaseNeedsAKeyThatItsNodesShare(t *testing.T) {
	for _, data := range []string{"postgres://localhost/l", "cassandra://127.0.0.1/l"} {
		_, err := Parse("f", []byte("data: "+data+"\nissuer: {url: https://i.test}\n"))
		if !says(err, "openssl rand -base64 32") {
			t.Errorf("%s without keys: %v", data, err)
		}
	}
	if cfg := mustParse(t, "issuer: {url: https://i.test}\n"); cfg.Data.Database() || cfg.Data.Dir != "dir/longcase-data" {
		t.Errorf("no data: %v", cfg.Data)
	}
}

// FuzzParseData: whatever stands beside a password, no message and no print
// shows it, and a URL that is taken still has it.
func FuzzParseData(f *testing.F) {
	for _, rest := range []string{"@localhost/l", "@db:5432/l?sslmode=require", "@127.0.0.1,127.0.0.2/l?local_dc=dc1", "/x@db/l", "?@#", "@[::1]/l?host=/x", "%zz@h/k", "@h/k?password=x"} {
		f.Add("postgres://u:", rest)
		f.Add("cassandra://u:", rest)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if !strings.Contains(after, "@") || !strings.HasPrefix(before, "postgres://u:") && !strings.HasPrefix(before, "cassandra://u:") {
			return // no password stands between the two
		}
		d, err := ParseData(before+hidden+after, environment)
		if shown := fmt.Sprintf("%v %v %+v %#v", err, d, d, d); strings.Contains(shown, hidden) && !strings.Contains(after, hidden) {
			t.Errorf("%q%q shows %s", before, after, shown)
		}
		if err != nil {
			return
		}
		if d.Engine != Postgres {
			return
		}
		whole, err := d.PostgresURL(environment)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(whole)
		given, _ := d.Password.Read(environment)
		if got, _ := u.User.Password(); err != nil || got != given {
			t.Errorf("%q%q becomes %q: %v", before, after, whole, err)
		}
	})
}
