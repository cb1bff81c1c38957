"""What is relied on inside Faust and aiokafka is still there: an upgrade fails here first."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from agent.kafka.faust_app import INTERNALS


def owner_of(path: str) -> tuple[type, str]:
    module, _, name = path.partition(":")
    owner, _, attribute = name.partition(".")
    return getattr(importlib.import_module(module), owner), attribute


def is_there(owner: type, attribute: str) -> bool:
    """Whether a class has an attribute, says so in an annotation, or sets it on itself."""
    if hasattr(owner, attribute):
        return True
    return any(
        attribute in vars(base).get("__annotations__", {})
        or re.search(rf"\bself\.{attribute}\s*(:[^=]+)?=", inspect.getsource(base))
        for base in owner.__mro__
        if base.__module__.startswith(("faust", "aiokafka", "mode"))
    )


@pytest.mark.parametrize(("path", "purpose"), INTERNALS)
def test_every_internal_that_is_relied_on_exists(path: str, purpose: str) -> None:
    owner, attribute = owner_of(path)
    assert is_there(owner, attribute), f"{path} is gone; it was used for: {purpose}"


def test_an_internal_that_is_gone_is_noticed() -> None:
    owner, _ = owner_of(INTERNALS[0][0])
    assert not is_there(owner, "_no_such_thing")
