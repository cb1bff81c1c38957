"""Values become target states and alert transitions.

In: closed windows and partial states of a KPI's series, in event-time order. Out: values, target
statuses, transitions of alerts. Everything is a function of the plan, of event time and of the
series' state; no clock is read.

To read: `evaluator` (one KPI, from closed window to transition), then what it is made of: `values`,
`targets`, `inputs`, `thresholds` with `transitions`, `current_values`, `absence`, `maintenance`.
Rules over other rules come on top: `rule_graph` connects them (after a restart by `graph_restart`;
`change_journal` knows which changes rows still hold),
`subscription` delivers the alerts of others in event-time order, `composite` evaluates conditions
over alerts, `inhibition` inhibits alerts by `depends_on`.
`objectives` scores sets of KPIs.
"""
