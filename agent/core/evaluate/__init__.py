"""Turns closed windows into values, target states and alert transitions.

In: closed windows and partial states of a KPI's series, in event-time order. Out: values, target
statuses and alert transitions; a pure function of the plan, event time and the state of the series.

Read `evaluator` first: one KPI, from closed window to transition. It is composed of `values`,
`targets`, `thresholds` with `transitions`, `current_values`, `absence` and `maintenance`.

Then the rules that depend on other rules: `rule_graph` connects them. `subscription` delivers the
alerts of other rules in event-time order, `composite` evaluates conditions over alerts,
`inhibition` implements `depends_on`. `change_journal` keeps the changes that a restart still needs,
and `graph_restart` restores the graph from them.

`objectives` scores sets of KPIs.
"""
