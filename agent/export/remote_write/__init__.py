"""Remote write: sends closed windows to Prometheus and compatible receivers, with timestamps.

In: messages of the values topic. Out: acknowledged samples. `value_samples` (message → samples) →
`wire` (samples → request) → `sender` (request → receiver); `metrics` counts them.
"""
