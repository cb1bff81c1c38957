"""The history functions of conditions: one module per function, each implementing `Feature`.

In: a `FeatureContext` (`agent.core.model.history`): a window, the windows before it, the bounds of
its target and the values of its peers. Out: a number, or None if there is too little history. The
modules name the sources of their formulas.

Read `change` first, the simplest; then `trend`, `forecast`, `pace`, `burn_rate`, `peers`.
`seasonal` and `anomaly` keep a memory from window to window. `calendar_spans` and `robust_stats`
are shared.
"""
