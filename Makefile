# Every command a developer needs. `make` alone lists them.
#
# On a fresh machine, start with `make demo` or `make test`. Both first install what is missing
# (python_worker/install/) and say what they install; the second run finds everything there.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo examples test setup lint format gen gen-check drift bench bench-check soak dialyzer \
        doctor clean test-browser test-release browser docs package package-check test-latest \
        test-pythons test-core test-hosts test-faults \
        lint-python lint-elixir check-python check-elixir \
        test-quick test-vllm test-python test-elixir test-python-quick test-python-vllm \
        test-elixir-quick test-elixir-vllm test-elixir-life test-interop run-interop mutants fuzz

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vllm_bridge
PYTHON := $(CACHE)/venv/bin/python
# Named after the applications in it beside those of OTP: another set is another file.
PLT    := $(CACHE)/elixir-logger-mix-iex.plt
COWBOY := $(CACHE)/cowboy
# Not in the environment, which it would change: vLLM works without it.
RAY_VERSION := 2.60.0
RAY         := $(CACHE)/ray-$(RAY_VERSION)

AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

# The environment of every command below, vLLM's processes included.
export LANG := C.UTF-8
export LC_ALL := C.UTF-8
export ELIXIR_ERL_OPTIONS := +fnu
export PYTHONUNBUFFERED := 1
# Tests must not use the network: without this, a model that is not on disk fails after 25 s only.
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1
# GiB for the KV cache. vLLM's default is nine tenths of the memory, which it zeroes at start.
export VLLM_CPU_KVCACHE_SPACE := 1
# With more threads than cores, a tiny model is hundreds of times slower.
export OMP_NUM_THREADS := 1
# Otherwise the first request with logprobs compiles a kernel, which blocks the engine for 3 to 18 s.
export TORCHDYNAMO_DISABLE := 1

# Runs a command, and fails if a process that it started outlives it.
LEAVING_NOTHING := $(PYTHON) tests/leaving_nothing.py

# Commands at once, the lanes of a test run, and the table of them that every test goal ends with.
AT_ONCE := python3 tests/lanes.py at-once
LANE    := python3 tests/lanes.py lane
TABLE   := python3 tests/lanes.py table

# A goal of this Makefile in a make of its own; set-up has been done.
GOAL := $(MAKE) --no-print-directory SET_UP=done

# The output of a lane goes through a pipe, so pytest and ExUnit cannot see the terminal themselves.
PYTEST   := $(PYTHON) -m pytest $(if $(MAKE_TERMOUT),--color=yes)
MIX_TEST := mix test --warnings-as-errors $(if $(MAKE_TERMOUT),--color)

define announce
@printf '\n== %s\n' "$(1)"
endef

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Without what only tests and checks need, so that the first run is short.
demo: ## start a worker, load two small models, show in this terminal what they do
	$(call announce,set-up)
	@python3 -m python_worker.install elixir cowlib python
	$(call announce,demo)
	@$(LEAVING_NOTHING) mix vllm.demo

examples: setup ## run elixir/examples on real engines: make examples [NAMES="basic chat"]
	$(call announce,examples)
	@$(PYTHON) tests/examples.py $(NAMES)

setup: ## install what is missing: Elixir, cowlib, the Python environment
ifndef SET_UP
	$(call announce,set-up)
	@$(LANE) 'set-up' python3 -m python_worker.install --dev
endif

lint: setup lint-python lint-elixir ## check types, style and warnings of both languages

lint-python: setup
	$(call announce,lint: Python)
	@$(LANE) 'Python lint' $(PYTHON) -m ruff check
	@$(LANE) 'Python lint' $(PYTHON) -m ruff format --check
	@$(LANE) 'Python lint' $(PYTHON) -m mypy

lint-elixir: setup
	$(call announce,lint: Elixir)
	@$(LANE) 'Elixir lint' mix format --check-formatted
	@MIX_ENV=test $(LANE) 'Elixir lint' mix compile --warnings-as-errors

format: setup ## rewrite all sources in the project's style
	@$(PYTHON) -m ruff check --fix
	@$(PYTHON) -m ruff format
	@mix format

gen: setup ## regenerate the generated code from the protocol and the installed vLLM
	$(call announce,generate)
	@$(PYTHON) -m python_worker.gen

gen-check: setup ## compare the generated code with a fresh run of the generators
	$(call announce,generated code)
	@$(LANE) 'generated files' $(PYTHON) -m python_worker.gen --check

drift: ## say what another vLLM changes: make drift AGAINST=<wheel, site-packages or manifest.json>
	@$(PYTHON) -m python_worker.gen.drift "$(AGAINST)"

# vLLM binds the worker of every engine to the first core, where idle workers poll too. With the
# eight engines of a lane on two cores, the first core is then always busy and the second half idle.
test-python-vllm test-elixir-vllm test-elixir-life examples test-latest test-core package-check: \
  export VLLM_CPU_OMP_THREADS_BIND := nobind

# The files of the lane, those with the same engine together: ExUnit runs modules in the order in which
# they are loaded, and an engine lives from the first that names it to the last.
BY_ENGINE := grep -rHoEm1 --include='*_test.exs' --exclude-dir=life 'use (Vllm|ExUnit)\.[A-Z].*' tests/elixir/vllm \
  | sed 's/LoraCase/VllmEngine, engine: :lora/; s/Documents.Case/VllmEngine/' | sort -t: -k2 | cut -d: -f1

# --- Tests
#
# A test goal runs again in an inner make, below the table, which is printed when that make has ended,
# whether or not it failed. Inside, VLLM_BRIDGE_LANES is set: see tests/lanes.py.

ifndef VLLM_BRIDGE_LANES

test test-quick test-vllm test-python test-elixir test-python-quick test-python-vllm \
test-elixir-quick test-elixir-vllm test-elixir-life:
	@$(TABLE) $(MAKE) --no-print-directory $@

else

# The checks and quick tests of the two languages run at once: neither keeps two cores busy alone.
# The lanes with real engines follow, because the failure of a quick check should end the run early.
test: setup ## run every check and every test; end with a table of the lanes
	@$(AT_ONCE) $(GOAL) check-elixir -- $(GOAL) check-python
	@$(GOAL) test-vllm
	@printf '\n== all passed, and no process is left\n'

check-python: lint-python gen-check test-python-quick
check-elixir: lint-elixir dialyzer test-elixir-quick

test-python: test-python-quick test-python-vllm ## run the Python tests
test-elixir: test-elixir-quick test-elixir-vllm test-elixir-life ## run the Elixir tests
test-quick: setup ## run the tests that need no real engine, of both languages at once
	@$(AT_ONCE) $(GOAL) test-elixir-quick -- $(GOAL) test-python-quick

test-python-quick: setup
	$(call announce,Python tests: unit)
	@$(LANE) 'Python unit' $(LEAVING_NOTHING) $(PYTEST) tests/python/unit
	$(call announce,Python tests: bridge (a worker with the fake engine))
	@$(LANE) 'Python bridge' $(LEAVING_NOTHING) $(PYTEST) tests/python/bridge

test-elixir-quick: setup
	$(call announce,Elixir tests: unit)
	@$(LANE) 'Elixir unit' $(LEAVING_NOTHING) $(MIX_TEST) tests/elixir/unit
	$(call announce,Elixir tests: bridge (a worker with the fake engine))
	@$(LANE) 'Elixir bridge' $(LEAVING_NOTHING) $(MIX_TEST) tests/elixir/bridge

test-python-vllm: setup
	$(call announce,Python tests: vllm (real engines on CPU))
	@$(LANE) 'Python vllm' $(LEAVING_NOTHING) $(PYTEST) tests/python/vllm

test-elixir-vllm: setup
	$(call announce,Elixir tests: vllm (real engines on CPU))
	@$(LANE) 'Elixir vllm' $(LEAVING_NOTHING) $(MIX_TEST) $$($(BY_ENGINE))

test-elixir-life: setup
	$(call announce,Elixir tests: vllm/life (engines that are built and killed))
	@$(LANE) 'Elixir life' $(LEAVING_NOTHING) $(MIX_TEST) tests/elixir/vllm/life

# These lanes start many engines, and the start of an engine is mostly one thread that imports
# modules: one lane at a time leaves a core idle. With a third beside them an engine's processes can
# go without a core for seconds, and tests that stop them fail. Python's output is printed when all
# have ended.
test-vllm: setup ## run the tests with real engines, of both languages at once
	@MIX_ENV=test mix compile # first, because no two lanes must compile at the same time
	@$(AT_ONCE) $(GOAL) --keep-going test-elixir-vllm test-elixir-life -- $(GOAL) test-python-vllm

endif

# --- Tests of the examples that are not a part of `make test`

# SCREENSHOTS=<folder> saves what a person sees.
test-browser: setup browser ## drive the web page of elixir/examples in a headless Chromium
	$(call announce,Python tests: browser)
	@mix compile
	@COWBOY=$(COWBOY) $(LEAVING_NOTHING) $(PYTEST) tests/python/browser

# Some 80 MB of Debian's: Chromium, and RabbitMQ for its Cowboy and Ranch, which are kept in the cache.
browser:
	@command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null || { \
	  echo 'installing chromium-headless-shell with apt-get'; \
	  $(AS_ROOT) apt-get -q update >/dev/null; \
	  DEBIAN_FRONTEND=noninteractive $(AS_ROOT) apt-get -q install --yes \
	    --no-install-recommends chromium-headless-shell >/dev/null; }
	@test -d $(COWBOY) || { \
	  folder="$$(mktemp -d)"; cd "$$folder"; \
	  echo 'downloading Cowboy (in rabbitmq-server)'; \
	  apt-get -q -o APT::Sandbox::User=root download rabbitmq-server >/dev/null; \
	  dpkg -x rabbitmq-server_*.deb .; mkdir -p libs; \
	  cp -r usr/lib/rabbitmq/lib/*/plugins/{cowboy,ranch}-* libs; \
	  mv libs $(COWBOY); rm -rf "$$folder"; }

# 70 MB of Debian's, where there is no Go. Without it nothing is tested, and nothing passes.
INTEROP := $(CACHE)/interop

test-interop: setup ## let grpc-go talk to the worker's gRPC listener and to the client's HTTP/2
	@$(INSTALL) golang || { echo 'Go is not on this machine: the interop tests are left out'; exit 0; }; \
	mkdir -p $(INTEROP); \
	for it in server client; do \
	  $(CACHE)/debian/golang/run go build -o $(INTEROP)/$$it tests/interop/go/$$it.go; done; \
	export VLLM_BRIDGE_INTEROP=$(INTEROP); \
	$(GOAL) run-interop

run-interop:
	$(call announce,interop: grpc-go and the worker)
	@$(LEAVING_NOTHING) $(PYTEST) tests/python/interop
	$(call announce,interop: grpc-go and the client)
	@$(LEAVING_NOTHING) $(MIX_TEST) tests/elixir/interop

test-release: setup ## test the application of elixir/examples, its release, and a script with Mix.install
	$(call announce,Python tests: release)
	@$(LEAVING_NOTHING) $(PYTEST) tests/python/release

# Runs every benchmark. OPTIONS go to each script: --json, --rounds N, --quick (five minutes), --all.
# A script that fails, or whose figures became worse, does not keep the others from running.
define run_benchmarks
@failed=; for script in tests/bench/*.exs; do \
  printf '\n== %s\n' "$$script" >&2; before=$$SECONDS; \
  BENCH=$(1) $(LEAVING_NOTHING) mix run "$$script" $(OPTIONS) || failed="$$failed $$script"; \
  printf '(%s s)\n' $$((SECONDS - before)) >&2; done; \
printf '\n== tests/bench/finite_numbers.py\n' >&2; \
$(PYTHON) -m tests.bench.finite_numbers; \
printf '\n%s s in all%s\n' "$$SECONDS" "$${failed:+; failed or worse:$$failed}" >&2; test -z "$$failed"
endef

bench: setup ## measure the bridge beside vLLM alone, and record the run (half an hour): make bench [OPTIONS=--quick]
	$(call run_benchmarks,record)

bench-check: setup ## measure again, and name what became slower than in the last recorded run on such a machine
	$(call run_benchmarks,check)

# With HOSTILE=1 the streams share the worker with a client that does what is forbidden.
soak: setup ## keep a real engine under load, alone or beside a hostile client: make soak [MINUTES=30] [HOSTILE=1]
	@MINUTES="$(or $(MINUTES),30)" $(LEAVING_NOTHING) \
	  mix run tests/soak/$(if $(HOSTILE),hostile_tenant,soak).exs

# Each change of a source costs a second or more: a sample of all modules takes an hour and more, and a
# larger sample says more. STAGES=2 leaves out the tests with a worker.
mutants: setup ## say which changes of the sources no test notices: make mutants [SAMPLE=10] [SEED=1] [MODULES="wire core/wire"]
	@MIX_ENV=test mix compile
	@$(PYTHON) -m tests.mutants --sample $(or $(SAMPLE),10) --seed $(or $(SEED),1) \
	  --stages $(or $(STAGES),3) $(MODULES)

fuzz: setup ## give random bytes to what reads a client's and a worker's: make fuzz [MINUTES=10]
	@$(LEAVING_NOTHING) $(PYTHON) -m tests.fuzz $(or $(MINUTES),10)
	@MINUTES="$(or $(MINUTES),10)" $(LEAVING_NOTHING) mix run tests/fuzz/fuzz.exs

# The first run builds the PLT, which takes a minute; later runs take 5 s. ERL_LIBS, because the
# analysis needs Elixir's own modules to read ours.
dialyzer: setup ## check the Elixir specs with Erlang's dialyzer
	$(call announce,dialyzer)
	@$(LANE) 'dialyzer' mix compile
	@export ERL_LIBS="$$(elixir -e 'IO.write(Path.dirname(:code.lib_dir(:elixir)))')"; \
	test -f $(PLT) || $(LANE) 'dialyzer' dialyzer --build_plt --output_plt $(PLT) \
	  --apps erts kernel stdlib crypto ssl public_key elixir logger mix iex \
	  -r vendor/cowlib/ebin; \
	$(LANE) 'dialyzer' dialyzer --plt $(PLT) --no_check_plt -Wno_improper_lists -r \
	  "$$(mix run --no-start -e 'IO.write(Mix.Project.compile_path())')"

# Engines on several hosts: other addresses of this machine.
test-hosts: export VLLM_CPU_OMP_THREADS_BIND := nobind
test-hosts: setup ## run engines on several hosts, and end each of their parts
	@test -d $(RAY) || { \
	  rm -rf $(RAY).new; \
	  $(PYTHON) -m pip install --quiet --no-deps --target $(RAY).new ray==$(RAY_VERSION); \
	  mv $(RAY).new $(RAY); }
	$(call announce,Python tests: hosts)
	@VLLM_BRIDGE_RAY=$(RAY) $(LEAVING_NOTHING) $(PYTEST) tests/python/hosts
	$(call announce,Elixir tests: hosts)
	@$(LEAVING_NOTHING) $(MIX_TEST) tests/elixir/hosts

# What faults are made with, of Debian's: strace, libfaketime and iproute2. What is not there, or what
# this user may not do, is said for each test that is left out, and does not count as passed.
FAULT_TOOLS := strace faketime iproute2

test-faults: export VLLM_BRIDGE_FAULTS := 1
test-faults: export VLLM_CPU_OMP_THREADS_BIND := nobind
test-faults: setup ## break system calls, networks, disks, clocks and memory under load
	@dpkg -s $(FAULT_TOOLS) >/dev/null 2>&1 || { \
	  echo 'installing $(FAULT_TOOLS) with apt-get'; \
	  DEBIAN_FRONTEND=noninteractive $(AS_ROOT) apt-get -q install --yes \
	    --no-install-recommends $(FAULT_TOOLS) >/dev/null || echo 'not installed'; }
	$(call announce,Elixir tests: faults under load)
	@$(LEAVING_NOTHING) $(MIX_TEST) tests/elixir/faults

# --- Documentation and package
#
# ExDoc and Hex come with the Elixir of Debian's trixie, which a step of set-up unpacks into the cache.

INSTALL := python3 -m python_worker.install
# Runs a command with the Elixir of that release.
TRIXIE := $(CACHE)/debian/trixie/run

# --- Other versions. elixir/guides/compatibility.md says what is tested with which.

# The library and the tests' support compile without warnings. The tests themselves may have warnings
# there: newer compilers see, for instance, that what a test expects to be wrong can only be so.
ELIXIR_ON = env MIX_ENV=test $(LEAVING_NOTHING) $(CACHE)/debian/$(1)/run mix
# One file with a real engine: a stream, its end and its errors.
ONE_ENGINE := tests/elixir/vllm/generate_test.exs

test-latest: setup ## run the Elixir tests on the Elixir and OTP of Debian's trixie and forky
	@$(TABLE) $(MAKE) --no-print-directory SET_UP=done latest-trixie latest-forky

latest-%:
	@$(INSTALL) $*
	$(call announce,Elixir tests on Debian's $*)
	@$(LANE) '$*' $(call ELIXIR_ON,$*) compile --warnings-as-errors
	@$(LANE) '$*' $(call ELIXIR_ON,$*) test tests/elixir/unit
	@$(LANE) '$*' $(call ELIXIR_ON,$*) test tests/elixir/bridge
	@$(LANE) '$*' $(call ELIXIR_ON,$*) test $(ONE_ENGINE)

test-pythons: setup ## run the Python tests that need no vLLM on every Python from 3.11 to 3.13
	@$(TABLE) $(MAKE) --no-print-directory SET_UP=done on-python3.11 on-python3.12 on-python3.13

# A version manager's stand-in can be on the PATH without the version behind it: pyenv's versions are
# looked for where they are.
on-python%:
	$(call announce,Python tests on Python $*)
	@for found in python$* $(wildcard $(HOME)/.pyenv/versions/$*.*/bin/python) ''; do \
	  if "$$found" -c '' 2>/dev/null; then break; fi; done; \
	if test -z "$$found"; then echo 'python$* is not on this machine: left out'; exit; fi; \
	"$$found" -m python_worker.install python --extra none --dev; \
	python=$(CACHE)/python-$*/bin/python; \
	$(LANE) 'Python $*' $(LEAVING_NOTHING) "$$python" -m pytest tests/python/unit; \
	$(LANE) 'Python $*' $(LEAVING_NOTHING) "$$python" -m pytest tests/python/bridge

# Generation, pooling, chats, adapters, control and what the death of an engine looks like.
CORE := $(addprefix tests/elixir/vllm/,generate_test.exs encode_test.exs chat_test.exs lora_test.exs \
          control_test.exs life/death_test.exs)
# Tests of what vLLM does since a version.
BEFORE_0_32 := --exclude since_vllm_0_32

test-core: setup ## test with another vLLM in an environment of its own: make test-core VLLM=0.31.0
	@test -n '$(VLLM)' || { echo 'say which: make test-core VLLM=0.31.0'; exit 2; }
	@$(INSTALL) python --vllm $(VLLM) --dev
	$(call announce,Elixir tests with vLLM $(VLLM))
	@VLLM_BRIDGE_PYTHON=$(CACHE)/vllm-$(VLLM)/bin/python $(LEAVING_NOTHING) $(MIX_TEST) \
	  $(if $(filter 0.31.%,$(VLLM)),$(BEFORE_0_32)) $(CORE)

docs: setup ## build the documentation as doc/index.html; fail on broken links and missing references
	@$(INSTALL) trixie
	$(call announce,documentation)
	@rm -rf doc
	@$(TRIXIE) mix docs --warnings-as-errors
	@python3 tests/documentation.py doc

package: setup ## build the Hex package in _build/package and check what is in it
	@$(INSTALL) trixie
	$(call announce,package)
	@python3 tests/package.py build $(TRIXIE)

package-check: package ## test a new project that depends on the built package (one real engine)
	$(call announce,a project that depends on the package)
	@$(LEAVING_NOTHING) python3 tests/package.py check

doctor: setup ## look at the machine and say what is wrong with it
	@mix vllm.doctor

clean: ## delete the files of builds and test runs from this folder
	@rm -rf _build elixir/examples/assistant/_build doc cover .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find python_worker tests -name __pycache__ -type d -prune -exec rm -rf {} +
