# make demo: render a first video. make check: lint, types and the quick tests. make test: lint, types and every test.
# Each creates .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes of the tests.
JOBS ?= 3

.PHONY: demo check test setup lint drawings dist clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python install.py -c constraints.txt -e ".[dev]"
	touch $@

# Published programs that the tests run lingbot against; they need none of their own dependencies.
$(VENV)/.peers: $(VENV)/.ready tests/peers.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/peers.txt
	touch $@

setup: $(VENV)/.ready

demo: setup
	mkdir -p demo
	$(BIN)/lingbot render samples/courtyard-day.png --timeline recipes/first-walk.yaml --size 224x128 --upscale 2 \
		-o demo/first-walk.mp4 -o demo/first-walk.webp --overwrite
	@echo
	@echo "The video is demo/first-walk.mp4. To go on:"
	@echo "  . $(BIN)/activate"
	@echo "  lingbot play samples/courtyard-day.png      # walk yourself, in the browser"
	@echo "  lingbot timeline new walk.yaml              # a timeline to change and render"

# Manual pages, then wheel and sdist with them in dist/. LINGBOT_URL is the repository that the README links to.
dist: setup
	$(BIN)/python man/generate.py man
	$(BIN)/python -m build

# Drawings of the paths beside the recipes, and the videos in the README.
drawings: demo
	for recipe in recipes/*.yaml recipes/*.jsonl; do \
		$(BIN)/lingbot timeline show $$recipe -o $${recipe%.*}.svg --overwrite || exit; done
	cp demo/first-walk.webp docs
	$(BIN)/lingbot render samples/tower-dusk.png --timeline recipes/first-walk.yaml \
		--prompt "a stone courtyard at dusk" --size 224x128 --upscale 2 -o docs/first-walk-dusk.webp --overwrite
	$(BIN)/lingbot render samples/courtyard-day.png --timeline recipes/a-day.yaml --size 224x128 --upscale 2 \
		--seed 3 -o docs/a-day.mp4 --overwrite

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Everything that runs no video, model or browser.
check: lint
	$(BIN)/pytest -m "not video and not model and not browser"

test: lint $(VENV)/.peers
	$(BIN)/pytest -n $(JOBS) --dist loadfile

clean:
	rm -rf $(VENV) build demo dist man/*.1 *.egg-info
