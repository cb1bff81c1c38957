"""The results of the core as messages, labels and sentences.

In: windows, target statuses and transitions (`agent.core.model.results`). Out: the JSON of the
`kpi-values` and `kpi-alerts` topics (`messages`), the texts of rules (`templates`) and the reason
of a transition in a sentence (`reasons`), the labels of alerts and metrics (`labels`), transitions
combined into episodes (`episodes`). `value_messages` parses what `messages` encoded, and keeps the
last message of each window. `addresses` has the links to pages and boards, with `series_selector`.
`privacy` leaves out or pseudonymizes what is about single people.
"""
