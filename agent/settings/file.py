"""Files of settings: YAML, TOML, or lines of `NAME=value`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agent.config_errors import yaml_problem
from agent.errors import EnvironmentFault


def read_settings_file(path: Path, prefix: str) -> Mapping[str, Any]:
    """The settings in a file, by name. Raises EnvironmentFault for one that can't be read or isn't
    valid; the message never quotes the file, which may hold secrets."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in {".yaml", ".yml"}:
            values = yaml.safe_load(text) or {}
        elif path.suffix == ".toml":
            values = tomllib.loads(text)
        else:
            values = _read_lines(text, prefix)
    except OSError as error:
        raise EnvironmentFault(
            f"the settings file can't be read: {path}: {error.strerror}"
        ) from error
    except yaml.YAMLError as error:
        raise EnvironmentFault(
            f"the settings file is not valid: {path}: {yaml_problem(error)}"
        ) from None
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise EnvironmentFault(f"the settings file is not valid: {path}: {error}") from error
    if not isinstance(values, dict):
        raise EnvironmentFault(f"the settings file must hold `name: value` pairs: {path}")
    return values


def _read_lines(text: str, prefix: str) -> dict[str, str]:
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        if not equals:
            raise ValueError(f"line {number} is not NAME=value")
        values[name.strip().removeprefix(prefix).lower()] = value.strip().strip("\"'")
    return values
