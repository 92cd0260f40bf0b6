# Every path is relative, so that the project may stand in a directory with a space in its name; programs are called
# as modules, since scripts in .venv/bin hold the path at which it was made.
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What is compiled is kept: else every worker and every process that a test starts compiles the whole tree anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run check test sweep lint bench browser format lock messages clean

help: ## Lists what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | while IFS='	' read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

run: $(INSTALLED) ## Runs the console with demo data on http://127.0.0.1:8000 (PORT=… for another port) until Ctrl-C
	@exec $(PYTHON) -m config.run

check: $(INSTALLED) lint ## Runs every check, and the tests without browser, kills and races
	$(PYTHON) -m pytest $(WORKERS) -m 'not (browser or kills or races)'

test: $(INSTALLED) browser lint ## Runs every check and every test, in the browser too
	$(PYTHON) -m pytest $(WORKERS)

sweep: $(INSTALLED) browser ## Looks at every page for every role, in every language and colour
	$(PYTHON) -m config.messages
	$(PYTHON) -m pytest $(WORKERS) -m browser

# Each worker has a server and databases of its own; one that is done takes tests from the others.
WORKERS := --numprocesses auto --dist worksteal

# mypy loads the settings of the tests, which start a server that only an ordinary exit stops.
lint: $(INSTALLED)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy --no-fast-exit
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	DEBUG=1 DEMO=0 $(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	DEBUG=0 DEMO=0 SECRET_KEY="$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(60))')" \
	ALLOWED_HOSTS=console.example.jp \
	DATABASE_URL=postgres://console_app@localhost/console VAULT_DATABASE_URL=postgres://console_app@localhost/vault \
	DEFAULT_FROM_EMAIL=privacy@console.example.jp NOTICE_SENDERS="$$($(PYTHON) -c 'import json; sender = dict(\
	site="-", window="-", telephone="-", mail="a@b.jp"); print(json.dumps(dict(jp=sender, kr=sender, sg=sender)))')" \
	$(PYTHON) manage.py check --deploy --fail-level WARNING
	$(PYTHON) -m config.messages

bench: $(INSTALLED) ## Measures bulk work beside its peers and prints the ratios (BENCH='import --size 10000' for a choice)
	@$(PYTHON) -m tests.benchmarks $(BENCH)

# Root on Debian gets what the browser tests need; elsewhere they use what they find.
browser:
	@if [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then \
	  missing=; \
	  for package in chromium fonts-noto-cjk; do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	  done; \
	  if [ -n "$$missing" ]; then \
	    echo "Installing for the browser tests:$$missing"; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $$missing; } \
	      >/dev/null || echo "That failed; browser tests run with what is there."; \
	  fi; \
	fi

format: $(INSTALLED) ## Formats the code and mends what ruff can mend
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lock: $(INSTALLED) ## Writes requirements.lock anew from pyproject.toml; pins stay unless they must move
	CUSTOM_COMPILE_COMMAND='make lock' $(PYTHON) -m piptools compile --quiet --generate-hashes --allow-unsafe \
	  --strip-extras --extra test --extra lint --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file requirements.lock pyproject.toml

messages: $(INSTALLED) ## Collects the texts to translate into config/locale (needs GNU gettext)
	@command -v xgettext >/dev/null || { echo "xgettext is missing. Install GNU gettext (Debian: apt-get install gettext)."; exit 1; }
	DEBUG=1 DEMO=0 $(PYTHON) manage.py makemessages --all --no-location --no-obsolete \
	  --ignore .venv --ignore var --ignore tests
	$(PYTHON) -m config.messages

clean: ## Removes the virtual environment, the caches, and the demo with its keys (var/)
	@if [ -x $(PYTHON) ] && CONSOLE_VAR_DIR= $(PYTHON) -c \
	  'import sys; from config.embedded import default_server; sys.exit(not default_server().running())' 2>/dev/null; then \
	  echo "The console is running. Stop it first (Ctrl-C in its terminal)."; exit 1; \
	fi
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find config -name '*.mo' -delete

$(INSTALLED): requirements.lock
	@set -e; \
	if ! $(PYTHON) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  found=; bare=; \
	  for candidate in python3.13 python3.12 python3.11 python3; do \
	    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then found="$$candidate"; break; fi; \
	    bare="$$candidate"; \
	  done; \
	  if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	    echo "$$bare cannot make a virtual environment: its modules venv and ensurepip are missing." >&2; \
	    echo "Install them (Debian: apt-get install python3-venv) and run make again." >&2; exit 1; \
	  elif [ -z "$$found" ]; then \
	    echo "No Python 3.11 or newer was found as python3.13, python3.12, python3.11 or python3." >&2; \
	    echo "Install one (Debian: apt-get install python3 python3-venv) and run make again." >&2; exit 1; \
	  fi; \
	  echo "Making .venv with $$("$$found" --version)"; \
	  "$$found" -m venv --clear .venv; \
	fi; \
	echo "Installing requirements.lock into .venv"; \
	$(PYTHON) -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock; \
	touch $(INSTALLED)
