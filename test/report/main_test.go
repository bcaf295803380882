package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	events := `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestS","Output":"    a_test.go:9: no scanner here\n"}
{"Action":"skip","Package":"p","Test":"TestS"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
{"Action":"output","Package":"q","Test":"TestB","Output":"    b_test.go:5: wrong\n"}
{"Action":"fail","Package":"q","Test":"TestB"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.1s\n"}
{"Action":"fail","Package":"q"}
{"ImportPath":"r","Action":"build-output","Output":"r.go:1: broken\n"}
{"Action":"fail","Package":"r"}
{"Action":"output","Package":"u","Test":"TestC","Output":"waiting\n"}
go: a line that is not JSON
`
	var out strings.Builder
	passed, failed, err := report(strings.NewReader(events), &out)
	if err != nil || passed != 1 || failed != 2 {
		t.Fatalf("%d passed, %d failed, %v", passed, failed, err)
	}
	got := out.String()
	for _, want := range []string{
		"SKIP p TestS: a_test.go:9: no scanner here\n", "ok  \tp\t0.1s\n", "b_test.go:5: wrong\n", "FAIL\tq",
		"r.go:1: broken\n", "u TestC did not end:\nwaiting\n", "go: a line that is not JSON\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "quiet") {
		t.Error("the output of a passed test was shown")
	}
}
