package storetest

import (
	"os"
	"strconv"
	"testing"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
)

// Run is the conformance suite: every sentence of kernel/store and
// kernel/search about one store. open is called once for each sub-test.
//
// Proves A02: the store contract, the same for every adapter.
func Run(t *testing.T, open Open) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			c.test(newBench(t, open(t, Clinic(), clock.System())))
		})
	}
	t.Run("time", func(t *testing.T) { runTime(t, open) })
	t.Run("unready", func(t *testing.T) { testUnready(t, open) })
	t.Run("judge", func(t *testing.T) { RunJudge(t, open, judgeQueries(t)) })
	t.Run("judge-large", func(t *testing.T) { RunJudgeLarge(t, open, 3000, 120) })
}

// judgeQueries is how many random queries both stores answer: 2,000, or as many
// as ZHIWEI_QUERIES says.
func judgeQueries(t *testing.T) int {
	s := os.Getenv("ZHIWEI_QUERIES")
	if s == "" {
		return 2000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		t.Fatalf("ZHIWEI_QUERIES=%s is no number of queries", s)
	}
	return n
}

// contract is the part of the suite that needs no say over the clock.
var contract = []struct {
	name string
	test func(b *bench)
}{
	{"write/round-trip", testRoundTrip},
	{"write/at-a-version", testAtVersion},
	{"write/delete-undelete", testDelete},
	{"write/several-kinds", testSeveralKinds},
	{"write/all-or-nothing", testAllOrNothing},
	{"write/twice-in-one", testTwiceInOne},
	{"write/sees-itself", testSeesItself},
	{"write/others-commit", testOthersCommit},
	{"write/no-lost-update", testNoLostUpdate},
	{"write/positions", testPositions},
	{"write/sequence", testSequence},
	{"write/crossing", func(b *bench) { testCrossing(b, b.s) }},
	{"write/priority", testPriority},
	{"write/purge", testPurge},
	{"write/large", testLarge},
	{"write/interrupted", testInterrupted},
	{"write/closed", testClosed},
	{"reference/integrity", testIntegrity},
	{"reference/in-one-transaction", testForward},
	{"reference/after-a-search", testIntegritySearched},
	{"reference/loose", testLoose},
	{"reference/delete", testDeleteReferred},
	{"reference/referring", testReferring},
	{"history/levels", testHistory},
	{"history/paging", testHistoryPaging},
	{"history/hidden", testHistoryHidden},
	{"visible/reads", testVisible},
	{"visible/treating", testTreating},
	{"feed/writers", testFeedWriters},
	{"feed/reads", testFeedReads},
	{"feed/changed", testChanged},
	{"feed/cursors-trim", testTrim},
	{"audit/entries", testAudits},
	{"audit/queries", testAuditQueries},
	{"search/clauses", testClauses},
	{"search/chinese", testChinese},
	{"search/sort", testSort},
	{"search/paging", testPaging},
	{"search/paging-while-written", testPagingWhileWritten},
	{"search/cursor", testCursor},
	{"search/refused", testSearchRefused},
	{"search/replaced", testIndexReplaced},
	{"search/reindexed", testReindex},
	{"search/many-values", testManyValues},
	{"search/composite-text", testCompositeText},
	{"search/composite-reference", testCompositeReference},
	{"search/new-words", testNewWords},
}

func auditPage(before int64) audit.Query { return audit.Query{Before: before, Limit: 1000} }
