"""Stage 1: rows become cumulative partial aggregates, and those become frames."""
