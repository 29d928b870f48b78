# Three commands matter: `make demo`, `make serve` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN = .venv/bin
REF ?=
TEXT ?= Hello. This voice was cloned from a few seconds of speech.
STAMP = .venv/.installed
REAL ?= runs/unseen
MINUTES ?= 10
KILLS ?= 300
SEED ?= 1
SPEECH ?=
SUNO ?=
MODEL ?= nano
PORT ?= 8000

.PHONY: demo serve test test-browser test-slow test-download test-gpu test-kill fuzz lint venv notebook nano nano-report quantizer-report bench bench-quantizer screenshots clean

# one thread: nano is too small for two, which only wait for each other when the machine is busy
demo: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m booth.demo $(if $(REF),--reference "$(REF)") --text "$(TEXT)" --output-dir out

serve: $(STAMP) # MODEL: large, small, nano, a folder or a hub id
	$(if $(filter nano,$(MODEL)),OMP_NUM_THREADS=1) $(BIN)/bark serve --model "$(MODEL)" --port $(PORT)

# two processes of one thread each: on small networks faster than one of two threads;
# worksteal gives each one half of the files, so that few fixtures of a module are made twice
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow

test-browser: $(STAMP) # the page of the server, in an installed Chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/booth/serve/test_page.py

test-download: $(STAMP)
	HF_HUB_OFFLINE=0 $(BIN)/python -m pytest -q -m download

test-gpu: $(STAMP) # needs an NVIDIA GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cuda tests/bark/stages/test_gpu.py tests/bark/test_devices.py

fuzz: $(STAMP) # MINUTES of hostile files, recordings, texts and requests; SEED chooses them
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz all $(SEED) $(MINUTES)

test-kill: $(STAMP) # KILLS processes are killed while they write
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz kills $(SEED) $(KILLS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p bark -p hubert -p booth -p training

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	-$(BIN)/python -m hubert.likeness # the weights that --best_of and the reports judge likeness by
	touch $(STAMP)

notebook: $(STAMP) # opens JupyterLab
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[notebook]"
	$(BIN)/jupyter lab clone_voice.ipynb

nano: $(STAMP) # SPEECH: folders of recordings that codec, coarse and fine learn from as well
	$(BIN)/python -m training.nano all --work runs/nano $(foreach folder,$(SPEECH),--real $(folder))

nano-report: $(STAMP) # REAL: a folder of recordings for each real speaker, none of them trained on
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[report]"
	$(BIN)/python -m training.nano.report --work runs/nano --real "$(REAL)"

quantizer-report: $(STAMP)
	$(BIN)/python -m benchmarks.quantizer_report

bench: $(STAMP) # SUNO: a checkout of suno-ai/bark to measure as well
	$(BIN)/python -m benchmarks.speed $(if $(SUNO),--peer "suno=$(SUNO)")

bench-quantizer: $(STAMP)
	$(BIN)/python -m benchmarks.quantizer_throughput

screenshots: $(STAMP) # docs/page, in an installed Chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.booth.serve.screenshots

clean:
	rm -rf .venv out build dist *.egg-info
