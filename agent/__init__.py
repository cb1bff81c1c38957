"""kpi-agent: exact KPIs, targets and alerts over Kafka events, declared in YAML.

Rules and records come in; closed windows, target states, alerts and metrics go out. Read in this
order:

- `core`: the pure core; start with `core/pipeline.py`, which names the steps
- `language`: rules as YAML and SQL, compiled to the plan that the core runs
- `kafka`: the core on Kafka, in two stages; `service` runs both as one process
- `export`, `generate`: metrics, the board and alerts; files for Prometheus and Grafana
- `settings`: brokers, topics, ports, folders; `errors`: whose fault a failure is; `logs`; `clock`;
  `config_errors` and `client_tls`: what all files of configuration and all connections share
- `replay`, `backtest`, `restate`, `explain`, `diff`, `init`, `ruletests`, `sizing`, `demo`: what
  the commands of these names do; `commands` and `cli` are the command line

Imports go one way: pyproject.toml has the layers, docs/architecture.md the picture.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("kpi-agent")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"
