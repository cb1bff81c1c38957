"""Settings from the command, the environment and a file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from agent.config_errors import value_problems
from agent.errors import EnvironmentFault
from agent.settings.file import read_settings_file
from agent.settings.model import PREFIX, Settings

FILE_VARIABLE = "KPI_AGENT_SETTINGS"


def load_settings(file: Path | None = None, **arguments: Any) -> Settings:
    """Settings from arguments (those that are not None), environment and file.

    Raises EnvironmentFault with every problem found, and never the value of a secret.
    """
    path = file or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    from_file = read_settings_file(path, PREFIX) if path else {}

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, dict(from_file))

    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return Loaded(**given)
    except ValidationError as error:
        raise EnvironmentFault(_explain(error, path)) from None  # its text shows input values


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = ["invalid settings:", value_problems(error, _unknown)]
    if path is not None:
        lines.append(f"(read from the command, {PREFIX}… variables and {path})")
    return "\n".join(lines)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, Settings.model_fields, 1)
    return "unknown setting" + (f"; did you mean {near[0]}?" if near else "")


def misspelt_variables(environment: Mapping[str, str]) -> list[str]:
    """Environment variables that look like a misspelt setting, each with a hint.

    Only close misses: Kubernetes puts variables of its own beside ours, named after services.
    """
    hints = []
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {FILE_VARIABLE}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.9)
            if near:
                hints.append(f"{name} is not a setting; did you mean {near[0]}?")
    return hints
