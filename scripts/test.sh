#!/usr/bin/env bash
# Runs every check and test, cheap ones first, to the end even where one fails,
# and closes with "N passed, N failed". A check counts one; of Go's tests each
# counts. Called by "make test", which sets Go's flags.
set -uo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=${CGO_ENABLED-0} GOFLAGS=${GOFLAGS--trimpath}

raced=(./kernel/... ./drive/... ./domain/people/... ./door/gate/...)
passed=0
failed=0
failures=()
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT

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

# gotest NAME ARG…: Go tests, each counted.
gotest() {
	local name=$1 began=$SECONDS p f
	shift
	echo "--- $name"
	go test -json "$@" </dev/null | bin/report -counts "$counts"
	local status=("${PIPESTATUS[@]}")
	read -r p f <"$counts"
	if ((f == 0 && (status[0] != 0 || status[1] != 0))); then
		f=1 # it did not even get to a test
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	if ((f > 0)); then
		failures+=("$name")
	fi
	echo "$name: $p passed, $f failed ($((SECONDS - began)) s)"
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
check "pages: unit tests" npm --prefix web run --silent test
check "the binary with its pages" make --no-print-directory build
check "browser: install" make --no-print-directory test/pages/node_modules/.package-lock.json
check "browser tests" npm --prefix test/pages run --silent test
# Data races are looked for where goroutines share memory in our own code. The
# detector makes C translated to Go some twenty times slower and adds nothing
# there, so the databases are left out.
CGO_ENABLED=1 gotest "race detector" -race -short -timeout 10m "${raced[@]}"
gotest "go test" -timeout 12m ./...

echo
if ((failed > 0)); then
	printf 'failed: %s\n' "${failures[@]}"
fi
echo "$passed passed, $failed failed"
exit $((failed > 0))
