# Two commands do all the set-up: "make demo" and "make test".
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := EXAMPLE_SQLITE=$(CURDIR)/example_project/db.sqlite3 $(BIN)/python example_project/manage.py

.PHONY: demo serve test lint bench clean

$(VENV)/demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
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

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/test  ## Side by side with pympler and guppy3
	$(BIN)/python benchmarks/heap.py

clean:
	rm -rf $(VENV) example_project/db.sqlite3
