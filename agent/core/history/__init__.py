"""The history functions of conditions: one module per kind, each a pure function.

In: a `FeatureContext` (`agent.core.model.history`): a window, the windows before it, the bounds of
its target and the values of its peers. Out: a number, or None if there is too little history.
Formulas and their sources are in the modules.

To read: `change` is the simplest, then `trend`, `forecast`, `pace`, `burn_rate`, `peers`;
`seasonal` and `anomaly` keep a memory from window to window. `calendar_spans` and `robust_stats`
are what they share.
"""
