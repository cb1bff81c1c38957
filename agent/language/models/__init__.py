"""The language of the rules as pydantic models: its shape and single values.

In: plain data of a YAML file. Out: models, whose spans are integer milliseconds. What needs more
than one value (a field that must exist in a contract, bounds in the wrong order) is evaluated in
`agent.language.checks`. The models also make the JSON Schema, so every field says what it means and
how it is written. Read `values` (names, durations, windows) first, then the module of a section.
"""
