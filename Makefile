# See README.md. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

PYTHON ?= $(shell tests/tools/find-python newest)
VENV := .venv
BIN := $(VENV)/bin
CLUSTER ?= local
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin
export ANSIBLE_CONFIG := $(CURDIR)/tests/ansible.cfg
# Some containers set it: each worker of pytest would compile every test.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env cluster-up cluster-down demo test test-all test-long test-unit test-search test-integration test-matrix mutation reliability sanity sanity-published lint molecule sanity-oldest ansible-test package coverage docs docsite recording release audit bench simulation

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 20

env: $(VENV)/.complete ## create .venv with all tools

$(VENV)/.complete: tests/requirements.txt requirements.txt tests/integration/requirements.txt $(addprefix tests/tools/,make-env make-venv find-python)
	@tests/tools/make-env "$(PYTHON)" "$(VENV)"

cluster-up: env ## start the local cluster, kubeconfig at .cluster/kubeconfig
	@$(BIN)/python -m tests.cluster up

cluster-down: env ## stop the local cluster and delete its state
	@$(BIN)/python -m tests.cluster down

demo: env ## run the demo on the local cluster, or with CLUSTER=current on that of KUBECONFIG
	@if [ "$(CLUSTER)" = current ]; then
	  echo "Using the current cluster: KUBECONFIG=$${KUBECONFIG:-~/.kube/config}"
	else
	  $(BIN)/python -m tests.cluster up --core
	  export KUBECONFIG=$(CURDIR)/.cluster/kubeconfig
	fi
	$(BIN)/ansible-playbook podwright.core.demo

test: env ## run all checks and tests, as CI does
	@tests/tools/run-beside test-integration "lint test-search sanity-published package molecule"
	tests/tools/summary

test-all: test sanity sanity-oldest ansible-test docsite test-long ## run all checks and tests, also those that take long
	@$(MAKE) --no-print-directory molecule SCENARIOS=all

# ARGS are arguments of pytest. Without them the tests run in several workers.
test-unit: env ## run the unit tests that take a minute (no cluster needed)
	@$(BIN)/pytest $(if $(filter tests/%,$(ARGS)),,tests/unit) $(or $(ARGS),--numprocesses 4 --dist worksteal -m "not long and not search")

test-search: env ## run all unit tests, also those that look for faults with generated inputs
	@$(BIN)/pytest tests/unit --numprocesses 2 $(ARGS)

test-integration: env ## run the integration tests on the local cluster (or PODWRIGHT_TEST_KUBECONFIG)
	@tests/tools/with-test-cluster $(BIN)/pytest $(if $(filter tests/%,$(ARGS)),,tests/integration) \
	  $(or $(ARGS),--numprocesses 4 --dist loadgroup --no-loadscope-reorder)

# ARGS choose combinations, such as "--core 2.16 --python 3.10"; --list prints them.
test-matrix: env ## run the integration targets, playbooks, roles and connection with all versions (hours); generates docs/versions.md
	@$(BIN)/python -m tests.matrix $(ARGS)

test-long: env ## run the tests that take long (2 GiB streams, 5000 pods, 90 minutes of soak)
	@rm -f tests/output/reliability.jsonl
	status=0
	tests/tools/with-test-cluster $(BIN)/pytest $(if $(filter tests/%,$(ARGS)),,tests/integration) -m long -v --timeout 1800 $(ARGS) || status=$$?
	$(BIN)/python -m tests.support.reliability
	exit $$status

mutation: env ## change one place of the engine at a time: a unit test has to notice (an hour on two cores; ARGS="--sample 50 PATH")
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/mutation/requirements.txt
	$(BIN)/python -m tests.mutation $(ARGS)

# PODWRIGHT_SCALE says how many times as much is tried as in `make test`; 52 is the whole hostile matrix.
reliability: env ## look for faults for hours, and generate docs/reliability.md from what was tried
	@rm -f tests/output/reliability.jsonl
	export PODWRIGHT_SCALE=$${PODWRIGHT_SCALE:-52}
	tests/tools/with-test-cluster $(BIN)/pytest $(if $(filter tests/%,$(ARGS)),,tests) -m "long or tried" -v --timeout 7200 $(ARGS)
	$(BIN)/python -m tests.support.reliability

# SCENARIOS are names, or all; by default those of the roles that need no component.
molecule: env ## test the roles: converge, idempotence, verify, cleanup (SCENARIOS=all: also those that take minutes)
	@tests/tools/with-test-cluster $(BIN)/python -m tests.molecule $(SCENARIOS)

sanity: env ## run ansible-test sanity without ignores (CORE=2.18: with that ansible-core)
	@tests/tools/run-sanity

sanity-published: env ## run ansible-test sanity without ignores on what the tarball contains
	@PUBLISHED=1 tests/tools/run-sanity

sanity-oldest: env ## run ansible-test sanity with the oldest supported ansible-core
	@CORE=oldest tests/tools/run-sanity

ansible-test: env ## run the unit tests by `ansible-test units`
	@tests/tools/run-ansible-test units $(ARGS)

lint: env ## run ruff, mypy, yamllint, ansible-lint (production), changelog and docs checks
	@tests/tools/run-lint

package: env ## build the tarball and check it with galaxy-importer, antsibull-docs and ansible-lint (FULL=1: all that Galaxy runs)
	@tests/tools/run-package

coverage: env ## measure which lines and branches the tests run, and generate docs/test-coverage.md (SCOPE=unit: the unit tests only)
	@tests/tools/measure-coverage $(or $(SCOPE),all)

docs: env ## generate docs/reference
	@tests/tools/make-docs

docsite: env ## build the guides and the reference as a website at tests/output/docsite/html
	@tests/tools/make-docsite

recording: env ## record the terminal of the README on the local cluster
	@tests/tools/with-test-cluster $(BIN)/python -m tests.recording

release: env ## prepare the release VERSION as a commit with a tag, see docs/releases.md
	@tests/tools/make-release "$(VERSION)"

audit: env ## compare the libraries with the advisories of PyPI (needs its advisory service)
	@$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet pip-audit
	$(BIN)/pip freeze --exclude-editable > $(VENV)/audit/requirements.txt
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement $(VENV)/audit/requirements.txt

bench: env ## measure beside kubectl, kubernetes.core and requests alone (ARGS: rows, --quick, --publish; --help lists them)
	@tests/tools/with-test-cluster $(BIN)/python -m tests.bench $(ARGS)

# On a cluster of its own, with all cores and about 8 GiB of memory; no other cluster should have work meanwhile.
simulation: env ## run tens of thousands of tasks on 1,000 simulated nodes and measure each component (ARGS: --nodes, --pods, --publish; --help lists them)
	@$(BIN)/python -m tests.bench.simulation $(ARGS)
