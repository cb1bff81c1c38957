"""The rules: from YAML and SQL to the plan that runs, with every problem collected.

In: a folder of YAML files. Out: `core.model.plan.Plan`, or problems with file, line and column:
what is wrong and what is right. Read `load` (the order of a check), then `source` (YAML with
places), `models` (the language), `lookup_files` (the tables beside it), `declared` and `recovery`
(all files as one declaration, broken entries included), `checks` (what no single value can tell),
`sql` (expressions), `compile` (the plan), and `report` (problems as text).
"""
