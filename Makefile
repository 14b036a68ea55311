# Everything a person or CI does with this tree. `make` lists it. `make setup` installs what a build needs.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-real check bench soak fuzz clean

help: ## Lists what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Installs by package name what a build needs and is missing; says what it cannot
	@.ci/setup

run: ## Starts Loa with a sample campaign to simulated phones and mailboxes (ONCE=1: ends with its ledgers; ARGS=…)
	@cargo run -p loa -- dev --sample --demo-hours $(if $(ONCE),--once) $(ARGS)

test: ## Runs every test, the whole cluster included
	@.ci/stage binary cargo build -p loa && .ci/stage test cargo test --workspace --tests --no-fail-fast

test-real: ## Runs the suites on Apache Kafka, PostgreSQL, Redis, Postfix and others' SMSCs, which it installs and starts
	@tests/real/install && .ci/stage binary cargo build -p loa && .ci/stage real .ci/real --show-output && .ci/nobody $${CARGO_TARGET_DIR:-target}/ci/real.log

check: ## Runs what CI runs: format, lints, documentation, test, test-real (installs its servers); prints the seconds of each
	@.ci/check

bench: ## Measures and writes target/bench/*.json (BENCH="spine|urgent|million embedded|real": that alone; needs no servers if embedded)
	@$(if $(findstring embedded,$(BENCH)),,tests/real/install &&) cargo build --release -p loa -p loa-bench && target/release/loa-bench bench $(BENCH)

soak: ## Kills Loa, then what it stands on too, again and again under load; compares ledger and sinks (SEED=n: the same again)
	@tests/real/install && cargo build --release -p loa -p loa-bench -p loa-simulation
	@target/release/loa-bench soak $(SEED)
	@target/release/loa-bench soak-real $(SEED)
	@target/release/loa-simulation 100000
	@target/release/loa-bench millions

fuzz: ## Feeds every parser with mutated input, then the rules with more random cases (TARGET=name, SECONDS=n each, CASES=n)
	@cargo run -p loa-fuzz -- $(TARGET) $(if $(SECONDS),--seconds $(SECONDS)) && PROPTEST_CASES=$(or $(CASES),5000) cargo test --workspace --lib

clean: ## Removes what builds made; data in loa-data stays
	@cargo clean
