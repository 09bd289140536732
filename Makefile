# make help lists the targets.

GO       ?= go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Without cgo: Pebble would compile C for minutes, and the binary is static.
export CGO_ENABLED = 0

# Packages for the race detector: those that do much at once and whose tests do
# not link Pebble (the detector needs cgo).
RACE := ./token/... ./verify/... ./jwks/... ./gate/... ./clientauth/... ./issuer/... ./store/memory/... ./fresh/... ./internal/agent/... ./internal/clock/...

.DEFAULT_GOAL := help
.PHONY: help run build setup test test-long bench lint fuzz postgres postgres-stop cassandra cassandra-stop

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

build: ## build bin/longcase
	$(GO) build -trimpath -o bin/longcase ./cmd/longcase

run: build ## build and start a complete local setup
	./bin/longcase serve

setup: ## install what the tests need: Debian packages, real servers, npm and Python clients
	./e2e/setup

postgres: ## start a PostgreSQL on loopback and print its URL
	@servers/postgres setup && servers/postgres start .cache/servers/postgres

postgres-stop: ## stop it; its data stay in .cache/servers/postgres
	@servers/postgres stop .cache/servers/postgres

cassandra: ## start a Cassandra on 127.0.0.1 and print its URL
	@servers/cassandra/cassandra setup && servers/cassandra/cassandra start .cache/servers/cassandra

cassandra-stop: ## stop it; its data stay in .cache/servers/cassandra
	@servers/cassandra/cassandra stop .cache/servers/cassandra

# e2e goes one package after the other: credentials there live for a second.
test: setup ## every test, large counts at a twentieth
	$(GO) vet ./...
	$(GO) test -count=1 -timeout 30m ./...
	cd bench && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m ./...
	cd e2e && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m -p 1 ./...
	CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -race $(RACE)

test-long: export LONGCASE_LONG = 1
test-long: setup ## every test with full counts
	$(GO) test -count=1 -timeout 4h ./...
	cd bench && $(GO) test -count=1 -timeout 4h ./...
	cd e2e && $(GO) test -count=1 -timeout 4h -p 1 ./...
	CGO_ENABLED=1 $(GO) test -count=1 -timeout 4h -race $(RACE)

bench: build ## speed and memory beside the peers', as ratios
	cd bench && $(GO) run ./cmd/bench-verify
	cd bench && $(GO) run ./cmd/bench-remote
	cd bench && $(GO) run ./cmd/bench-gateway -binary ../bin/longcase
	cd bench && $(GO) run ./cmd/bench-gateway -binary ../bin/longcase -algorithm RS256 -only-go -distinct 0
	cd bench && $(GO) run ./cmd/bench-store
	cd bench && $(GO) run ./cmd/bench-issuer -binary ../bin/longcase
	cd bench && $(GO) run ./cmd/bench-fresh
	cd bench && $(GO) run ./cmd/fault-matrix

lint: ## golangci-lint over every module
	$(GO) run $(GOLANGCI) run ./...
	cd bench && $(GO) run $(GOLANGCI) run --config ../.golangci.yml ./...
	cd e2e && $(GO) run $(GOLANGCI) run --config ../.golangci.yml ./...

FUZZTIME ?= 30s
fuzz: ## every fuzz function for FUZZTIME each (default 30s)
	@set -e; for module in . bench; do \
		for package in $$(cd $$module && grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n1 dirname | sort -u); do \
			case "$$module:$$package" in .:./bench*|.:./e2e*) continue;; esac; \
			for f in $$(cd $$module && grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | sed 's/^func //'); do \
				echo "fuzz $$module $$package $$f"; \
				(cd $$module && $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$package); \
			done; \
		done; \
	done
