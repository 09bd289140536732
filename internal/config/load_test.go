package config

import "testing"

func TestExampleLoads(t *testing.T) {
	if _, err := Load("example.yaml"); err != nil {
		t.Fatal(err)
	}
}
