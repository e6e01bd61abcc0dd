# See README.md. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CLUSTER ?= local
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin
export ANSIBLE_CONFIG := $(CURDIR)/tests/ansible.cfg

.PHONY: help env cluster-up cluster-down demo test test-unit test-integration sanity lint molecule docs bench

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 20

env: $(VENV)/.complete ## make .venv with everything that is needed

$(VENV)/.complete: tests/requirements.txt requirements.txt tests/tools/make-env
	@tests/tools/make-env "$(PYTHON)" "$(VENV)"

cluster-up: env ## start the local cluster, kubeconfig at .cluster/kubeconfig
	@$(BIN)/python -m tests.cluster up

cluster-down: env ## stop it and remove its state
	@$(BIN)/python -m tests.cluster down

demo: env ## the main job, on the local cluster or (CLUSTER=current) on the one of KUBECONFIG
	@if [ "$(CLUSTER)" = current ]; then
	  echo "Using the current cluster: KUBECONFIG=$${KUBECONFIG:-~/.kube/config}"
	else
	  $(BIN)/python -m tests.cluster up --core
	  export KUBECONFIG=$(CURDIR)/.cluster/kubeconfig
	fi
	$(BIN)/ansible-playbook podwright.core.demo

test: env lint test-unit sanity test-integration molecule ## everything that is tested
	@tests/tools/summary

test-unit: env ## unit tests, no cluster needed
	@$(BIN)/pytest tests/unit $(ARGS)

test-integration: env ## integration tests against the local cluster (or PODWRIGHT_TEST_KUBECONFIG)
	@tests/tools/with-test-cluster $(BIN)/pytest tests/integration $(ARGS)

molecule: env ## the five roles converge, are idempotent and do what they say
	@tests/tools/with-test-cluster tests/tools/run-molecule

sanity: env ## ansible-test sanity, without ignores
	@tests/tools/run-sanity

lint: env ## ruff, yamllint, ansible-lint (production), changelog and docs checks
	@tests/tools/run-lint

docs: env ## generate docs/reference from the modules
	@tests/tools/make-docs

bench: env ## timings side by side with bare Ansible, kubectl and kubernetes.core
	@tests/tools/with-test-cluster $(BIN)/python -m tests.bench
