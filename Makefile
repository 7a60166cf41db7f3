# Everything starts here: `make demo`, `make test`. Needs Python 3.11 to 3.13 and the package
# registry, sets up the rest in .tools/ and .venv/, and does so once. `make help` lists the targets.
# `sudo make install` makes it a service, in an environment of its own: see docs/service.md.

# An interpreter of your own, in an environment of its own: `make test PYTHON=python3.12`.
PYTHON ?=
VENV ?= .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
WORKERS ?= 2
# So many feeders at once: they mostly wait.
FEEDERS ?= 4
TESTS ?= tests
QUICK := not slow and not feeders and not service and not browser

# Certificates as the machine has them, and no interpreter but the machine's.
export UV_SYSTEM_CERTS := true
export UV_PYTHON_DOWNLOADS := never
UV_OF_OURS := $(if $(shell command -v uv),,.tools/uv/bin/uv)
UV := $(or $(UV_OF_OURS),uv)

BIN := $(VENV)/bin
NETWORKS := demo/networks/inpaint.pt demo/networks/matting.pt

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: $(VENV)/.ready ## retouch four photos on a temporary spool; leaves demo/sheet.png
	@$(BIN)/python deploy/demo.py

run: $(NETWORKS) ## keep the daemon running on ./spool until Ctrl-C
	@echo "Drop photos into spool/inbox, find results in spool/outbox. Ctrl-C ends it."
	@echo "Unless RETOUCHD_INPAINT_MODEL and RETOUCHD_MATTING_MODEL name networks of your own,"
	@echo "the small starter networks run."
	@RETOUCHD_INPAINT_MODEL="$${RETOUCHD_INPAINT_MODEL:-demo/networks/inpaint.pt}" \
	RETOUCHD_MATTING_MODEL="$${RETOUCHD_MATTING_MODEL:-demo/networks/matting.pt}" \
	$(BIN)/retouchd run --spool spool

install: ## make it a service of this machine, under /opt/retouchd; as root
	@$(SERVICE) sh deploy/install.sh may
	@$(if $(UV_OF_OURS),$(MAKE) --no-print-directory $(UV_OF_OURS) && chown -R --reference=. .tools)
	@$(SERVICE) UV=$(UV) sh deploy/install.sh

uninstall: ## take the service away; settings and spool stay; as root
	@$(SERVICE) sh deploy/uninstall.sh

install uninstall: SERVICE = DESTDIR="$(DESTDIR)" DEVICE="$(DEVICE)" PYTHON="$(PYTHON)"

# Several test processes share the cores: one thread each, or they wait for each other, spinning.
test test-feeders feeders-table test-service test-operations test-browser screenshots test-oldest soak fuzz: export OMP_NUM_THREADS := 1

test: lint types ## lint, types, then the whole suite
	$(BIN)/python -m pytest -n $(WORKERS) -m "$(QUICK)" $(TESTS)

test-slow: $(VENV)/.test-ready ## the tests that take minutes
	$(BIN)/python -m pytest -m slow $(TESTS)

test-feeders: $(VENV)/.test-ready ## uploads through real programs; as root
	$(BIN)/python -m pytest -n $(FEEDERS) -m feeders tests/feeders

feeders-table: $(VENV)/.test-ready ## run them, and write the table of docs/feeders.md from what came of it
	FEEDERS_OUTCOMES=$(VENV)/feeders.json $(BIN)/python -m pytest -n $(FEEDERS) -m feeders tests/feeders
	PYTHONPATH=.:tests/daemon $(BIN)/python tests/feeders/table.py $(VENV)/feeders.json

# Two systems at once, each with files of tests of its own: they mostly wait.
test-service: $(VENV)/.test-ready ## the installed service in a booted systemd; as root
	$(BIN)/python -m pytest -n 2 --dist loadfile -m service --durations=20 tests/service

test-operations: $(VENV)/.test-ready ## the operators' pages, followed in booted systems; as root
	$(BIN)/python -m pytest -m service --durations=20 tests/operations

test-browser: $(VENV)/.test-ready ## the pages in the outbox, in a real Chromium
	$(BIN)/python -m pytest -m browser tests/browser

screenshots: $(VENV)/.test-ready ## take the pictures of docs/ anew: gallery, status page, terminal
	SCREENSHOTS=docs $(BIN)/python -m pytest -m browser tests/browser/test_screenshots.py
	SCREENSHOTS=docs $(BIN)/python -m pytest tests/daemon/test_status_terminal.py

soak: $(VENV)/.test-ready ## 20,000 small jobs in one run; prints what grew
	SOAK_JOBS=20000 $(BIN)/python -m pytest -s tests/daemon/test_soak.py

fuzz: $(VENV)/.test-ready ## read 22,000 malformed pictures; prints what became of them
	$(BIN)/python tests/daemon/fuzz.py --pictures 22194 --seed 1000

bench: $(VENV)/.test-ready ## measure beside the networks alone; writes docs/bench.json and docs/bench.png
	$(BIN)/python tests/bench/run.py $(if $(DEVICE),--device $(DEVICE))

test-oldest: $(VENV)-oldest/.ready ## the suite with the oldest versions pyproject.toml allows
	$(VENV)-oldest/bin/python -m pytest -n $(WORKERS) -m "$(QUICK)" $(TESTS)

pages: $(VENV)/.test-ready ## write the tables of docs/ anew from the code
	$(BIN)/python tests/repository/pages.py

lint: $(VENV)/.test-ready ## ruff's rules and its format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.test-ready ## mypy, strict
	$(BIN)/mypy

format: $(VENV)/.test-ready ## format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove environments, caches, and what the demo left
	rm -rf .tools .venv* build dist demo .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# -- Set-up. A stamp is taken away before an installation and put back after it: an environment ----
# without one was cut off half-way, and is made anew from what was downloaded already.

$(VENV)/.ready: PINS := requirements/retouchd.txt
$(VENV)-oldest/.ready: PINS := requirements/oldest.txt

# hatchling is among the pins, so installing the project itself downloads nothing unpinned.
%/.ready: requirements/retouchd.txt requirements/oldest.txt pyproject.toml | $(UV_OF_OURS)
	@python=$$(sh requirements/python.sh $(PYTHON)) && \
	echo "Setting up $*: nearly 6 GB, most of it torch with its GPU libraries." && \
	{ test -e $@ && $*/bin/python -V >/dev/null 2>&1 || \
	$(UV) venv --quiet --clear --python "$$python" $*; }
	@rm -f $@
	@$(UV) pip install --quiet --python $*/bin/python --require-hashes -r $(PINS)
	@$(UV) pip install --quiet --python $*/bin/python --no-deps --no-build-isolation --editable .
	@echo "Compiling PyMatting, once: most of a minute." && $*/bin/python -c "import pymatting"
	@touch $@

$(VENV)/.test-ready: requirements/test.txt $(VENV)/.ready
	@rm -f $(VENV)/.ready
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/test.txt
	@touch $(VENV)/.ready $@

.tools/uv/bin/uv: requirements/uv.txt
	@python=$$(sh requirements/python.sh $(PYTHON)) && rm -rf .tools/uv .tools/new && \
	{ $$python -m venv .tools/new >/dev/null || { \
	echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv."; \
	exit 1; } >&2; } && \
	.tools/new/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	-r requirements/uv.txt && mv .tools/new .tools/uv && touch $@

# The demo's networks, for `make run`. One call makes both.
$(NETWORKS) &: deploy/demo.py daemon/artifact.py $(wildcard models/*.py models/weights/* export/*.py) | $(VENV)/.ready
	@$(BIN)/python deploy/demo.py --networks-only

# -- Pins. Versions stay as they are where they can; `make pins UPGRADE=--upgrade` takes newer. -----

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make pins" $(UPGRADE)

pins: | $(UV_OF_OURS) ## write requirements/*.txt anew from pyproject.toml
	$(COMPILE) pyproject.toml --group build --group demo -o requirements/retouchd.txt
	$(COMPILE) pyproject.toml --group build --group demo --group test \
		--constraints requirements/retouchd.txt -o requirements/test.txt
	$(COMPILE) pyproject.toml --group build --group demo --group test \
		--resolution lowest-direct -o requirements/oldest.txt
	$(COMPILE) --group setup -o requirements/uv.txt

.PHONY: help demo run install uninstall test test-slow test-feeders feeders-table test-service \
	test-operations test-browser screenshots pages soak fuzz bench test-oldest lint types format clean pins
.DELETE_ON_ERROR:
