# What people do with this project. Each target makes what it needs first; `make` alone lists them.
# Variables: PYTHON names the interpreter for .venv; ARGS is passed on to pytest or the demo.

VENV := .venv
BIN := $(VENV)/bin
# Setup puts one there where the one on PATH is too old.
UV = $$(ls $(BIN)/uv 2>/dev/null || command -v uv)
READY := $(VENV)/.ready

# Tests start dozens of processes: without its cache, each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE
# Tests of bad records make polars panic; with this, each panic is a page of output.
unexport RUST_BACKTRACE

.DEFAULT_GOAL := help
.PHONY: help setup wheel sbom audit demo test fuzz simulate chaos soak bench bench-report lint check generate pictures check-generated docs docs-serve format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv from the lock file

$(READY): pyproject.toml uv.lock scripts/setup
	@scripts/setup
	@touch $@

wheel: $(READY) sbom ## Build dist/kpi_agent-….whl, which needs no checkout, and its SBOM
	@$(UV) build -q --wheel --out-dir dist

sbom: $(READY) ## Write dist/kpi_agent.cdx.json: what uv.lock pins, in CycloneDX
	@mkdir -p dist
	@$(UV) export -q --frozen --no-dev --all-extras \
		--format cyclonedx1.5 --preview-features sbom-export --output-file dist/kpi_agent.cdx.json

audit: $(READY) ## Check uv.lock against the OSV database, which is asked over the internet
	@$(UV) audit --frozen --preview-features audit-command $(ARGS)

demo: $(READY) ## Run the whole agent on an embedded broker, with an example company
	@$(BIN)/kpi-agent demo $(ARGS)

test: $(READY) ## Run the tests that need nothing but Python
	@$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: $(READY) ## Hold a hundred thousand mutated records against a plain reading of each
	@$(BIN)/python -m tests.core.decode.fuzz $(ARGS)
	@$(BIN)/python -m tests.core.decode.shape_fuzz $(ARGS)
	@$(BIN)/python -m tests.core.decode.schema_fuzz $(ARGS)

simulate: $(READY) ## Run the core two thousand times under simulated faults
	@$(BIN)/python -m tests.simulation $(ARGS)

chaos: $(READY) ## Kill workers, brokers and networks around a real Kafka, for half an hour
	@.ci/install-kafka.sh
	@$(BIN)/python -m pytest tests/chaos --ignore tests/chaos/test_soak.py -m needs_kafka --full \
		-o log_cli=true $(ARGS)

soak: $(READY) ## Send as many events as the machine can take, for ten minutes
	@.ci/install-kafka.sh
	@$(BIN)/python -m pytest tests/chaos/test_soak.py -m needs_kafka --full -o log_cli=true $(ARGS)

bench: $(READY) ## Measure the agent and what people would use instead, for an hour; then the report
	.ci/install-kafka.sh
	$(BIN)/python -m benchmarks.agent_w $(ARGS)
	$(BIN)/python -m benchmarks.agent_w --cold --rules w $(ARGS)
	$(BIN)/python -m benchmarks.peers.run
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.costs
	$(BIN)/python -m benchmarks.formats
	$(BIN)/python -m benchmarks.report

bench-report: $(READY) ## Write the tables and the plot of docs/benchmarks.md from what was measured last
	$(BIN)/python -m benchmarks.report

lint: $(READY) ## Check format, style, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format the code, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Helm's engine renders the chart to deploy/kubernetes.
HELM := .cache/helm/lock

$(HELM): .ci/install-helm.sh .ci/helm.txt | $(READY)
	@.ci/install-helm.sh
	@touch $@

# Where the example company's alerts lead: to what deploy/compose.yaml starts.
LINKS := --external-url http://localhost:9108 --grafana-url http://localhost:3000 \
	--runbooks-url https://example.org/runbooks

generate: $(READY) $(HELM) ## Write the boards, alert rules, JSON Schema and pictures that the rules give
	$(BIN)/kpi-agent generate prometheus $(LINKS)
	$(BIN)/kpi-agent generate alertmanager
	$(BIN)/kpi-agent generate grafana
	$(BIN)/kpi-agent schema > docs/schema.json
	$(BIN)/kpi-agent schema --tests > docs/tests.schema.json
	$(BIN)/python -m scripts.draw_rules
	$(BIN)/python -m scripts.chart

pictures: $(READY) ## Take the pictures of docs/images again, from the running demo
	@.ci/install-prometheus.sh
	@.ci/install-chromium.sh
	@.ci/install-node.sh
	$(BIN)/python -m tests.pictures

check-generated: $(READY) $(HELM) ## Check the rules, run their tests, compare the files that they generate
	$(BIN)/kpi-agent check
	$(BIN)/kpi-agent check examples/retail/rules
	$(BIN)/kpi-agent test --fail-under 90
	$(BIN)/kpi-agent test examples/retail/rules --fail-under 90
	$(BIN)/kpi-agent generate prometheus $(LINKS) --check
	$(BIN)/kpi-agent generate alertmanager --check
	$(BIN)/kpi-agent generate grafana --check
	$(BIN)/python -m scripts.chart --check
	@$(BIN)/kpi-agent schema | cmp - docs/schema.json && \
		$(BIN)/kpi-agent schema --tests | cmp - docs/tests.schema.json || \
		{ echo 'a schema in docs/ is not what the models give; run: make generate' >&2; exit 1; }

docs: $(READY) ## Build the documentation site into .cache/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict

docs-serve: $(READY) ## Show the documentation site on http://localhost:8000, anew after each change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve $(ARGS)

check: lint check-generated test ## All of lint, check-generated and test

clean: ## Remove .venv and everything that is made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
