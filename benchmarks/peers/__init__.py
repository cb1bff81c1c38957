"""Workload W on what people would use instead, each checked against the same truth."""
