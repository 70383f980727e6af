# Two commands do all the set-up: "make demo" and "make test".
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
C_ROOT := django_memsize/engine/src
C_SOURCES := $(wildcard $(C_ROOT)/*.[ch] $(C_ROOT)/*/*.[ch])
HEADERS = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
DEMO := EXAMPLE_SQLITE=$(CURDIR)/example_project/db.sqlite3 $(BIN)/python example_project/manage.py

.PHONY: demo serve test docs django-suite lint lint-c bench clean

# An engine of older sources must not outlive a build that fails.
$(VENV)/demo: pyproject.toml setup.py $(C_SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	rm -f django_memsize/engine/compiled.$$($(BIN)/python -c 'import sys; print(sys.implementation.cache_tag)')-*
	$(BIN)/python -m pip install --quiet --editable ".[cli]"
	touch $@

$(VENV)/test: $(VENV)/demo
	$(BIN)/python -m pip install --quiet --group test
	touch $@

$(VENV)/lint: $(VENV)/test
	$(BIN)/python -m pip install --quiet --group lint
	touch $@

demo: $(VENV)/demo  ## A real report, from nothing
	@$(DEMO) migrate --verbosity 0
	@$(DEMO) load_bank
	@echo; echo '== What list(Account.objects.all()) puts on the heap'; echo
	@$(DEMO) memprofile run --code "list(Account.objects.all())"
	@echo; echo '== What a request to the page of all accounts puts on the heap'; echo
	@$(DEMO) memprofile run /accounts/all/
	@echo; echo 'To see it in the admin: make serve'

serve: $(VENV)/demo  ## The example project, with its admin
	@$(DEMO) migrate --verbosity 0
	@$(DEMO) load_bank
	@echo 'Pages:   http://127.0.0.1:8000/'
	@echo 'Reports: http://127.0.0.1:8000/admin/django_memsize/report/  (user admin, password admin)'
	@$(DEMO) runserver --noreload 127.0.0.1:8000

test: $(VENV)/test  ## The tests, on one Python and one Django
	$(BIN)/python -m pytest

docs: $(VENV)/demo  ## The generated sections of the documents
	$(BIN)/python docs/generate.py

PART ?= all
django-suite: $(VENV)/demo  ## Django's own tests, recorded and not; PART=orm for those of the ORM
	$(BIN)/python django_suite/run.py --part $(PART)

lint: $(VENV)/lint lint-c
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-c: $(VENV)/lint  ## The engine in C alone; HEADERS=... for those of another Python
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES)
	$(BIN)/clang-tidy --quiet $(filter %.c,$(C_SOURCES)) -- -std=c11 -Wall -Wextra -I$(C_ROOT) -isystem $(HEADERS)

# Each in an environment of its own: builds of the same Python differ in what they inline.
BENCH_PYTHONS ?= $(PYTHON) $(wildcard /usr/bin/python3.11)
bench:  ## Side by side with other tools, into the README
	@mkdir -p build/bench; rm -f build/bench/*.json
	@number=0; for python in $(BENCH_PYTHONS); do \
	    number=$$((number + 1)); venv=build/bench/$$number; \
	    $$python -m venv --clear $$venv && \
	    $$venv/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
	    $$venv/bin/python -m pip install --quiet . --group bench && \
	    $$venv/bin/python benchmarks/heap.py --json build/bench/$$number.json && \
	    $$venv/bin/python benchmarks/meter.py --closings 0 --json build/bench/meter-$$number.json || exit 1; \
	done
	@$(PYTHON) benchmarks/table.py README.md build/bench/*.json

clean:
	rm -rf $(VENV) .django-suite build *.egg-info example_project/db.sqlite3
	rm -f django_memsize/engine/compiled.*.so
