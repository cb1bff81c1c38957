"""The rules: from YAML and SQL to the plan that runs, with every problem collected.

In: a folder of YAML files. Out: `core.model.plan.Plan`, or problems with file, line and column:
what is wrong and what is right. Read `load` (the order of a check), then `source` (YAML with
places; `syntax` words its errors), `models` (the language; `error_text` words pydantic's errors),
`lookup_files` and `schema_files` (the files beside it), `declared` and `recovery` (all files as one
declaration, broken entries included), `checks` (what no single value can tell), `sql`
(expressions), `compile` (the plan), and `problems` (what is wrong, also as text). `schema` is for
editors.
"""
