# What a person or the CI runs. Needs Rust, make and Python 3.9; the servers come with `make tools`.

PYTHON ?= python3
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help tools tools-all build demo test check bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

tools: ## install the pinned Postgres and NATS servers into .tools/
	@$(PYTHON) tools/install.py

tools-all: ## install older servers beside them, for the tests that run on every installed version
	@$(PYTHON) tools/install.py --all

build: ## build the release binary
	$(CARGO) build --release --locked

demo: tools ## run the whole path on private servers: 5000 events and a verdict
	$(CARGO) run --release --locked -- sandbox --events 5000

test: tools ## run all tests
	$(CARGO) test --locked

check: ## check format, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps

bench: tools ## drain a backlog of 500,000 events, beside pg_recvlogical on the same log
	$(CARGO) bench --locked --bench backlog

clean: ## remove what was built and the installed servers
	$(CARGO) clean
	rm -rf .tools
