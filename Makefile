# What a person or the CI runs. Needs Rust, make and Python 3.10; the servers come with `make tools`.

PYTHON ?= python3
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help tools tools-all tools-browser build demo demo-django test test-deploy test-django test-django-all test-examples simulate torture \
        crash-points cuts fuzz check check-django tools-valgrind instructions bench bench-micro bench-growth bench-report bench-profile \
        bench-availability bench-django clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

tools: ## install the pinned Postgres and NATS servers into .tools/
	@$(PYTHON) tools/install.py

tools-all: ## install older servers beside them, for the tests that run on every installed version
	@$(PYTHON) tools/install.py --all

tools-browser: ## install Chromium from Debian's packages where that is possible, for the test of the example shop's page
	@$(PYTHON) tools/examples.py browser

tools-valgrind: ## install Valgrind from Debian's packages where that is possible, for the count of instructions
	@$(PYTHON) tools/debian.py valgrind valgrind

build: ## build the release binary
	$(CARGO) build --release --locked

demo: tools ## run the whole path on private servers: 5000 events and a verdict
	$(CARGO) run --release --locked -- sandbox --events 5000

demo-django: tools ## open the example shop: a page on which events turn from pending to published
	$(CARGO) build --release --locked
	@WALPOST_BINARY=$(CURDIR)/target/release/walpost $(PYTHON) tools/examples.py demo $(ARGS)

test: tools ## run all tests
	$(CARGO) test --locked
	$(MAKE) test-deploy
	$(MAKE) test-django
	$(MAKE) test-examples

# It asks the program what it thinks of the configurations that are shipped.
test-deploy: ## test alerts and dashboard with real Prometheus, and what is shipped for systemd, Docker and Kubernetes
	$(CARGO) test --locked --no-run --test cli
	$(PYTHON) tools/deploy.py test $(ARGS)

# The relay's tests of its command line build the program with just what `cargo test` has built already.
test-django: tools ## run the tests of the Django package, on the newest and the oldest Python and Django that are here
	$(CARGO) test --locked --no-run --test cli
	$(PYTHON) tools/django_package.py test $(ARGS)

test-django-all: tools ## run them on every Python and Django that are here
	$(CARGO) test --locked --no-run --test cli
	$(PYTHON) tools/django_package.py test-all $(ARGS)

test-examples: tools ## run the examples: the shop in a browser, producers, consumers in each language whose toolchain is here
	$(CARGO) test --locked --no-run --test cli
	$(PYTHON) tools/examples.py test $(ARGS)

simulate: ## run SCHEDULES (100000) random schedules of faults through the delivery engine, from the seed FIRST (0) on
	WALPOST_SIM_SCHEDULES=$(or $(SCHEDULES),100000) WALPOST_SIM_FIRST=$(or $(FIRST),0) \
	$(CARGO) test --release --locked --test simulation schedules -- --nocapture

torture: tools ## let everything fail for MINUTES (10), with a SEED, on a version of PG and NATS, with 1 or 3 REPLICAS, with RETENTION (1) or without (0)
	WALPOST_TEST_SEED=$(or $(SEED),$(shell date +%s)) WALPOST_TORTURE_MINUTES=$(or $(MINUTES),10) WALPOST_TORTURE_PG=$(PG) \
	WALPOST_TORTURE_NATS=$(NATS) WALPOST_TORTURE_REPLICAS=$(or $(REPLICAS),1) WALPOST_TORTURE_RETENTION=$(RETENTION) \
	$(CARGO) test --locked --test torture -- --nocapture whatever_fails

crash-points: tools ## kill it after its first message, after its second, and so on through a whole life
	WALPOST_TORTURE_CRASH_POINTS=1 $(CARGO) test --locked --test torture -- --nocapture a_crash_after

cuts: tools ## cut its connections after the first byte, after the second, and so on until events are delivered
	WALPOST_TORTURE_CUTS=1 $(CARGO) test --locked --test torture -- --nocapture a_cut_after

fuzz: ## let a fuzzer look for MINUTES (1) at each reader of bytes from outside, or at one TARGET
	tools/fuzz.sh $(or $(MINUTES),1) $(TARGET)

check: ## check format, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps
	$(PYTHON) tools/benchmarks/report.py check
	$(MAKE) check-django

check-django: ## check format, lints and types of the Django package
	$(PYTHON) tools/django_package.py check

# Where Valgrind is not to be had, it says so and passes.
instructions: tools-valgrind ## count what each pure part costs an event; fail if one got dearer, or keep the figures with REFRESH=1
	$(CARGO) --config benches/instructions/cargo.toml bench --locked --profile dev --bench instructions -- $(if $(REFRESH),--refresh)

bench: tools ## measure what there is a goal for, in a quarter of an hour: backlog, latency, growth, memory, idle, webhooks
	$(CARGO) bench --locked --bench measure -- $(ARGS)
	@$(PYTHON) tools/benchmarks/report.py goals target/bench/results.json

bench-micro: ## how long each pure part of the way of an event takes, or one PART
	$(CARGO) bench --locked --bench micro -- $(PART)

bench-growth: tools ## measure how it grows, up to a backlog of 5,000,000 events
	$(CARGO) bench --locked --bench measure -- growth --sizes 50000,500000,5000000 $(ARGS)

bench-report: ## put what was measured last into docs/benchmarks and the first page: tables, pictures, goals
	$(PYTHON) tools/benchmarks/report.py write target/bench/results.json

# With frame pointers, in a folder of its own. perf follows all processes of the run; the relay's samples are picked out afterwards.
PERF = "perf", "record", "--freq=999", "--call-graph=fp", "--output=target/profile/perf.data"
bench-profile: tools ## record with perf where the relay's time goes while it drains a backlog, and draw it
	RUSTFLAGS="-C force-frame-pointers=yes" CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_TARGET_DIR=target/profile \
	$(CARGO) bench --locked --bench measure --config 'target."cfg(unix)".runner = [$(PERF)]' -- \
	backlog --rounds 1 --out target/profile/results.json $(ARGS)
	perf report --input=target/profile/perf.data --comm=walpost --percentage=relative --no-children --stdio --call-graph=none --percent-limit=0.5
	$(PYTHON) tools/benchmarks/flame.py target/profile/perf.data walpost target/profile/profile.svg

bench-availability: tools ## how long events stand still when the leader changes or the broker is away
	$(CARGO) bench --locked --bench measure -- takeover outage --outage-seconds 300 $(ARGS)

bench-django: tools ## what recording an event costs, one by one and many at once
	$(PYTHON) tools/django_package.py bench

clean: ## remove what was built and the installed servers
	$(CARGO) clean
	rm -rf .tools
