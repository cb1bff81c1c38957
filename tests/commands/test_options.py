"""A command reads no option that it does not have."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from argparse import ArgumentParser

import pytest

import agent.commands

COMMANDS = [
    name
    for _, name, _ in pkgutil.iter_modules(agent.commands.__path__)
    if hasattr(importlib.import_module(f"agent.commands.{name}"), "arguments")
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_reads_only_options_that_it_has(name: str) -> None:
    module = importlib.import_module(f"agent.commands.{name}")
    parser = ArgumentParser(add_help=False)
    module.arguments(parser)
    declared = {action.dest for action in parser._actions}
    read = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "options"
    }
    assert read <= declared
