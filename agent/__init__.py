"""kpi-agent: exact KPIs, targets and alerts over Kafka events, declared in YAML."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("kpi-agent")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"
