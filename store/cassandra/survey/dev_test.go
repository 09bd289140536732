package survey

import ("testing";"context";"encoding/json";"os";"time";"github.com/longcase/longcase/store/cassandra")

func TestDev(t *testing.T) {
	at := time.Now()
	k, err := Read(context.Background(), Config{Cluster: cassandra.Config{Hosts: []string{"127.0.0.1"}, Keyspace: os.Getenv("KS")}})
	t.Log(err, time.Since(at))
	b, _ := json.MarshalIndent(k, "", " ")
	t.Log(string(b))
}
