# make env    a virtual environment .venv with pinned versions
# make demo   the whole method on scikit-learn's digits, ends with the table
# make report RESULTS=results/demo   a finished run as one page: claims, tables, figures
# make test   all checks and tests
# make fuzz   new cases of bad settings and files, ten times as many, for some minutes
# make bench  speed of all engines against plain PyTorch, in under two minutes
# make check  formatting, lint, types, schema, numbers, dry runs: the quick part of make test
# make numbers       writes the numbers of README.md and docs/ from their CSV files, and
#                    the pictures of the architecture and of docs/diagnose.md
# make record-demo   takes over a demo's tables and figures to docs/demo, for the numbers
# make verify makes the tables of results/reference again from what they were made from
# make docs   the documentation as a site, results/site/html
# make format mends formatting, the schema and the page of all settings
# make test-packages   for root on Debian: Slurm, a browser and LaTeX for their tests

PYTHON ?= python3
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
DEMO := --cores all --configfile config/demo.yaml
DEMO_TABLES := in_distribution significance_in_distribution samplers \
	reconstruction ensembles
DEMO_FIGURES := architectures ensembles epoch_zero finetuning novelty samplers
SOURCES := workflow tests bench
PACKAGES := slurmctld slurmd slurm-client munge chromium \
	texlive-latex-recommended

RESULTS := results/demo

# for a record: make bench BENCH=docs/measurements ROUNDS=5 SECONDS=2 THREADS="1 2" SIZES=all
BENCH := results/bench
ROUNDS := 3
SECONDS := 0.3
THREADS := 1
# of the autoencoder: small, or all up to the paper's, and then the lesser stages too
SIZES := small
sizes_small := --width 128 128 --latent 100 1400 --feedforward 144 256 \
	--batch-size 64 32 --half
sizes_all := --width 16 64 128 128 256 400 800 --latent 4 16 100 1400 200 350 700 \
	--feedforward 16 128 144 256 288 450 900 --batch-size 8 32 64 32 64 64 64 --half
TIMING := --rounds $(ROUNDS) --seconds $(SECONDS) --output $(BENCH)

.PHONY: env demo report record-demo verify numbers test fuzz bench check docs format \
	clean test-packages

env: $(VENV)/installed

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; try make env PYTHON=python3.11"; exit 1; }
	@echo "installing what requirements.txt pins into $(VENV): some minutes"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt
	touch $@

demo: env
	$(RUN) snakemake $(DEMO) --prioritize table_in_distribution
	@$(MAKE) --no-print-directory report RESULTS=results/demo
	@$(RUN) python workflow/scripts/show_results.py --results results/demo

# of any finished run: make report RESULTS=results/demo
report: env
	@$(RUN) python workflow/scripts/make_report.py --results $(RESULTS)

record-demo: env
	cp $(patsubst %,results/demo/tables/%.csv,$(DEMO_TABLES)) docs/demo
	cp $(patsubst %,results/demo/figures/%.png,$(DEMO_FIGURES)) docs/demo
	$(RUN) python bench/costs.py --config config/demo.yaml \
		--logs logs/demo --output docs/demo/costs.csv
	$(MAKE) numbers

verify: env
	$(RUN) python workflow/scripts/verify_results.py

numbers: env
	$(RUN) python bench/costs.py --output docs/measurements/estimate.csv >/dev/null
	$(RUN) python bench/architecture.py
	$(RUN) python bench/diagnosis.py
	$(RUN) python bench/doc_numbers.py

bench: env
	$(RUN) python bench/zoo.py $(TIMING)/zoo_1.csv --models 1 64 --threads $(THREADS)
	$(RUN) python bench/zoo.py $(TIMING)/zoo_3.csv --models 1 64 --threads $(THREADS) \
		--channels 3
	$(RUN) python bench/architectures.py $(TIMING)/architectures.csv
	$(RUN) python bench/finetuning.py $(TIMING)/finetuning_1.csv --models 1 64
	$(RUN) python bench/evaluation.py $(TIMING)/evaluation_1.csv --models 1 64
	$(RUN) python bench/evaluation.py $(TIMING)/evaluation_3.csv --models 1 64 \
		--channels 3
	$(RUN) python bench/autoencoder.py $(TIMING)/autoencoder.csv $(sizes_$(SIZES))
	$(if $(filter all,$(SIZES)),$(RUN) python bench/stages.py $(TIMING)/stages.csv)
	$(RUN) python bench/sampling.py $(TIMING)/sampling.csv

test: check test-packages
	$(RUN) pytest

fuzz: env
	$(RUN) pytest tests/fuzz --hypothesis-profile=long

# does nothing where it cannot: the tests of Slurm, in a browser and in LaTeX are skipped then
test-packages:
	@if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null \
		&& ! { command -v slurmctld && command -v munged && command -v chromium \
		&& command -v pdflatex; } \
		>/dev/null; then \
		echo "installing $(PACKAGES) for tests"; \
		timeout 300 sh -c "apt-get -qq update; DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install -y --no-install-recommends $(PACKAGES)" \
			</dev/null >/dev/null 2>&1 || echo "could not; what needs them is skipped"; \
	fi

check: env
	$(RUN) ruff format --check $(SOURCES)
	$(RUN) ruff check $(SOURCES)
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) codespell *.md .github docs config workflow rules tests Snakefile
	$(RUN) mypy
	$(RUN) snakemake --lint
	$(RUN) python workflow/scripts/make_schema.py --check
	$(RUN) python bench/configuration.py --check
	$(RUN) python bench/architecture.py --check
	$(RUN) python bench/diagnosis.py --check
	$(RUN) python bench/doc_numbers.py --check
	$(RUN) python bench/site.py

docs: env
	$(RUN) python bench/site.py

format: env
	$(RUN) ruff format $(SOURCES)
	$(RUN) ruff check --fix $(SOURCES)
	$(RUN) snakefmt Snakefile rules
	$(RUN) python workflow/scripts/make_schema.py
	$(RUN) python workflow/scripts/make_kernel_reference.py
	$(RUN) python bench/configuration.py

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
