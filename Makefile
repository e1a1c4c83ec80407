# make tiny        the main job: the headline tables at tiny scale, on a laptop's CPU
# make test        the tests
# Each sets up the environment (.venv) the first time and nothing twice.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export HF_HUB_OFFLINE ?= 1

.PHONY: help env tiny all ganrm advgrpo directions report status efficiency test test-large test-reference slurm lint docs costs reliability soak bench bench-gpu container clean

help: ## list the targets
	@grep -E '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(READY): requirements.txt requirements-dev.txt constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	touch $@

env: $(READY) ## the Python environment

tiny: $(READY) ## Tab. 1, Figs. 2 and 3 of GAN-RM at tiny scale; prints the table
	snakemake ganrm_tab1 ganrm_fig2 ganrm_fig3
	@python -m workflow_scripts.make_table --print results/tiny/tables/ganrm_tab1.csv

all: $(READY) ## everything at tiny scale
	snakemake

ganrm advgrpo: $(READY) ## everything of one paper at tiny scale
	snakemake $@

directions: $(READY) ## the claims over three replicates at tiny scale
	snakemake directions
	@cat results/tiny/directions/ganrm_tab1.md

report: $(READY) ## results/report.html: tables, figures, sheets and how each was made
	snakemake --report results/report.html

status: $(READY) ## what is done, running, waiting and failed at tiny scale, also beside a run
	-@python -m workflow_scripts.status

efficiency: $(READY) ## what finished jobs used of what they asked for
	@python -m workflow_scripts.report_efficiency

test: $(READY) ## the tests
	python -m pytest -q tests

test-large: $(READY) ## every model at its true size, with random weights (hours, 24 GB)
	OMP_NUM_THREADS=$$(nproc) python -m pytest -q --large tests/large
	python -m tests.large.table

test-reference: $(READY) ## our scores against the published packages, in an environment of their own
	test -x .venv-reference/bin/python || $(PYTHON) -m venv .venv-reference
	.venv-reference/bin/pip install --quiet torch==2.13.0 torchvision==0.28.0
	.venv-reference/bin/pip install --quiet -r tests/reference/requirements.txt
	.venv-reference/bin/pip install --quiet --no-deps --no-build-isolation -r tests/reference/packages.txt
	python -m pytest -q tests/reference

slurm: ## SLURM from Debian's packages, for the tests that start a cluster; needs root
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge

lint: $(READY) ## style of Python and of the rules
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules

docs: $(READY) ## write docs/configuration.md, and copy the tiny scale's tables, verdicts and pictures into docs/
	python -m workflow_scripts.write_configuration_page
	mkdir -p docs/results/directions
	cp results/tiny/tables/*.md docs/results/
	-cp results/tiny/directions/*.md docs/results/directions/
	cd results/tiny/figures && cp ganrm_fig1.png ganrm_fig2.png advgrpo_fig17.png advgrpo_hacking.png $(CURDIR)/docs/results/
	cp results/tiny/validity/ganrm.sd15.eval.csv docs/results/validity.csv
	cp results/tiny/figures/ganrm_fig3.png results/tiny/figures/advgrpo_fig5.png docs/images/

costs: $(READY) ## docs/costs.md: what every target costs at pilot and paper scale
	python -m workflow_scripts.plan_cost --page docs/costs.md

reliability: $(READY) soak ## break things, also on a SLURM cluster of this machine; writes docs/reliability.md
	python -m pytest -q tests/slurm tests/workflow/test_breakdowns.py --long
	python -m tests.reliability.document

soak: $(READY) ## kill the tiny chain a hundred times; counts what is lost
	python -m tests.reliability.soak
	python -m tests.reliability.document

bench: $(READY) ## benchmarks of a CPU, each beside its goal
	python -m tests.benchmarks c

bench-gpu: $(READY) ## benchmarks of a GPU with 80 GB, each beside its goal
	python -m tests.benchmarks h

container: $(READY) ## results/container: a Dockerfile of the conda environments; needs conda
	mkdir -p results/container
	cp -r envs results/container/
	snakemake --containerize dockerfile > results/container/Dockerfile

clean: ## results of the tiny scale
	rm -rf results/tiny
