# Zhiwei. "make help" lists what there is; README.md tells the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help

DATA    ?= data
LISTEN  ?= 127.0.0.1:8080
KILLS   ?= 100
QUERIES ?= 10000
SEED    ?= 1
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
NODE    := $(shell command -v npm 2>/dev/null)

# One set of flags for vet, tests and the binary, so that the libraries are
# compiled once: -trimpath and cgo are part of the key of Go's build cache.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath

.PHONY: help
help: ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: run
run: build ## build, then serve on http://127.0.0.1:8080 with the records in ./data (LISTEN=, DATA=)
	bin/zhiwei serve --data $(DATA) --listen $(LISTEN) $(ARGS)

.PHONY: build
build: $(if $(NODE),pages,no-pages) ## build bin/zhiwei, with its pages where Node is present
	go build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/zhiwei ./cmd/zhiwei

.PHONY: pages
pages: web/dist/index.html ## build the pages into web/dist

.PHONY: no-pages
no-pages:
	@echo 'npm is not here: the program is built with a page that says how to build the real ones (Node 20.19 or newer).'

page-sources := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print)

web/dist/index.html: web/node_modules/.package-lock.json $(page-sources)
	npm --prefix web run build
	@touch $@

# npm writes this file last, so it tells that what is there is whole.
%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund
	@touch $@

.PHONY: test
test: ## everything: packages, formats, linters, pages, unit, store, crash and browser tests
	scripts/test.sh

.PHONY: bench
bench: build ## measure against the goals; writes bench/RESULTS.md
	go run ./bench -program $(CURDIR)/bin/zhiwei $(ARGS)

.PHONY: crash
crash: ## kill the stores 100 times under load (KILLS=), ask both 10,000 random queries (QUERIES=)
	ZHIWEI_KILLS=$(KILLS) go test -count=1 -v -timeout 120m ./test/crash ./store/faultvfs $(ARGS)
	ZHIWEI_QUERIES=$(QUERIES) go test -count=1 -v -timeout 120m ./store/sqlite ./store/postgres -run 'TestStore/judge$$'

.PHONY: park
park: build ## break a small hospital's IT, one fault after the other, and see it healed (SEED=, ARGS='-only NAME')
	go run ./test/park -seed $(SEED) -program $(CURDIR)/bin/zhiwei -table bench/PARK.md $(ARGS)

.PHONY: packages
packages: ## install the Debian packages that the tests need, or say which
	scripts/debian-packages.sh

.PHONY: format
format: ## format the Go files
	go tool gofumpt -w $$(git ls-files '*.go')

.PHONY: clean
clean: ## remove what was built, not the records
	rm -rf bin bench/out web/node_modules test/pages/node_modules
	find web/dist -mindepth 1 ! -name .gitkeep -delete
