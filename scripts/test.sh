#!/usr/bin/env bash
# Runs every check and test, cheap ones first, to the end even where one fails,
# and closes with "N passed, N failed". A check counts one; of tests, Go's,
# vitest's and Node's, each counts. Called by "make test", which sets Go's flags.
set -uo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=${CGO_ENABLED-0} GOFLAGS=${GOFLAGS--trimpath}

raced=(./kernel/... ./drive/... ./domain/people/... ./door/gate/... ./engine/automation ./engine/data ./engine/intelligence/detect ./apps/library-desk)
passed=0
failed=0
failures=()
counts=$(mktemp)
log=$(mktemp)
trap 'rm -f "$counts" "$log"' EXIT

# check NAME COMMAND…: one check.
check() {
	local name=$1 began=$SECONDS
	shift
	echo "--- $name"
	if "$@" </dev/null; then
		passed=$((passed + 1))
		echo "ok   $name ($((SECONDS - began)) s)"
	else
		failed=$((failed + 1))
		failures+=("$name")
		echo "FAIL $name ($((SECONDS - began)) s)"
	fi
}

# tally NAME BEGAN STATUS PASSED FAILED: adds up a suite. One that ended badly
# without a failed test did not even get to its tests, and counts as one failure.
tally() {
	local name=$1 began=$2 status=$3 p=${4:-0} f=${5:-0}
	if ((f == 0 && status != 0)); then
		f=1
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	if ((f > 0)); then
		failures+=("$name")
	fi
	echo "$name: $p passed, $f failed ($((SECONDS - began)) s)"
}

# gotest NAME ARG…: Go tests, each counted.
gotest() {
	local name=$1 began=$SECONDS p f
	shift
	echo "--- $name"
	: >"$counts"
	go test -json "$@" </dev/null | bin/report -counts "$counts"
	local status=("${PIPESTATUS[@]}")
	read -r p f <"$counts"
	tally "$name" "$began" $((status[0] + status[1])) "$p" "$f"
}

# webtest NAME COMMAND…: tests of vitest ("Tests  2 failed | 46 passed") or of
# Node's runner ("# pass 46"), each counted.
webtest() {
	local name=$1 began=$SECONDS status
	shift
	echo "--- $name"
	NO_COLOR=1 "$@" </dev/null 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	counted() { sed -nE "s/^(#|ℹ) $1 ([0-9]+)\$/\2/p; s/^ *Tests .*[^0-9]([0-9]+) $1ed.*/\1/p" "$log" | tail -n 1; }
	tally "$name" "$began" "$status" "$(counted pass)" "$(counted fail)"
}

formatted() {
	local wrong
	wrong=$(go tool gofumpt -l $(git ls-files --cached --others --exclude-standard '*.go')) || return 1
	if [[ -n "$wrong" ]]; then
		echo "not formatted by gofumpt (make format):"
		echo "$wrong"
		return 1
	fi
}

need() {
	command -v "$1" >/dev/null && return
	echo "make test needs $1; the README says where to get it." >&2
	exit 1
}

need go
need npm
scripts/debian-packages.sh || exit 1
go build -o bin/report ./test/report || exit 1

check gofumpt formatted
check floors go test ./test/house -run 'TestTheHouse|TestTheChecks'
check "go vet" go vet ./...
check staticcheck go tool staticcheck ./...
check "pages: install" make --no-print-directory web/node_modules/.package-lock.json
check "pages: eslint" npm --prefix web run --silent lint
check "pages: vue-tsc" npm --prefix web run --silent typecheck
webtest "pages: unit tests" npm --prefix web run --silent test
check "the binary with its pages" make --no-print-directory build
check "browser: install" make --no-print-directory test/pages/node_modules/.package-lock.json
webtest "browser tests" npm --prefix test/pages run --silent test
# Data races are looked for where goroutines share memory in our own code. The
# detector makes C translated to Go some twenty times slower and adds nothing
# there, so SQLite is left out; the driver of PostgreSQL is Go.
CGO_ENABLED=1 gotest "race detector" -race -short -timeout 10m "${raced[@]}"
CGO_ENABLED=1 gotest "race detector, two stores over one database" -race -run TestShared -timeout 10m ./store/postgres
gotest "go test" -timeout 12m ./...

echo
if ((failed > 0)); then
	printf 'failed: %s\n' "${failures[@]}"
fi
echo "$passed passed, $failed failed"
exit $((failed > 0))
