"""What leaves the core, as messages, labels and sentences.

In: windows, target statuses and transitions (`agent.core.model.results`). Out: the JSON of the
`kpi-values` and `kpi-alerts` topics (`messages`), the texts of rules (`templates`) and the reason
of a transition in a sentence (`reasons`), the labels of alerts and metrics (`alert_labels`,
`labels`), alerts put together as episodes (`episodes`). `value_messages` reads back what `messages`
wrote, and `published` has what it says of windows. `addresses` has the links to pages and boards,
with `series_selector` and `uids`. `privacy` decides what leaves at all, `masking` takes the values
out of the reason of a rejection.
"""
