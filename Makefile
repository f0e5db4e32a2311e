# The project's commands; `make` lists them. Whatever a command needs is set up first, once.
# For GNU make 3.81 (macOS) and later. What is more than a line is in Python: shop/local/tools.py.

STAGE ?= dev
# More settings for the stage, such as CONTEXT="-c alarm_email=you@example.com" (stacks/settings.py has all of them).
CONTEXT ?=
# Where nobody can be asked, as in a pipeline: APPROVAL=never deploys changes of permissions without a question.
APPROVAL ?=
# What CloudFormation may do, instead of everything: ARNs of policies, as make delivery-role prints them.
POLICIES ?=
# The repository whose workflows may deploy: owner/repository.
GITHUB ?=

# Of the load test: pipeline or service, a stage, how many send at the same time (to the pipeline an order a second
# each, and five times as many in the last third of the time), and for how long.
SYSTEM ?= pipeline
TARGET ?= local
USERS ?= 10
SECONDS ?= 30

# The benchmarks to run, all where none is named: PARTS="processor_cpu service_cpu" (docs/performance.md names them).
PARTS ?=

# How many local clouds the integration tests run against at the same time: they mostly wait.
CLOUDS ?= 3

# The first of these that is new enough sets up .venv; everything after that runs in .venv.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

IN_VENV := .venv/bin/python
# For what must work, or end in a sentence, without set-up: stopping a cloud needs no network.
HAS_VENV := test -x $(IN_VENV) || { echo "nothing is set up here: make up does that" >&2; exit 0; }
CDK := $(IN_VENV) -m shop.local.tools cdk --no-notices
COMPILE := UV_SYSTEM_CERTS=1 .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --generate-hashes

# Whether each package of set-up has a wheel, without installing it; uv names the one that has none.
WHEELS := UV_SYSTEM_CERTS=1 .venv/bin/uv pip install --quiet --dry-run --target .local/tools/none --require-hashes \
	--only-binary :all: --requirement requirements.txt --requirement requirements-dev.txt

# Images of containers like to set it; each start of Python, of which tests have hundreds, would compile all anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status reset test test-fast screenshots lint format synth deploy smoke destroy diff compare bootstrap delivery-role lock audit-dependencies licences diagrams openapi faults emulator-gaps prove-permissions bench bench-loop loadtest memory-report scaling-tables cost-tables rds-certificates clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

setup: ## make the virtual environment, the emulator, Node and the CDK command line
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or later is needed and none is on PATH" >&2; exit 1; }
	@$(PYTHON) -m shop.local.tools setup

demo: setup ## bring everything up, send orders, show what becomes of them
	@$(IN_VENV) -m shop demo

up: setup ## start the local cloud and deploy the stacks into it
	@$(IN_VENV) -m shop up

down: ## stop the local cloud
	@$(HAS_VENV); $(IN_VENV) -m shop down

status: ## what runs on this machine
	@$(HAS_VENV); $(IN_VENV) -m shop status || test $$? -eq 3

reset: ## stop the local cloud and forget all that is in it
	@$(HAS_VENV); $(IN_VENV) -m shop reset

test: setup ## all tests; the integration and browser tests start local clouds of their own
	@$(IN_VENV) -m pytest --numprocesses auto --dist worksteal tests/unit tests/templates
	@$(IN_VENV) -m pytest --numprocesses $(CLOUDS) --dist loadfile tests/integration tests/browser

test-fast: lint ## lint, and the unit and template tests but for the slow ones
	@$(IN_VENV) -m pytest --numprocesses auto --dist worksteal -m "not slow" tests/unit tests/templates

lint: setup ## ruff and mypy
	@$(IN_VENV) -m ruff check
	@$(IN_VENV) -m ruff format --check
	@$(IN_VENV) -m mypy

format: setup ## put the code into the one form
	@$(IN_VENV) -m ruff check --fix --quiet
	@$(IN_VENV) -m ruff format

# Half of the time goes to the CDK's own validation; `make test`, every deployment and CI have it.
synth: setup ## the CloudFormation templates of STAGE, into cdk.out/
	@env -u AWS_PROFILE -u AWS_DEFAULT_PROFILE -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN \
		AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
		AWS_EC2_METADATA_DISABLED=true CDK_VALIDATION="$${CDK_VALIDATION:-false}" $(CDK) synth --quiet --context stage="$(STAGE)" $(CONTEXT)
	@echo "wrote cdk.out/: the templates of stage $(STAGE)"

diff: setup ## what a deployment of STAGE would change on AWS
	@$(CDK) diff --context stage="$(STAGE)" $(CONTEXT)

compare: setup ## how the templates in cdk.out/ differ from those that are deployed; needs no more than to read these
	@$(CDK) diff --app cdk.out --method template --no-color

bootstrap: setup ## prepare the AWS account and region for the CDK, once
	@$(CDK) bootstrap $(if $(POLICIES),--cloudformation-execution-policies "$(POLICIES)") --context stage="$(STAGE)" $(CONTEXT)

delivery-role: setup ## let the workflows of GITHUB=owner/repository deploy to this account (docs/delivery.md)
	@$(CDK) deploy --app "$(IN_VENV) delivery.py" --output cdk.out/delivery --context github="$(GITHUB)" $(CONTEXT)

deploy: setup ## deploy STAGE to AWS
	@$(CDK) deploy --all $(if $(APPROVAL),--require-approval "$(APPROVAL)") --context stage="$(STAGE)" $(CONTEXT) \
		--outputs-file "cdk.out/outputs-$(STAGE).json"

smoke: setup ## try STAGE out after a deployment: the order service answers; but in prod, an order is stored
	@$(IN_VENV) -m shop smoke --stage "$(STAGE)"

destroy: setup ## remove STAGE from AWS; refuses prod
	@$(IN_VENV) -m shop destroy --stage "$(STAGE)"

# In this order: what a function needs has the version that it is tested with.
lock: setup ## resolve requirements*.in and the functions' anew
	@for source in requirements.in requirements-dev.in requirements-local.in requirements-node.in requirements-audit.in \
		requirements-bench-build.in lambdas/*/requirements.in; do \
		$(COMPILE) --only-binary :all: --upgrade $$source -o $${source%.in}.txt || exit 1; done
	@$(COMPILE) --upgrade requirements-bench.in -o requirements-bench.txt
	@for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin; do \
		for python in 3.11 3.12 3.13; do $(WHEELS) --python-platform $$platform --python-version $$python || exit 1; done; done

audit-dependencies: setup ## look for known vulnerabilities in all that is pinned
	@$(IN_VENV) -m shop.dependency_audit

screenshots: setup ## take the pictures of the console page in docs/images/ anew, on a local cloud of its own
	@PYTHONPATH=lambdas $(IN_VENV) -m tests.browser.screenshots

licences: setup ## write docs/licences.md anew from what is installed
	@$(IN_VENV) -m shop.licences

diagrams: setup ## draw the diagrams of docs/architecture.md anew from the synthesised templates
	@$(IN_VENV) -m shop.diagrams

openapi: setup ## write docs/order-service.openapi.json anew from the service's tables
	@PYTHONPATH=lambdas $(IN_VENV) -m shop.openapi docs/order-service.openapi.json

faults: setup ## write the runbook's table of faults anew from tests/faults.py
	@$(IN_VENV) -m tests.faults

emulator-gaps: setup ## write docs/local-cloud.md's table of what the emulator lacks anew from tests/emulator_gaps.py
	@$(IN_VENV) -m tests.emulator_gaps

prove-permissions: setup ## prove that roles may do what they need and no more (4 to 6 minutes); OPTIONS=--check writes nothing
	@PYTHONPATH=lambdas $(IN_VENV) -m tests.permissions $(OPTIONS)

bench: setup ## measure everything against its baseline and write docs/performance.md (about 20 minutes; PARTS=… some of it)
	@$(IN_VENV) -m shop.local.tools bench
	@PYTHONPATH=lambdas $(IN_VENV) -m bench.page $(PARTS)

bench-loop: setup ## measure how long a developer waits, and write it to docs/performance.md
	@PYTHONPATH=lambdas $(IN_VENV) -m bench.page developer_loop

LOADTEST_pipeline := bench.pipeline_load
LOADTEST_service := bench.loadtest

loadtest: setup ## put load on SYSTEM (pipeline or service) of TARGET (local, or a stage on AWS)
	@test -n "$(LOADTEST_$(SYSTEM))" || { echo "error: SYSTEM is pipeline or service, not $(SYSTEM)" >&2; exit 2; }
	@PYTHONPATH=lambdas $(IN_VENV) -m $(LOADTEST_$(SYSTEM)) --stage "$(TARGET)" --users "$(USERS)" --seconds "$(SECONDS)"

memory-report: setup ## measure the order service and write docs/order-service-memory.md
	@PYTHONPATH=lambdas $(IN_VENV) -m bench.order_service_memory --write

scaling-tables: setup ## simulate drains and write the tables of docs/scaling.md anew
	@PYTHONPATH=lambdas $(IN_VENV) -m bench.drain

cost-tables: setup ## synthesise dev and prod and write the tables of docs/cost.md anew
	@$(IN_VENV) -m shop.cost_report

rds-certificates: setup ## fetch Amazon RDS's certificate authorities anew
	@$(IN_VENV) -m shop.rds_certificates

clean: ## remove what can be made again, the local cloud's data included
	@if test -x $(IN_VENV); then $(IN_VENV) -m shop reset; fi
	@rm -rf .local .venv node_modules cdk.out .mypy_cache .pytest_cache .ruff_cache .hypothesis
