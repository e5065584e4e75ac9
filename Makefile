# Every command a developer needs. `make` alone lists them.
#
# The two that matter on a fresh machine are `make demo` and `make test`. Both install what is
# missing first (python_worker/install/), say what they do, and are quick the second time.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test setup lint format gen gen-check drift bench soak dialyzer doctor clean \
        test-quick test-vllm test-python test-elixir test-python-quick test-python-vllm \
        test-elixir-quick test-elixir-vllm test-elixir-life

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vllm_bridge
PYTHON := $(CACHE)/venv/bin/python
PLT    := $(CACHE)/elixir.plt

# The environment of everything below, vLLM included.
export LANG := C.UTF-8
export LC_ALL := C.UTF-8
export ELIXIR_ERL_OPTIONS := +fnu
export PYTHONUNBUFFERED := 1
# No test may reach the network: a model that is not on disk fails at once instead of after 25 s.
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1
# GiB for the KV cache. vLLM would take nine tenths of the memory, and fills it with zeros at start.
export VLLM_CPU_KVCACHE_SPACE := 1
# More threads than cores make a tiny model hundreds of times slower.
export OMP_NUM_THREADS := 1
# The first request with logprobs compiles a kernel, and the engine stands still for 3 to 18 s.
export TORCHDYNAMO_DISABLE := 1

# Runs a command and fails if a process it started outlives it.
LEAVING_NOTHING := $(PYTHON) tests/leaving_nothing.py

define announce
@printf '\n== %s\n' "$(1)"
endef

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## start a worker, load a tiny model, stream tokens to this terminal
	$(call announce,demo)
	@$(LEAVING_NOTHING) mix vllm.demo

test: setup lint dialyzer gen-check test-quick test-vllm ## run every check and every test
	@printf '\n== all passed, and no process is left\n'

setup: ## install what is missing: Elixir, cowlib, the Python environment
	$(call announce,set-up)
	@python3 -m python_worker.install --dev

lint: setup ## check types, style and warnings of both languages
	$(call announce,lint: Python)
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy
	$(call announce,lint: Elixir)
	@mix format --check-formatted
	@MIX_ENV=test mix compile --warnings-as-errors

format: setup ## rewrite all sources in the project's style
	@$(PYTHON) -m ruff check --fix
	@$(PYTHON) -m ruff format
	@mix format

gen: setup ## make the generated code anew from the protocol and the installed vLLM
	$(call announce,generate)
	@$(PYTHON) -m python_worker.gen

gen-check: setup ## compare the generated code with a fresh run
	$(call announce,generated code)
	@$(PYTHON) -m python_worker.gen --check

drift: ## say what another vLLM changes: make drift AGAINST=<wheel, site-packages or manifest.json>
	@$(PYTHON) -m python_worker.gen.drift "$(AGAINST)"

# vLLM binds every engine's worker to the first core, where idle ones poll too: with the eight engines
# of a lane on two cores, one core is never free and the other never full.
test-python-vllm test-elixir-vllm test-elixir-life: export VLLM_CPU_OMP_THREADS_BIND := nobind

# Lane by lane, from the quickest to those with real engines.
test-python: test-python-quick test-python-vllm ## run the Python tests
test-elixir: test-elixir-quick test-elixir-vllm test-elixir-life ## run the Elixir tests
test-quick: test-python-quick test-elixir-quick ## run the tests that need no real engine

test-python-quick: setup
	$(call announce,Python tests: unit)
	@$(LEAVING_NOTHING) $(PYTHON) -m pytest tests/python/unit
	$(call announce,Python tests: bridge (a worker with the fake engine))
	@$(LEAVING_NOTHING) $(PYTHON) -m pytest tests/python/bridge

test-elixir-quick: setup
	$(call announce,Elixir tests: unit)
	@$(LEAVING_NOTHING) mix test --warnings-as-errors tests/elixir/unit
	$(call announce,Elixir tests: bridge (a worker with the fake engine))
	@$(LEAVING_NOTHING) mix test --warnings-as-errors tests/elixir/bridge

test-python-vllm: setup
	$(call announce,Python tests: vllm (real engines on CPU))
	@$(LEAVING_NOTHING) $(PYTHON) -m pytest tests/python/vllm

test-elixir-vllm: setup
	$(call announce,Elixir tests: vllm (real engines on CPU))
	@$(LEAVING_NOTHING) mix test --warnings-as-errors \
	  $$(find tests/elixir/vllm -name '*_test.exs' -not -path '*/life/*')

test-elixir-life: setup
	$(call announce,Elixir tests: vllm/life (real engines that are built and killed))
	@$(LEAVING_NOTHING) mix test --warnings-as-errors tests/elixir/vllm/life

# At once, because these lanes start many engines, and an engine's start is mostly one thread that
# imports: on two cores the first two together took 18 minutes, as long as Elixir's alone. What those
# aside say is printed when the first has ended.
ASIDE := test-python-vllm test-elixir-life
test-vllm: setup ## run the tests with real engines, of both languages at once
	@MIX_ENV=test mix compile # once, and not by two at the same time
	@said="$$(mktemp -d)"; failed=0; \
	trap 'rm -rf "$$said"' EXIT; \
	trap 'kill "$${running[@]}" 2>/dev/null; wait; exit 1' INT TERM; \
	$(MAKE) --no-print-directory test-elixir-vllm & running=($$!); \
	for lane in $(ASIDE); do \
	  $(MAKE) --no-print-directory "$$lane" >"$$said/$$lane" 2>&1 & running+=($$!); \
	done; \
	for lane in "$${running[@]}"; do wait "$$lane" || failed=1; done; \
	cat "$$said"/*; \
	exit "$$failed"

# OPTIONS go to every script: --json, --rounds N, --quick, --all.
bench: setup ## measure the bridge beside vLLM alone (half an hour): make bench [OPTIONS=--all]
	@for script in tests/bench/*.exs; do \
	  printf '\n== %s\n' "$$script" >&2; \
	  $(LEAVING_NOTHING) mix run "$$script" $(or $(OPTIONS),--all); done

soak: setup ## use a real engine for long and see whether anything grows: make soak [MINUTES=30]
	@MINUTES="$(or $(MINUTES),30)" $(LEAVING_NOTHING) mix run tests/soak/soak.exs

# The first run takes 100 s, later ones 5 s. ERL_LIBS, because it reads Elixir's modules with
# Elixir's own help.
dialyzer: setup ## check the Elixir specs with Erlang's dialyzer
	$(call announce,dialyzer)
	@mix compile
	@export ERL_LIBS="$$(elixir -e 'IO.write(Path.dirname(:code.lib_dir(:elixir)))')"; \
	test -f $(PLT) || dialyzer --build_plt --output_plt $(PLT) \
	  --apps erts kernel stdlib crypto ssl public_key elixir logger mix \
	  -r vendor/cowlib/ebin; \
	dialyzer --plt $(PLT) --no_check_plt -Wno_improper_lists -r \
	  "$$(mix run --no-start -e 'IO.write(Mix.Project.compile_path())')"

doctor: setup ## look at the machine and say what is wrong with it
	@mix vllm.doctor

clean: ## remove what builds and tests left in this folder
	@rm -rf _build doc cover .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find python_worker tests -name __pycache__ -type d -prune -exec rm -rf {} +
