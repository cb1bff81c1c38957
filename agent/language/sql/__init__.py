"""SQL of the rules, compiled to polars expressions and partial aggregates."""
