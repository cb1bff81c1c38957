"""How an agent is run: brokers, topics, ports, folders.

Each setting is read from, in this order: an argument of the command, the environment variable
`KPI_AGENT_<NAME>`, the settings file (`--settings` or `KPI_AGENT_SETTINGS`; YAML, TOML or
`NAME=value` lines), its default. KPIs and rules are no settings: they are in the rules folder.

Read `model.py` (the settings), `values.py` (how each kind of value is checked and read), `load.py`
(where they come from) and `file.py`.
"""

from agent.settings.load import load_settings, misspelt_variables
from agent.settings.model import PREFIX, SaslMechanism, Settings

__all__ = ["PREFIX", "SaslMechanism", "Settings", "load_settings", "misspelt_variables"]
