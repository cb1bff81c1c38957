"""`kpi-agent init`: a first contract, KPIs and rules, from a sample, a schema or answers.

In: files of events, a registered schema, answers. Out: YAML that passes the check. Read `encoded`
(records that name schemas, as JSON), `reading` (the events of a sample), `sample` (what fields look
like), `inference`, `times` and `identity` (what they are likely to be), `measures` (which are worth
a KPI), `naming` (what names say), `lines` (arrays in events), `topics` (whose records are alike),
`interview` and `answers` (who decides), `from_schema` and `schema_fields` (what a schema says),
`proposal` (thresholds from the data), `write` (YAML with comments) and `draft` (what the check
refuses is left out).
"""
