# Everything from a fresh Debian 12 with Rust 1.95 and a C compiler. `make test` installs the test parts.

CARGO ?= cargo
export RUST_BACKTRACE = 0

.PHONY: run build test lint bench fuzz fuzz-smoke cargo-fuzz parts manual

run: build
	./target/release/mailward demo

build:
	$(CARGO) build --release --locked --package mailward

test: parts lint
	$(CARGO) test --workspace --locked --no-fail-fast
	./scripts/vectors

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	$(CARGO) xtask tidy

bench: build
	./scripts/bench

fuzz: cargo-fuzz
	$(CARGO) xtask fuzz $(or $(SECONDS_EACH),600)

fuzz-smoke: cargo-fuzz
	$(CARGO) xtask fuzz-smoke

cargo-fuzz:
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz

parts:
	./scripts/parts

manual:
	$(CARGO) xtask manual
