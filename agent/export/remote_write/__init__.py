"""Closed windows to Prometheus and what speaks its remote write, with their own times.

Messages of the values topic come in, acknowledged samples are what comes of them:
`value_samples` (message → samples) → `wire` (samples → request) → `sender` (request → receiver).
`metrics` counts them.
"""
