# Every command a person or CI runs. `make` alone prints them.

SHELL := /bin/sh
CARGO ?= cargo
ENGINE ?= $(shell command -v docker || command -v podman)

# Folders whose tests need packages of npm.
NPM_FOLDERS := clients/web examples/spa tests/npm tests/npm/nuxt

# Most of the tests' time is waiting, for processes that start, stop or fail over.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

.DEFAULT_GOAL := help
.PHONY: help run test ways upgrade test-api fixtures bench micro footprint sweep chaos siege fuzz lint deny fmt check image binary clean postgres packages

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Serve for development on http://127.0.0.1:8080, with a Postgres of its own
	@[ -n "$$DATABASE_URL" ] || $(MAKE) --no-print-directory postgres
	$(CARGO) run --locked -- dev

test: postgres packages ## Run every test; starts what they need, or uses the server in TEST_DATABASE_URL
	$(CARGO) test --locked

ways: postgres ## Run the tests of the API again by TLS, through PgBouncer, with a role that only serves, and on Citus
	@for way in tls pgbouncer serving_role citus; do \
	  [ $$way != pgbouncer ] || [ -n "$$CI" ] || PATH=$$PATH:/usr/sbin command -v pgbouncer >/dev/null || { \
	    echo "SKIPPED: pgbouncer is missing; apt-get install pgbouncer"; continue; }; \
	  [ $$way != citus ] || ls /usr/lib/postgresql/*/lib/citus.so >/dev/null 2>&1 || { \
	    echo "SKIPPED: Citus is missing, and no package of Debian has it; docs/how-to/citus.md says how to build it"; continue; }; \
	  echo "By way of $$way"; env -u TEST_DATABASE_URL TEST_THROUGH=$$way $(CARGO) test --locked --test it -- api:: rotation throttle || exit 1; done

# The older program needs nothing but the history of this repository. What is built stays in target/upgrade.
upgrade: postgres ## Replace processes of the commit in tests/upgrade_from by these, and back, while people use them
	@commit=$$(cat tests/upgrade_from); source=target/upgrade/source; \
	git cat-file -e "$$commit^{commit}" 2>/dev/null || { \
	  echo "SKIPPED: commit $$commit is not here; git fetch --unshallow"; \
	  [ -z "$$CI" ] || [ "$$(git rev-parse --is-shallow-repository 2>/dev/null)" != false ]; exit; }; \
	[ "$$(cat $$source/commit 2>/dev/null)" = "$$commit" ] || { \
	  rm -rf $$source && mkdir -p $$source && git archive "$$commit" | tar -x -C $$source && echo "$$commit" > $$source/commit || exit 1; }; \
	CARGO_TARGET_DIR=target/upgrade/target $(CARGO) build --locked --manifest-path $$source/Cargo.toml --package claviger --bin claviger \
	  --config profile.dev.debug=0 || exit 1; \
	TEST_UPGRADE_FROM=$(CURDIR)/target/upgrade/target/debug/claviger $(CARGO) test --locked --test it -- upgrade:: --nocapture

# Cases that each call gets at most, of each kind of caller.
API_CASES ?= 15

test-api: postgres ## Try the live API by its document with Schemathesis, as nobody, user, administrator and program; API_CASES (15) a call
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "SKIPPED: Python with venv is missing; apt-get install python3-venv"; [ -z "$$CI" ]; exit; }; \
	$(CARGO) build --locked || exit 1; \
	[ target/test-api/made -nt tests/schemathesis/requirements.txt ] || { \
	  python3 -m venv target/test-api && target/test-api/bin/pip install -q -r tests/schemathesis/requirements.txt || exit 1; \
	  touch target/test-api/made; }; \
	target/test-api/bin/python tests/schemathesis/run.py target/debug/claviger $(API_CASES)

fixtures: postgres ## Make the accounts of replaced systems again that tests move in, with those systems' own libraries
	tests/fixtures/moving/make.sh

bench: postgres ## Measure how fast it is as a share of what this machine can do; takes a quarter of an hour, on Linux
	$(CARGO) bench --locked --bench speed -- --out target

micro: ## Measure what signing, reading and writing of tokens and JSON takes, in nanoseconds and allocations
	$(CARGO) bench --locked --bench micro

sweep: postgres ## Measure what a sweep of a million rows costs those who refresh meanwhile; takes a few minutes
	$(CARGO) bench --locked --bench sweep

footprint: postgres ## Measure what a million users and sessions take on disk, and each call in processor time and log; takes ten minutes
	$(CARGO) bench --locked --bench footprint

chaos: postgres ## Run the fault list against real processes and print a table; takes eight minutes
	$(CARGO) bench --locked --profile dev --bench chaos

siege: postgres ## Attack a server in five ways and measure what everybody else notices; takes half an hour, on Linux
	$(CARGO) bench --locked --bench siege

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= access_tokens addresses bodies headers queries refresh_tokens settings

# cargo-fuzz asks for a nightly compiler, for its flags; the variable has the stable one take them. No sanitizer: this code has
# no unsafe line, and without one ten times as many inputs are tried. What is found and what was learnt stay in fuzz/.
fuzz: ## Throw hostile input at all that reads input, FUZZ_SECONDS (60) for each of FUZZ_TARGETS
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p fuzz/corpus/$$target; \
	  echo "Fuzzing $$target"; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=2048 -timeout=10 -dict=fuzz/words.dict -print_final_stats=1 || exit 1; done

lint: ## Format, clippy and rustdoc, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) clippy --package claviger-verifier --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

# The advisory list is downloaded; where that fails the rest still counts.
deny: ## Licences, bans, sources and known vulnerabilities of the dependencies
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources
	@out=$$($(CARGO) deny --locked check advisories 2>&1) && echo "advisories ok" || { echo "$$out"; \
	  case "$$out" in *"failed to fetch advisory database"*) \
	    echo "SKIPPED: the advisory list is out of reach, known vulnerabilities were not checked" ;; *) exit 1 ;; esac; }

fmt: ## Format the code
	$(CARGO) fmt --all

check: lint deny test ways upgrade test-api ## All of the above that can fail: what CI runs

image: ## Build the container image `claviger`
	@[ -n "$(ENGINE)" ] || { echo "Neither docker nor podman was found."; exit 1; }
	$(ENGINE) build -t claviger .

# No path of this machine is in it, so that builds of the same commit with the same compilers can be compared.
binary: ## Build the program of the image, which needs nothing of the machine it runs on, and print its SHA-256
	@target=$$(rustc --print host-tuple); \
	RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$(CURDIR)=/claviger --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo" \
	  $(CARGO) build --release --locked --package claviger --target "$$target" && sha256sum "target/$$target/release/claviger"

clean: ## Remove what was built, and the development database with its secrets
	$(CARGO) clean
	@[ ! -f .claviger/data-id ] || rm -rf "/var/tmp/claviger-$$(cat .claviger/data-id)"
	rm -rf .claviger

# Where `claviger dev` and the tests look for server programs. If there are none and this user may install some, that is
# done here; if not, `claviger dev` says what to do.
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql@*/bin/initdb \
	   /usr/local/opt/postgresql@*/bin/initdb 2>/dev/null | grep -q . && exit 0; \
	! command -v initdb >/dev/null || exit 0; \
	command -v apt-get >/dev/null || exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; else exit 0; fi; \
	echo "No PostgreSQL server programs found. Installing them: apt-get install postgresql"; \
	$$sudo apt-get update -q && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -q -y --no-install-recommends postgresql

# What npm installs for the tests of clients and examples, where Node is on this machine; without it those tests say loudly
# that they were left out.
packages:
	@command -v node >/dev/null && command -v npm >/dev/null || exit 0; \
	for folder in $(NPM_FOLDERS); do \
	  [ $$folder/node_modules/.package-lock.json -nt $$folder/package-lock.json ] && continue; \
	  echo "Installing what $$folder needs: npm ci"; \
	  npm ci --prefix $$folder --no-fund --no-audit && touch $$folder/node_modules/.package-lock.json && continue; \
	  echo "SKIPPED: npm ci failed in $$folder; the tests that need it are left out or fail"; [ -z "$$CI" ] || exit 1; done
