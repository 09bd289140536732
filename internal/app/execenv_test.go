package app

import (
	"slices"
	"testing"
)

func TestACommandAsksThisMachineWithoutAProxy(t *testing.T) {
	const ends = "127.0.0.1,localhost"
	tests := []struct {
		name      string
		env, want []string // want: sorted
	}{
		{"no proxy is set", []string{"NO_PROXY=a.test"}, []string{"NO_PROXY=a.test", "V=1"}},
		{"an empty one is none", []string{"HTTP_PROXY="}, []string{"HTTP_PROXY=", "V=1"}},
		{"a proxy", []string{"HTTP_PROXY=http://p:1"}, []string{"HTTP_PROXY=http://p:1", "NO_PROXY=" + ends, "V=1", "no_proxy=" + ends}},
		{"in small letters", []string{"all_proxy=http://p:1"}, []string{"NO_PROXY=" + ends, "V=1", "all_proxy=http://p:1", "no_proxy=" + ends}},
		{"one list is both", []string{"https_proxy=p", "no_proxy=a.test"},
			[]string{"NO_PROXY=a.test," + ends, "V=1", "https_proxy=p", "no_proxy=a.test," + ends}},
		{"two lists", []string{"https_proxy=p", "no_proxy=a.test", "NO_PROXY=b.test, localhost"},
			[]string{"NO_PROXY=b.test, localhost,127.0.0.1", "V=1", "https_proxy=p", "no_proxy=a.test," + ends}},
		{"a longer name is another", []string{"https_proxy=p", "no_proxy=localhost.test"},
			[]string{"NO_PROXY=localhost.test," + ends, "V=1", "https_proxy=p", "no_proxy=localhost.test," + ends}},
		{"none for anything", []string{"https_proxy=p", "no_proxy=*"}, []string{"NO_PROXY=*", "V=1", "https_proxy=p", "no_proxy=*"}},
		{"what is ours", []string{"LONGCASE_CLIENT_SECRET=s", "LONGCASE_TOKEN=t", "LONGCASE_CONFIG=c"}, []string{"LONGCASE_CONFIG=c", "V=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := environment(tt.env, []string{"V=1"})
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("environment = %q\n          want %q", got, tt.want)
			}
		})
	}
}
