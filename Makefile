# make run          everything that is needed, then CE Web on http://127.0.0.1:8000/ until Ctrl-C
# make test         everything that must pass, in the order of what fails fastest
# make run AGENTS=1 the same, with the agents of the backend claude
# make update       newer requirements; make audit, make sbom: docs/release.md
# Variables: PORT=8001 HOST=127.0.0.1 PYTHON=python3.12 VENV=/some/where PARALLEL=4

SHELL  := /bin/bash
# Compiled modules are kept, also where the machine says otherwise: every program then starts in two thirds of the time.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV   ?= .venv
HOST   ?= 127.0.0.1
PORT   ?= 8000
PARALLEL ?= 2
IGNORE   ?=
SECONDS  ?= 60

BIN     := $(VENV)/bin
PY      := $(BIN)/python
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes
PIP     := $(PY) $(INSTALL)
TOOLS   := $(VENV)-tools
# One file for all platforms and Pythons; what is in force stays unless it is to be newer.
COMPILE := $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
           --no-annotate --custom-compile-command "make lock"
LOCKS   := requirements requirements-agents requirements-dev requirements-tools
PYTEST  := $(PY) -m pytest -q
SHARED  := -n $(PARALLEL) --dist worksteal
# The slow tests wait for processes half of the time, so twice as many of them run at once.
WAITING := -n $(shell expr $(PARALLEL) \* 2) --dist worksteal
SLOW    := long or process or engine or browser or chaos
# The command ce of this checkout, from any folder.
START   := import sys; sys.path.insert(0, sys.argv.pop(1)); from ce_web.command_line.main import main; main()
SCRATCH := $(shell mktemp -u -d -t ce-check-XXXXXX)

.PHONY: run test lint fast slow chaos fuzz other-agents bench screenshots pages clean lock update audit sbom

run: $(VENV)/.installed $(if $(AGENTS),$(VENV)/.installed-agents)
	@$(PY) manage.py bootstrap --host $(HOST) --port $(PORT)
	@exec $(PY) manage.py up --host $(HOST) --port $(PORT)

test: lint fast slow chaos

# No settings of the person who runs it: the checks have a data directory of their own.
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/djangofmt --check --quiet templates
	env -u DATABASE_URL CE_DATA_DIR=$(SCRATCH) $(BIN)/mypy
	env -u DATABASE_URL CE_DATA_DIR=$(SCRATCH) $(PY) manage.py makemigrations --check --dry-run
	env -u DATABASE_URL CE_DATA_DIR=$(SCRATCH) CE_HTTPS=1 $(PY) manage.py check --deploy --fail-level WARNING
	rm -rf $(SCRATCH)
	$(PYTEST) tests/test_architecture.py

fast: $(VENV)/.installed-dev
	$(PYTEST) $(SHARED) -m "not ($(SLOW))" $(IGNORE)

slow: $(VENV)/.installed-dev
	$(PYTEST) $(WAITING) -m "($(SLOW)) and not chaos" $(IGNORE)

# make chaos KILLS=500 SEED=7 DATABASE=postgresql://… SANDBOX=bwrap attacks one installation and prints a table in place of the tests.
chaos: $(VENV)/.installed-dev
ifdef KILLS
	@$(if $(DATABASE),DATABASE_URL="$(DATABASE)" ,)DJANGO_SETTINGS_MODULE=ce_web.settings \
	  $(PY) -m tests.chaos.campaign --kills $(KILLS) $(if $(SEED),--seed $(SEED)) --sandbox $(or $(SANDBOX),rlimit)
else
	$(PYTEST) $(SHARED) -m chaos $(IGNORE)
endif

# Random input for every reader, for SECONDS each: plans, and all others together.
fuzz: $(VENV)/.installed-dev
	CE_FUZZ_SECONDS=$(SECONDS) $(PYTEST) --timeout 0 tests/fuzz

# The pictures of the README: a real run of the sample plan.
screenshots: $(VENV)/.installed-dev
	$(PY) -m tests.browser.pictures docs/screenshots

# Every page in every state, light, dark and on a phone, drawn from sample rows.
pages: $(VENV)/.installed-dev
	$(PY) -m tests.browser.screenshots test-results/pages

# Codex CLI, Gemini CLI, opencode and aider, in a folder of their own, started by their recipes against a stand-in of their APIs.
AGENTS_FOLDER ?= $(or $(TMPDIR),/tmp)/ce-other-agents
other-agents: $(VENV)/.installed-dev
	mkdir -p $(AGENTS_FOLDER)
	npm install --no-audit --no-fund --silent --prefix $(AGENTS_FOLDER) @openai/codex @google/gemini-cli opencode-ai
	python3 -m venv $(AGENTS_FOLDER) && $(AGENTS_FOLDER)/bin/pip install -q aider-chat
	CE_OTHER_AGENTS=$(AGENTS_FOLDER) $(PYTEST) tests/subagents/test_other_agents.py

bench: $(VENV)/.installed-dev
	@for figure in bench/*.py; do echo "== $$figure"; $(PY) "$$figure" || exit 1; done

# Requirements: the names are in *.in, the versions and hashes in *.txt.
lock: $(TOOLS)/.installed
	@for name in $(LOCKS); do $(COMPILE) $(UPGRADE) $$name.in -o $$name.txt $$(test $$name = requirements-agents && echo "-c requirements.txt") || exit 1; done

update: UPGRADE := --upgrade
update: lock

# Known vulnerabilities. The audit fails also if it could not ask about every package: then nothing is known.
audit: $(TOOLS)/.installed
	@rm -f $(SCRATCH); $(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  -r requirements-dev.txt -r requirements-tools.txt -f columns -o $(SCRATCH) && echo "Audited: no known vulnerability." \
	  || { if [ -s $(SCRATCH) ]; then cat $(SCRATCH); exit 1; fi; \
	       echo "NOT AUDITED: the service could not be asked about every package. Nothing is known." >&2; exit 2; }

# What an installation consists of, as CycloneDX.
sbom: $(TOOLS)/.installed
	$(TOOLS)/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible -o sbom.json

# What can be made again. The data directory (var/) holds people's work and stays.
clean:
	rm -rf .venv .venv-tools sbom.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage test-results
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

# Installed again only when the locked requirements changed.
$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "CE Web needs Python 3.11 or newer; choose one: make run PYTHON=python3.12" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) \
	  || { echo "python3 -m venv failed: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@echo "Installing the requirements into $(VENV) ..."
	@$(PIP) -r requirements.txt
	@printf '%s\n' '#!/bin/sh' 'exec "$(abspath $(PY))" -c "$(START)" "$(CURDIR)" "$$@"' > $(BIN)/ce && chmod +x $(BIN)/ce
	@touch $@

$(VENV)/.installed-agents: requirements-agents.txt $(VENV)/.installed
	@echo "Installing the agents into $(VENV): 170 MB ..."
	@$(PIP) -r requirements-agents.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the requirements of the tests into $(VENV) ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(TOOLS)/.installed: requirements-tools.txt
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@echo "Installing the tools into $(TOOLS) ..."
	@$(TOOLS)/bin/python $(INSTALL) -r $<
	@touch $@
